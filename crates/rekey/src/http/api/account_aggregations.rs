//! `GET /account-aggregations/{id}/status`.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::path::Id;
use crate::{
    App, Error,
    access::{Access, Caller},
    model::{id::JobId, time::Micros},
    source::{self, aggregation::AGGREGATION},
};

pub(super) const ACCESS: Access =
    Access { scopes: &[], levels: super::sources::LEVELS, api_client: true };

pub(super) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<JobId>,
) -> Result<Json<Value>, Error> {
    let job = source::task(&app, &caller, id).await?;
    if job.kind != AGGREGATION {
        return Err(Error::NotFound("aggregation"));
    }
    let count = |name: &str| job.result.0.get(name).and_then(Value::as_u64).unwrap_or(0);
    let status = match job.completion_status.as_deref() {
        None => "STARTED",
        Some("SUCCESS") => "COMPLETED",
        Some(_) => "TERMINATED",
    };
    let changed = count("created") + count("updated") + count("deleted");
    Ok(Json(json!({
        "start": job.launched.map(Micros::rfc3339),
        "status": status,
        "totalAccounts": changed,
        "processedAccounts": changed,
        "totalAccountsMarkedForDeletion": count("deleted"),
        "deletedAccounts": count("deleted"),
        "totalIdentities": 0,
        "processedIdentities": 0,
    })))
}
