//! `GET /task-status/{id}`

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::Value;

use super::wire;
use crate::{App, Error, id::JobId, store};

pub(in crate::api) use super::list::ACCESS;

pub(in crate::api) async fn handler(
    State(app): State<App>,
    Path(id): Path<JobId>,
) -> Result<Json<Value>, Error> {
    let job: Result<_, store::Error> = app.store.read(move |tx| tx.job(&id)).await;
    let job = job?.ok_or(Error::NotFound("task"))?;
    Ok(Json(wire(&job)))
}
