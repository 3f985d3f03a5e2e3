//! `GET /oauth/info`: the addresses for sign-in and tokens (docs/contract.md#where-to-sign-in).

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{App, token::DEPLOYMENT};

/// The members that the contract names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info {
    tenant_id: String,
    tenant_name: &'static str,
    authorize_endpoint: String,
    token_endpoint: String,
    cloud_domain_url: String,
    logout_url: String,
    pod: &'static str,
}

pub(super) async fn handler(State(app): State<App>) -> Json<Info> {
    let base = app.config.base_url();
    Json(Info {
        tenant_id: app.tokens.tenant_id().to_owned(),
        tenant_name: DEPLOYMENT,
        authorize_endpoint: format!("{base}/oauth/authorize"),
        token_endpoint: format!("{base}/oauth/token"),
        // rekey keeps no session, so a logout has nothing to end.
        logout_url: format!("{base}/"),
        cloud_domain_url: base,
        pod: DEPLOYMENT,
    })
}
