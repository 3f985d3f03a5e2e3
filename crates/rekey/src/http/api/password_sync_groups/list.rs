//! `GET /password-sync-groups`.

use axum::{extract::State, response::Response};

use super::wire;
use crate::{
    App, Error,
    access::Access,
    http::api::page::{PageQuery, answer, cut},
    model::level::Level,
    sync_group,
};

pub(in crate::http::api) const ACCESS: Access = Access {
    scopes: &["idn:password-sync-group:read", "idn:password-sync-group:manage"],
    levels: &[Level::OrgAdmin],
    api_client: true,
};

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    query: PageQuery,
) -> Result<Response, Error> {
    let groups = sync_group::all(&app).await?;
    Ok(answer(cut(groups, &query.asked), |group| wire(&group)))
}
