//! `GET /task-status`.

use axum::{extract::State, response::Response};

use super::{LEVELS, wire};
use crate::{
    App, Error,
    access::{Access, Caller},
    http::api::page::{PageQuery, answer},
    source,
};

pub(in crate::http::api) const ACCESS: Access = Access {
    scopes: &["idn:task-management:read", "idn:task-management:write"],
    levels: LEVELS,
    api_client: true,
};

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    query: PageQuery,
) -> Result<Response, Error> {
    let page = source::tasks(&app, &caller, &query.asked).await?;
    Ok(answer(page, |job| wire(&job)))
}
