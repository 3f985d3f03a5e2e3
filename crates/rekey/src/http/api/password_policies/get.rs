//! `GET /password-policies/{id}`.

use axum::{Extension, Json, extract::State};
use serde_json::Value;

use super::wire;
use crate::{
    App, Error,
    http::api::path::{Id, Style},
    model::id::PolicyId,
    policy,
};

pub(in crate::http::api) use super::list::ACCESS;

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    style: Option<Extension<Style>>,
    Id(id): Id<PolicyId>,
) -> Result<Json<Value>, Error> {
    let style = style.map_or(Style::Latest, |Extension(style)| style);
    let policies = policy::all(&app).await?;
    let found = policies.iter().find(|described| described.policy.id == id);
    Ok(Json(wire(found.ok_or(Error::NotFound("password policy"))?, style)))
}
