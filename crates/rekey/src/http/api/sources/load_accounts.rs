//! `POST /sources/{id}/load-accounts`.

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::LEVELS;
use crate::{
    App, Error,
    access::{Access, Caller},
    http::api::{
        body::{JSON_LIMIT, read},
        path::Id,
    },
    model::id::SourceId,
    source::{self, aggregation::TASK_NAME},
};

pub(in crate::http::api) const ACCESS: Access =
    Access { scopes: &["idn:sources:manage"], levels: LEVELS, api_client: true };

/// Starts an aggregation. The body, a form with `disableOptimization`, is read and ignored: every
/// aggregation reads all accounts.
pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<SourceId>,
    request: Request,
) -> Result<Response, Error> {
    if let Err(refused) = read(request.into_body(), JSON_LIMIT).await {
        return Ok(refused);
    }
    let job = source::aggregate(&app, &caller, id).await?;
    let body = json!({
        "success": true,
        "task": {
            "id": job.id,
            "type": "QUARTZ",
            "name": TASK_NAME,
            "description": "Aggregate from the specified application",
            "launcher": job.launcher,
            "created": job.created.rfc3339(),
            "launched": job.launched.map(crate::model::time::Micros::rfc3339),
            "completed": null,
            "completionStatus": null,
            "parentName": null,
            "messages": [],
            "progress": null,
            "attributes": { "appId": job.source_id, "optimizedAggregation": "disabled" },
            "returns": crate::http::api::task_status::returns(),
        },
    });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}
