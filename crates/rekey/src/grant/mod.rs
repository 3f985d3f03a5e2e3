//! Grants: the ways to an access token (RFC 6749; docs/contract.md#token-requests).

use std::time::Duration;

mod authorization_code;
mod authorize;

pub use self::{
    authorization_code::{Exchange, authorization_code},
    authorize::{Ask, Asked, Denied, asked, give_code},
};
use crate::{
    App, Error,
    access::{ALL, ENDPOINT},
    audit::{Attempt, Party, attempted},
    model::{
        audit::UNKNOWN,
        client::{Client, ClientKind, GrantType},
        id::{ClientId, IdentityId},
        identity::Identity,
        time::Micros,
    },
    store::{self, Audit, Tx},
    token::{Claims, Grant},
};

/// The precision of a client's last use (docs/contract.md#personal-access-tokens).
const LAST_USED: Duration = Duration::from_hours(24);

/// A client's id and, unless it is public, its secret.
pub struct Credentials {
    /// The `client_id`.
    pub id: ClientId,
    /// The `client_secret`.
    pub secret: Option<String>,
}

/// An issued token with its claims.
pub struct Issued {
    /// The access token.
    pub token: String,
    /// Its claims.
    pub claims: Claims,
}

/// The reason for refusing a token request: OAuth's error codes (RFC 6749, section 5.2), each with
/// a sentence.
#[derive(Debug)]
pub enum Refusal {
    /// An internal error.
    Failed(Error),
    /// The client is unknown, its secret is wrong, or it may not be used: the answer never says
    /// which.
    InvalidClient,
    /// The code is invalid, used, or no longer valid.
    InvalidGrant(&'static str),
    /// The request is malformed.
    InvalidRequest(String),
    /// A scope that the client does not have.
    InvalidScope(String),
    /// The client may not use this grant type.
    UnauthorizedClient(&'static str),
    /// The grant type does not exist.
    UnsupportedGrantType(String),
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl store::Fail for Refusal {
    fn store(&self) -> Option<&store::Error> {
        if let Self::Failed(error) = self { error.store() } else { None }
    }
}

/// Issues a token for the client itself, or for the owner of a personal access token.
pub async fn client_credentials(
    app: &App,
    credentials: &Credentials,
    scope: Option<&str>,
) -> Result<Issued, Refusal> {
    let (client, owner) = authenticate(app, credentials).await?;
    if client.is_public() {
        return Err(Refusal::InvalidClient);
    }
    if !client.may(GrantType::ClientCredentials) {
        return Err(Refusal::UnauthorizedClient("the client may not use client_credentials"));
    }
    let scope = narrow(&client.scope.0, scope).map_err(Refusal::InvalidScope)?;
    let grant = Grant { client: &client, identity: owner.as_ref(), scope, code: None };
    issue(app, grant).await
}

/// The client with these credentials, and the owner of a personal access token. A public client has
/// no secret.
async fn authenticate(
    app: &App,
    credentials: &Credentials,
) -> Result<(Client, Option<Identity>), Refusal> {
    let id = credentials.id.clone();
    let secret = credentials.secret.as_deref();
    let digest = app.tokens.secret_digest(&id, secret.unwrap_or_default());
    let found = app
        .store
        .read(move |tx: &mut Tx<'_>| -> Result<_, Error> {
            let Some(client) = tx.client_with(&id, &digest)? else { return Ok(None) };
            let owner = client.identity_id.as_ref().map(|owner| tx.identity(owner)).transpose()?;
            Ok(Some((client, owner.flatten())))
        })
        .await?;
    let client = found.as_ref().map(|(client, _)| client);
    let known = app.tokens.is_secret(&credentials.id, client, secret.unwrap_or_default());
    let why = why_not(app, found.as_ref(), secret, known);
    match (found, why) {
        (Some(found), None) => Ok(found),
        (_, why) => {
            record_refusal(app, &credentials.id, why).await?;
            Err(Refusal::InvalidClient)
        }
    }
}

/// Records that no token was issued. Whether the client exists is read in all cases and only for
/// the audit trail: the answer is the same and takes the same queries.
async fn record_refusal(app: &App, id: &ClientId, why: Option<&'static str>) -> Result<(), Error> {
    let wanted = id.clone();
    let kind = app.store.read(move |tx: &mut Tx<'_>| tx.client_kind(&wanted)).await?;
    let (object, why, party) = match kind {
        None => (UNKNOWN, why.unwrap_or("there is no such client"), Party::Strangers),
        Some(_) => {
            (id.as_str(), why.unwrap_or("the secret is wrong"), Party::Known(id.to_string()))
        }
    };
    let action = match kind {
        Some(ClientKind::PersonalAccessToken) => "PERSONAL_ACCESS_TOKEN_USE_FAILED",
        Some(ClientKind::ApiClient) | None => "CLIENT_TOKEN_ISSUE",
    };
    let (why, detail) = (Some(why), serde_json::json!({}));
    attempted(&app.audit, Attempt { actor: UNKNOWN, action, object, why, detail, party });
    Ok(())
}

/// The reason for refusing these credentials, for the audit trail only; `None` if they are valid or
/// the client was not found.
fn why_not(
    app: &App,
    found: Option<&(Client, Option<Identity>)>,
    secret: Option<&str>,
    known: bool,
) -> Option<&'static str> {
    let (client, owner) = found?;
    let proven = if client.is_public() { secret.is_none() } else { known };
    let belongs =
        client.kind == ClientKind::ApiClient || owner.as_ref().is_some_and(|owner| owner.enabled);
    if !proven {
        Some("the secret is wrong")
    } else if !belongs {
        Some("the owner is disabled or removed")
    } else if client.is_usable(app.clock.now()) {
        None
    } else {
        Some("the client is disabled or has expired")
    }
}

/// Signs the token, and records the client's use at most once a day.
async fn issue(app: &App, grant: Grant<'_>) -> Result<Issued, Refusal> {
    let now: Micros = app.clock.now();
    let client = grant.client;
    if client.last_used.is_none_or(|last| now >= last.plus(LAST_USED)) {
        let used = client.clone();
        let noted = app.store.write(move |tx: &mut Tx<'_>| note_use(tx, &used)).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "the use of a client could not be noted");
        }
    }
    let (token, claims) = app.tokens.issue(grant, app.config.base_url(), now)?;
    Ok(Issued { token, claims })
}

fn note_use(tx: &mut Tx<'_>, client: &Client) -> Result<(), store::Error> {
    tx.set_client_used(&client.id)?;
    let action = match client.kind {
        ClientKind::ApiClient => "CLIENT_TOKEN_ISSUE",
        ClientKind::PersonalAccessToken => "PERSONAL_ACCESS_TOKEN_USED",
    };
    let object = client.id.as_str();
    let actor = client.identity_id.as_ref().map_or(object, IdentityId::as_str);
    let detail = client.named(serde_json::json!({}));
    tx.audit(Audit { actor, action, object, detail })
}

/// The requested scopes, all of which the client must have; without a request, all that it has.
fn narrow(has: &[String], asked: Option<&str>) -> Result<Vec<String>, String> {
    let asked: Vec<String> =
        asked.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
    if asked.is_empty() {
        return Ok(has.to_vec());
    }
    let whole = has.iter().any(|scope| scope == ALL);
    let may = |scope: &String| has.contains(scope) || whole && scope != ENDPOINT;
    match asked.iter().find(|scope| !may(scope)) {
        None => Ok(asked),
        Some(scope) => Err(format!("the client does not have the scope {scope}")),
    }
}
