//! Liveness and readiness of this node.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use crate::App;

/// `GET /healthz`: 200 whenever the process can answer.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "UP" }))
}

/// `GET /readyz`: 200 if the store can be read, 503 otherwise.
pub(super) async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    match app.store.read(|tx| tx.setting("tenant_id")).await {
        Ok(_) => (StatusCode::OK, Json(json!({ "status": "UP" }))),
        Err(error) => {
            tracing::error!(%error, "the store cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "DOWN", "store": "DOWN" })))
        }
    }
}
