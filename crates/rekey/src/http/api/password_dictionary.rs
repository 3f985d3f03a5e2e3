//! `GET /password-dictionary`: the dictionary file as it was uploaded, as `text/plain` whatever
//! `Accept` says.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use crate::{App, Error, access::Access, model::level::Level, policy};

pub(super) const ACCESS: Access = Access {
    scopes: &["idn:password-dictionary:read", "idn:password-dictionary:manage"],
    levels: &[Level::OrgAdmin],
    api_client: true,
};

pub(super) async fn handler(State(app): State<App>) -> Result<Response, Error> {
    let text = policy::dictionary(&app).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}
