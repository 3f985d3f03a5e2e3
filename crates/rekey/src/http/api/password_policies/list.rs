//! `GET /password-policies`.

use axum::{Extension, extract::State, response::Response};

use super::wire;
use crate::{
    App, Error,
    access::Access,
    http::api::{
        page::{PageQuery, answer, cut},
        path::Style,
    },
    model::level::Level,
    policy,
};

pub(in crate::http::api) const ACCESS: Access = Access {
    scopes: &["idn:password-policy:read", "idn:password-policy:write"],
    levels: &[Level::OrgAdmin],
    api_client: true,
};

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    style: Option<Extension<Style>>,
    query: PageQuery,
) -> Result<Response, Error> {
    let style = style.map_or(Style::Latest, |Extension(style)| style);
    let policies = policy::all(&app).await?;
    Ok(answer(cut(policies, &query.asked), |policy| wire(&policy, style)))
}
