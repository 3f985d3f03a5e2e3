//! Authorization requests through a person's browser, and the codes that answer them (RFC 6749,
//! section 4.1; RFC 7636; docs/contract.md#authorization-code).

use std::time::Duration;

use form_urlencoded::Serializer;
use rekey_vault::sha256;
use serde_json::json;

use super::narrow;
use crate::{
    App, Error,
    client::VALIDITY,
    model::{
        client::{Client, GrantType},
        column::Json,
        id::ClientId,
    },
    sign_in::SignedIn,
    store::{Audit, AuthorizationCode, Tx},
    token::random_hex,
};

/// The lifetime of a code: RFC 9700 asks for a short one, the contract for at most 5 minutes.
const LIFE: Duration = Duration::from_mins(1);
/// The time for which a code is kept: longer than any token issued for it lives.
const KEPT: Duration = Duration::from_secs(VALIDITY.unsigned_abs() + 3600);
/// The length of an `S256` challenge, in characters (RFC 7636, section 4.2).
const CHALLENGE: usize = 43;

/// The parameters as the client sent them.
#[expect(missing_docs, reason = "OAuth's own words")]
pub struct Ask<'a> {
    pub client_id: Option<&'a str>,
    pub redirect_uri: Option<&'a str>,
    pub response_type: Option<&'a str>,
    pub scope: Option<&'a str>,
    pub state: Option<&'a str>,
    pub code_challenge: Option<&'a str>,
    pub code_challenge_method: Option<&'a str>,
}

/// A valid authorization request.
pub struct Asked {
    /// The client.
    pub client: Client,
    /// The target of the answer: one of the client's registered URIs.
    pub redirect_uri: String,
    /// The client's opaque `state`, which the answer repeats.
    pub state: Option<String>,
    scope: Vec<String>,
    challenge: Option<String>,
}

/// The reason for refusing an authorization request.
#[derive(Debug)]
pub enum Denied {
    /// An internal error.
    Failed(Error),
    /// The client or its URI is invalid, so no redirect is safe: the person sees this sentence.
    Page(&'static str),
    /// The client receives the error, at this URI.
    Redirect(String),
}

/// Validates an authorization request.
pub async fn asked(app: &App, ask: Ask<'_>) -> Result<Asked, Denied> {
    let id = ClientId(ask.client_id.unwrap_or_default().to_owned());
    let found = app.store.read(move |tx: &mut Tx<'_>| tx.client(&id)).await;
    let client = found.map_err(|error| Denied::Failed(error.into()))?;
    let client = client
        .filter(|client| client.is_usable(app.clock.now()) && client.identity_id.is_none())
        .ok_or(Denied::Page("The application that sent you here is not known to rekey."))?;
    let redirect_uri = ask
        .redirect_uri
        .filter(|uri| client.redirect_uris.0.iter().any(|known| known == uri))
        .ok_or(Denied::Page(
            "The application that sent you here asked for an address that is not registered for it.",
        ))?
        .to_owned();
    let state = ask.state.map(str::to_owned);
    let asked = Asked { client, redirect_uri, state, scope: Vec::new(), challenge: None };
    match judge(&asked.client, &ask) {
        Ok((scope, challenge)) => Ok(Asked { scope, challenge, ..asked }),
        Err((error, text)) => Err(Denied::Redirect(asked.refused(app, error, &text))),
    }
}

type Judged = (Vec<String>, Option<String>);

/// Checks that follow once the redirect URI is trusted; the client receives their errors.
fn judge(client: &Client, ask: &Ask<'_>) -> Result<Judged, (&'static str, String)> {
    if !client.may(GrantType::AuthorizationCode) {
        return Err(("unauthorized_client", "the client may not use authorization_code".into()));
    }
    match ask.response_type {
        Some("code") => {}
        Some(_) => return Err(("unsupported_response_type", "response_type must be code".into())),
        None => return Err(("invalid_request", "the parameter response_type is missing".into())),
    }
    let scope = narrow(&client.scope.0, ask.scope).map_err(|text| ("invalid_scope", text))?;
    let challenge = match (ask.code_challenge, ask.code_challenge_method) {
        (Some(challenge), Some("S256")) if is_challenge(challenge) => Some(challenge.to_owned()),
        (Some(_), Some("S256")) => {
            return Err(("invalid_request", "code_challenge is not a SHA-256 in base64url".into()));
        }
        (Some(_), _) => {
            return Err(("invalid_request", "code_challenge_method must be S256".into()));
        }
        (None, _) if client.is_public() => {
            return Err(("invalid_request", "a public client must send code_challenge".into()));
        }
        (None, _) => None,
    };
    Ok((scope, challenge))
}

fn is_challenge(text: &str) -> bool {
    text.len() == CHALLENGE
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Creates a code for the person who signed in. Returns the URI that takes it to the client.
pub async fn give_code(app: &App, asked: &Asked, who: &SignedIn) -> Result<String, Error> {
    let (code, now) = (random_hex()?, app.clock.now());
    let row = AuthorizationCode {
        digest: sha256(code.as_bytes()).to_vec(),
        client_id: asked.client.id.clone(),
        identity_id: who.identity.id.clone(),
        signed_in: now,
        sign_in_generation: who.generation,
        redirect_uri: asked.redirect_uri.clone(),
        challenge: asked.challenge.clone(),
        scope: Json(asked.scope.clone()),
        expires: now.plus(LIFE),
        used: false,
        revoked: false,
    };
    app.store
        .write(move |tx: &mut Tx<'_>| -> Result<(), Error> {
            let now = tx.now()?;
            tx.remove_old_authorization_codes(now.minus(KEPT))?;
            tx.insert_authorization_code(&row)?;
            let detail = json!({ "clientId": row.client_id, "scope": row.scope.0 });
            let actor = row.identity_id.as_str();
            let action = "USER_AUTHORIZATION_CODE_CREATED";
            Ok(tx.audit(Audit { actor, action, object: actor, detail })?)
        })
        .await?;
    Ok(asked.back(app, &[("code", &code)]))
}

impl Asked {
    /// The URI that takes an error to the client.
    pub fn refused(&self, app: &App, error: &str, text: &str) -> String {
        self.back(app, &[("error", error), ("error_description", text)])
    }

    /// The redirect URI with an answer, the client's state and the issuer (RFC 9207).
    fn back(&self, app: &App, answer: &[(&str, &str)]) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(answer);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &app.config.base_url());
        let joint = if self.redirect_uri.contains('?') { '&' } else { '?' };
        format!("{}{joint}{}", self.redirect_uri, query.finish())
    }
}
