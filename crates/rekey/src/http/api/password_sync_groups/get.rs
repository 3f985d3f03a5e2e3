//! `GET /password-sync-groups/{id}`.

use axum::{Json, extract::State};
use serde_json::Value;

use super::wire;
use crate::{App, Error, http::api::path::Id, model::id::SyncGroupId, sync_group};

pub(in crate::http::api) use super::list::ACCESS;

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    Id(id): Id<SyncGroupId>,
) -> Result<Json<Value>, Error> {
    let groups = sync_group::all(&app).await?;
    let found = groups.iter().find(|(group, _)| group.id == id);
    Ok(Json(wire(found.ok_or(Error::NotFound("sync group"))?)))
}
