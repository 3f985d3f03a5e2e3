//! `GET /identities/{id}`.

use axum::{Json, extract::State};
use serde_json::Value;

use super::wire;
use crate::{App, Error, access::Caller, http::api::path::Id, identity, model::id::IdentityId};

pub(in crate::http::api) use super::list::ACCESS;

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<IdentityId>,
) -> Result<Json<Value>, Error> {
    Ok(Json(wire(&identity::one(&app, &caller, id).await?)))
}
