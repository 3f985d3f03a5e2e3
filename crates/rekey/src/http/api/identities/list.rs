//! `GET /identities`.

use axum::{extract::State, response::Response};

use super::wire;
use crate::{
    App, Error,
    access::{Access, Caller},
    http::api::page::{PageQuery, answer},
    identity,
};

pub(in crate::http::api) const ACCESS: Access =
    Access { scopes: &["idn:identity:read", "idn:identity:manage"], levels: &[], api_client: true };

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    query: PageQuery,
) -> Result<Response, Error> {
    let page = identity::list(&app, &caller, &query.asked).await?;
    Ok(answer(page, |person| wire(&person)))
}
