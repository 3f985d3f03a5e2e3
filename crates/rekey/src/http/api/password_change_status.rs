//! `GET /password-change-status/{id}`.

use axum::{Json, extract::State};
use serde::Serialize;

use super::path::Id;
use crate::{
    App, Error,
    access::{Access, Caller},
    model::{
        change,
        id::{ChangeId, SourceId},
    },
    password::status,
};

pub(super) const ACCESS: Access =
    Access { scopes: &["idn:password-change:read"], levels: &[], api_client: true };

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    request_id: ChangeId,
    state: change::State,
    errors: Vec<String>,
    source_ids: Vec<SourceId>,
}

pub(super) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ChangeId>,
) -> Result<Json<Response>, Error> {
    let status = status::status(&app, &caller, id).await?;
    Ok(Json(Response {
        request_id: status.id,
        state: status.state,
        errors: status.errors,
        source_ids: status.source_ids,
    }))
}
