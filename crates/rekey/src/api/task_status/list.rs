//! `GET /task-status`

use axum::{extract::State, response::Response};

use super::{LEVELS, wire};
use crate::{
    App, Error,
    access::Access,
    api::page::{PageQuery, answer},
    store::Listing,
};

pub(in crate::api) const ACCESS: Access = Access {
    scopes: &["idn:task-management:read", "idn:task-management:write"],
    levels: LEVELS,
    api_client: true,
};

pub(in crate::api) async fn handler(
    State(app): State<App>,
    query: PageQuery,
) -> Result<Response, Error> {
    let listing = Listing::of_jobs(&query.asked)?;
    let page = app.store.read(move |tx| tx.jobs_page(&listing)).await?;
    Ok(answer(page, |job| wire(&job)))
}
