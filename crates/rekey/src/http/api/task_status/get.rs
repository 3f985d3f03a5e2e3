//! `GET /task-status/{id}`.

use axum::{Json, extract::State};
use serde_json::Value;

use super::wire;
use crate::{App, Error, access::Caller, http::api::path::Id, model::id::JobId, source};

pub(in crate::http::api) use super::list::ACCESS;

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<JobId>,
) -> Result<Json<Value>, Error> {
    Ok(Json(wire(&source::task(&app, &caller, id).await?)))
}
