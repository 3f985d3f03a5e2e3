//! `POST /oauth/token`: a hot path, since some SDKs fetch a token before every call.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;

use super::parameters::Parameters;
use crate::{
    App,
    grant::{self, Exchange, Issued, Refusal},
    http::api::{Limits, error::too_many},
    model::id::IdentityId,
};

/// The response: OAuth's members (RFC 6749, section 5.1), then ISC's.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the contract's own members")]
struct Answer {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    scope: String,
    #[serde(rename = "accessType")]
    access_type: String,
    tenant_id: String,
    internal: bool,
    pod: String,
    strong_auth_supported: bool,
    org: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<IdentityId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_id: Option<IdentityId>,
    strong_auth: bool,
    enabled: bool,
    jti: String,
}

pub(super) async fn handler(
    State(app): State<App>,
    Extension(limits): Extension<Arc<Limits>>,
    request: Request,
) -> Response {
    let from = request.extensions().clone();
    let parameters = match Parameters::read(request).await {
        Ok(Ok(parameters)) => parameters,
        Ok(Err(refusal)) => return refuse(refusal, false),
        Err(response) => return response,
    };
    match grant(&app, &parameters).await {
        Ok(issued) => (no_store(), Json(answer(issued))).into_response(),
        Err(refusal) => {
            let guess = matches!(refusal, Refusal::InvalidClient | Refusal::InvalidGrant(_));
            if guess && let Err(seconds) = limits.failure(&from) {
                return too_many(seconds);
            }
            refuse(refusal, parameters.is_basic())
        }
    }
}

async fn grant(app: &App, parameters: &Parameters) -> Result<Issued, Refusal> {
    let grant_type = parameters.require("grant_type")?;
    match grant_type.to_ascii_lowercase().as_str() {
        "client_credentials" => {
            let credentials = parameters.credentials()?;
            grant::client_credentials(app, &credentials, parameters.get("scope")).await
        }
        "authorization_code" => {
            let exchange = Exchange {
                code: parameters.require("code")?.to_owned(),
                redirect_uri: parameters.require("redirect_uri")?.to_owned(),
                verifier: parameters.get("code_verifier").map(str::to_owned),
            };
            grant::authorization_code(app, &parameters.credentials()?, exchange).await
        }
        _ => Err(Refusal::UnsupportedGrantType(
            "grant_type must be client_credentials or authorization_code".into(),
        )),
    }
}

fn answer(issued: Issued) -> Answer {
    let Issued { token, claims } = issued;
    Answer {
        access_token: token,
        token_type: "bearer",
        expires_in: claims.exp - claims.iat,
        scope: claims.scope.join(" "),
        access_type: claims.access_type,
        tenant_id: claims.tenant_id,
        internal: claims.internal,
        pod: claims.pod,
        strong_auth_supported: claims.strong_auth_supported,
        org: claims.org,
        user_id: claims.user_id,
        identity_id: claims.identity_id,
        strong_auth: claims.strong_auth,
        enabled: claims.enabled,
        jti: claims.jti,
    }
}

/// The response with OAuth's error body (RFC 6749, section 5.2) instead of the contract's
/// `ErrorResponseDto`.
fn refuse(refusal: Refusal, basic: bool) -> Response {
    let (status, error, text) = match refusal {
        Refusal::Failed(error) => return error.into_response(),
        Refusal::InvalidClient => {
            (StatusCode::UNAUTHORIZED, "invalid_client", "Bad client credentials".to_owned())
        }
        Refusal::InvalidGrant(text) => (StatusCode::BAD_REQUEST, "invalid_grant", text.to_owned()),
        Refusal::InvalidRequest(text) => (StatusCode::BAD_REQUEST, "invalid_request", text),
        Refusal::InvalidScope(text) => (StatusCode::BAD_REQUEST, "invalid_scope", text),
        Refusal::UnauthorizedClient(text) => {
            (StatusCode::BAD_REQUEST, "unauthorized_client", text.to_owned())
        }
        Refusal::UnsupportedGrantType(text) => {
            (StatusCode::BAD_REQUEST, "unsupported_grant_type", text)
        }
    };
    let body = Json(json!({ "error": error, "error_description": text }));
    let mut response = (status, no_store(), body).into_response();
    if basic && status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"rekey\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn no_store() -> [(header::HeaderName, &'static str); 2] {
    [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")]
}
