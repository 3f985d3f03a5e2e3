//! `GET /accounts/{id}`.

use axum::{Json, extract::State};
use serde_json::Value;

use super::wire;
use crate::{App, Error, access::Caller, account, http::api::path::Id, model::id::AccountId};

pub(in crate::http::api) use super::list::ACCESS;

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AccountId>,
) -> Result<Json<Value>, Error> {
    Ok(Json(wire(&account::one(&app, &caller, id).await?)))
}
