//! `GET /accounts`.

use axum::{extract::State, response::Response};

use super::wire;
use crate::{
    App, Error,
    access::{Access, Caller},
    account,
    http::api::page::{PageQuery, answer},
    model::level::Level,
};

pub(in crate::http::api) const ACCESS: Access = Access {
    scopes: &["idn:accounts:read", "idn:accounts:manage"],
    levels: &[Level::OrgAdmin, Level::SourceAdmin, Level::SourceSubadmin, Level::Helpdesk],
    api_client: true,
};

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    query: PageQuery,
) -> Result<Response, Error> {
    let page = account::list(&app, &caller, &query.asked).await?;
    Ok(answer(page, |account| wire(&account)))
}
