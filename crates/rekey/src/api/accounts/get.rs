//! `GET /accounts/{id}`

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::Value;

use super::wire;
use crate::{App, Error, account, id::AccountId};

pub(in crate::api) use super::list::ACCESS;

pub(in crate::api) async fn handler(
    State(app): State<App>,
    Path(id): Path<AccountId>,
) -> Result<Json<Value>, Error> {
    Ok(Json(wire(&account::one(&app, id).await?)))
}
