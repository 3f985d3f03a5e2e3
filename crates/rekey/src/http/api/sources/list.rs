//! `GET /sources`.

use axum::{extract::State, response::Response};

use super::wire;
use crate::{
    App, Error,
    access::{Access, Caller},
    http::api::page::{PageQuery, answer},
    model::level::Level,
    source,
};

pub(in crate::http::api) const ACCESS: Access = Access {
    scopes: &["idn:sources:read", "idn:sources:manage"],
    levels: &[Level::OrgAdmin, Level::SourceAdmin, Level::SourceSubadmin, Level::RoleSubadmin],
    api_client: true,
};

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    query: PageQuery,
) -> Result<Response, Error> {
    let with_identity_now = query.is("includeIDNSource")?;
    let page = source::list(&app, &caller, &query.asked, with_identity_now).await?;
    Ok(answer(page, |source| wire(&source)))
}
