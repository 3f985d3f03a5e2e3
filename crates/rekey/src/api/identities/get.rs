//! `GET /identities/{id}`

use axum::{Json, extract::State};
use serde_json::Value;

use super::wire;
use crate::{App, Error, access::Caller, api::path::Id, id::IdentityId, identity};

pub(in crate::api) use super::list::ACCESS;

pub(in crate::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<IdentityId>,
) -> Result<Json<Value>, Error> {
    Ok(Json(wire(&identity::one(&app, &caller, id).await?)))
}
