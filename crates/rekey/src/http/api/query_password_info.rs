//! `POST /query-password-info`.

use axum::{Json, extract::State, http::HeaderMap};
use base64::{Engine, prelude::BASE64_STANDARD};
use rekey_vault::Padding;
use serde::{Deserialize, Serialize};

use super::body::JsonBody;
use crate::{
    App, Error,
    access::{Access, Caller},
    error::BadRequest,
    model::id::{IdentityId, KeyId, SourceId},
    password::info,
};

pub(super) const ACCESS: Access =
    Access { scopes: &["idn:password-info:read"], levels: &[], api_client: true };

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    user_name: Option<String>,
    source_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    identity_id: IdentityId,
    source_id: SourceId,
    public_key_id: KeyId,
    public_key: String,
    /// An addition to the contract: the same key in PEM, as `openssl` reads it.
    public_key_pem: String,
    accounts: Vec<AccountName>,
    policies: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountName {
    account_id: String,
    account_name: String,
}

pub(super) async fn handler(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(request): JsonBody<Request>,
) -> Result<Json<Response>, Error> {
    let user_name = required(request.user_name, "userName", "the login name of the person")?;
    let source_name =
        required(request.source_name, "sourceName", "the display name of the source")?;
    let info = info::info(&app, &caller, user_name, source_name, padding(&headers)).await?;
    let public_key = BASE64_STANDARD.encode(&info.key.spki);
    Ok(Json(Response {
        identity_id: info.identity_id,
        source_id: info.source.id,
        public_key_id: info.key.id,
        public_key_pem: pem(&public_key),
        public_key,
        accounts: info
            .accounts
            .into_iter()
            .map(|account| AccountName {
                account_id: account.native_identity,
                account_name: account.name,
            })
            .collect(),
        policies: info.policies,
    }))
}

fn required(member: Option<String>, name: &str, what: &str) -> Result<String, Error> {
    member
        .filter(|text| !text.trim().is_empty())
        .ok_or_else(|| Error::bad(BadRequest::Missing, format!("{name} is missing: send {what}")))
}

/// The padding that the client prefers: `Prefer: rekey-padding=oaep-sha256` selects OAEP, and
/// without it the contract's PKCS #1 v1.5 applies.
fn padding(headers: &HeaderMap) -> Padding {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.trim().strip_prefix("rekey-padding="))
        .find_map(|padding| Padding::parse(padding.trim_matches('"')))
        .unwrap_or(Padding::Pkcs1v15)
}

fn pem(base64: &str) -> String {
    let lines: Vec<_> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}
