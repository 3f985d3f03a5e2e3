//! `POST /sources/{id}/connector/check-connection`.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use crate::{
    App, Error,
    access::{Access, Caller},
    http::api::path::Id,
    model::{id::SourceId, level::Level},
    source,
};

pub(in crate::http::api) const ACCESS: Access = Access {
    scopes: &["idn:source-connector:manage"],
    levels: &[Level::OrgAdmin],
    api_client: true,
};

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<SourceId>,
) -> Result<Json<Value>, Error> {
    let check = source::check(&app, &caller, id).await?;
    let elapsed = u64::try_from(check.elapsed.as_millis()).unwrap_or(u64::MAX);
    let (status, details) = match check.failure {
        None => ("SUCCESS", json!({})),
        Some(why) => ("FAILURE", json!({ "error": why })),
    };
    Ok(Json(json!({
        "id": check.source.id,
        "name": check.source.name,
        "status": status,
        "elapsedMillis": elapsed,
        "details": details,
    })))
}
