//! `GET /sources/{id}`.

use axum::{Json, extract::State};
use serde_json::Value;

use super::{LEVELS, wire};
use crate::{
    App, Error,
    access::{Access, Caller},
    http::api::path::Id,
    model::id::SourceId,
    source,
};

pub(in crate::http::api) const ACCESS: Access = Access {
    scopes: &["idn:sources:read", "idn:sources:manage"],
    levels: LEVELS,
    api_client: true,
};

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<SourceId>,
) -> Result<Json<Value>, Error> {
    Ok(Json(wire(&source::one(&app, &caller, id).await?)))
}
