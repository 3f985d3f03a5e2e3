//! `POST /set-password`.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tracing::{Instrument, Span};

use super::{body::JsonBody, trail};
use crate::{
    App, Error,
    access::{Access, Caller},
    error::BadRequest,
    model::{
        change::{self, Outcome},
        id::{ChangeId, IdentityId, KeyId, SourceId},
    },
    password::{
        accept::{self, Ask},
        status,
    },
};

pub(super) const ACCESS: Access =
    Access { scopes: &["idn:password-change:manage"], levels: &[], api_client: true };

/// The longest `Prefer: wait`, in seconds.
const LONGEST_WAIT: u64 = 30;
/// The longest `encryptedPassword`, in characters: a base64 ciphertext of the largest key, with
/// line breaks and a margin.
const LONGEST: usize = 16 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    identity_id: Option<String>,
    encrypted_password: Option<String>,
    public_key_id: Option<String>,
    account_id: Option<String>,
    source_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    request_id: ChangeId,
    state: change::State,
}

pub(super) async fn handler(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(request): JsonBody<Request>,
) -> Result<Response, Error> {
    let mut ask = request.ask()?;
    ask.idempotency_key = idempotency_key(&headers)?;
    let since = Instant::now();
    let (wait, id) = (wait(&headers), accept::new_id(&app));
    // The waiter is registered before the change exists, so that no notification can be missed.
    let waiter = wait.map(|_| app.waiters.register(&id));
    let whose = ask.identity_id.clone();
    let accepting = accept::accept_as(&app, &caller, id, ask);
    let accepted = match accepting.instrument(tracing::info_span!("accept")).await {
        Ok(accepted) => accepted,
        Err(error) => return Ok(trail::about(error, whose.as_str())),
    };
    Span::current().record("request_id", accepted.id.as_str());
    if accepted.is_resend {
        app.metrics().resent();
    } else {
        app.metrics().accepted(since);
    }
    for kind in &accepted.superseded {
        app.metrics().counted(kind, Outcome::Superseded.label());
    }
    let mut state = accepted.state;
    if let Some(seconds) = wait.filter(|_| state == change::State::InProgress) {
        // A resend refers to the change that was accepted earlier, for which this waiter is not
        // registered.
        let waiter = waiter.filter(|waiter| waiter.id == accepted.id);
        let patience = Duration::from_secs(seconds);
        state = status::wait(&app, &accepted.id, waiter, patience).await?;
    }
    let body = Json(Body { request_id: accepted.id, state });
    let mut response = (StatusCode::ACCEPTED, body).into_response();
    if let Some(applied) = wait.and_then(|s| HeaderValue::from_str(&format!("wait={s}")).ok()) {
        response.headers_mut().insert(HeaderName::from_static("preference-applied"), applied);
    }
    Ok(response)
}

impl Request {
    fn ask(self) -> Result<Ask, Error> {
        let encrypted_password = required(self.encrypted_password, "encryptedPassword")?;
        if encrypted_password.len() > LONGEST {
            return Err(Error::bad(
                BadRequest::Length,
                format!(
                    "encryptedPassword is longer than {LONGEST} characters: send one RSA ciphertext in base64"
                ),
            ));
        }
        Ok(Ask {
            identity_id: IdentityId(required(self.identity_id, "identityId")?),
            source_id: SourceId(required(self.source_id, "sourceId")?),
            account_id: self.account_id.filter(|account| !account.is_empty()),
            public_key_id: KeyId(required(self.public_key_id, "publicKeyId")?),
            encrypted_password,
            idempotency_key: None,
        })
    }
}

fn required(member: Option<String>, name: &str) -> Result<String, Error> {
    member.filter(|text| !text.is_empty()).ok_or_else(|| {
        Error::bad(
            BadRequest::Missing,
            format!("{name} is missing: take it from the answer of query-password-info"),
        )
    })
}

/// `Idempotency-Key`: 1 to 255 visible ASCII characters, with or without quotation marks.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let name = value.to_str().unwrap_or_default().trim().trim_matches('"');
    if name.is_empty() || name.len() > 255 {
        let text = "Idempotency-Key must have 1 to 255 visible ASCII characters";
        return Err(Error::bad(BadRequest::Length, text));
    }
    Ok(Some(name.to_owned()))
}

/// The seconds of `Prefer: wait=N` (RFC 7240), capped at [`LONGEST_WAIT`].
fn wait(headers: &HeaderMap) -> Option<u64> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.trim().split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse::<u64>().ok())
        .map(|seconds| seconds.min(LONGEST_WAIT))
}
