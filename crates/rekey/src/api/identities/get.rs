//! `GET /identities/{id}`

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::Value;

use super::wire;
use crate::{App, Error, access::Caller, id::IdentityId, identity};

pub(in crate::api) use super::list::ACCESS;

pub(in crate::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<IdentityId>,
) -> Result<Json<Value>, Error> {
    Ok(Json(wire(&identity::one(&app, &caller, id).await?)))
}
