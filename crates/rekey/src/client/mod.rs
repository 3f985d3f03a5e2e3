//! The clients of the token endpoint: personal access tokens, which act for their owner, and API
//! clients, which act for themselves or for a person that signs in.

use serde_json::json;

use crate::{
    App, Error,
    access::{ALL, ENDPOINT},
    error::BadRequest,
    model::{
        client::{Client, ClientKind},
        column::Json,
        id::ClientId,
    },
    store::{Audit, Tx},
    token::random_hex,
};

mod api_client;
mod personal_access_token;

pub use self::{
    api_client::{Wanted, create_api_client},
    personal_access_token::{NewToken, create_personal_access_token},
};

/// The maximum lifetime of an access token, in seconds, and the default: 12 hours, since no SDK
/// fetches a second token.
pub const VALIDITY: i64 = 43_200;
/// The minimum lifetime of an access token, in seconds
/// (docs/contract.md#clients-and-token-lifetimes).
const SHORTEST: i64 = 15;
/// The maximum length of a name, in characters.
const NAME: usize = 128;

/// A new client's credentials. The secret cannot be retrieved again.
pub struct Created {
    /// OAuth's `client_id`.
    pub id: ClientId,
    /// 64 lower-case hex digits; empty for a public client.
    pub secret: String,
}

/// Deletes a client, which revokes all its tokens.
pub async fn delete(app: &App, id: &ClientId, actor: &str) -> Result<Client, Error> {
    let (id, actor) = (id.clone(), actor.to_owned());
    app.store
        .write(move |tx: &mut Tx<'_>| {
            let client = tx.client(&id)?.ok_or(Error::NotFound("client"))?;
            remove(tx, &client, &actor)?;
            Ok(client)
        })
        .await
}

/// Deletes a client as [`delete`] does, inside the caller's transaction.
pub fn remove(tx: &mut Tx<'_>, client: &Client, actor: &str) -> Result<(), Error> {
    tx.delete_client(&client.id)?;
    let action = match client.kind {
        ClientKind::ApiClient => "API_CLIENT_DELETED",
        ClientKind::PersonalAccessToken => "PERSONAL_ACCESS_TOKEN_DELETED",
    };
    audit(tx, actor, action, client)
}

/// Checks the input, and makes a new client and its secret.
fn new(
    app: &App,
    kind: ClientKind,
    name: &str,
    mut scope: Vec<String>,
    validity: i64,
) -> Result<(Client, String), Error> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME {
        return Err(Error::bad(
            BadRequest::Length,
            format!("name must have 1 to {NAME} characters"),
        ));
    }
    if !(SHORTEST..=VALIDITY).contains(&validity) {
        return Err(Error::bad(
            BadRequest::IllegalValue,
            format!("accessTokenValiditySeconds must be {SHORTEST} to {VALIDITY}"),
        ));
    }
    if scope.is_empty() {
        scope.push(ALL.to_owned());
    }
    if let Some(bad) = scope.iter().find(|scope| !is_scope(scope)) {
        return Err(Error::bad(
            BadRequest::IllegalValue,
            format!("`{bad}` cannot be a scope: it must be visible ASCII without blanks"),
        ));
    }
    // A misspelled scope of rekey's own would grant nothing, and no error would report that.
    if let Some(bad) = scope.iter().find(|scope| scope.starts_with("rekey:") && *scope != ENDPOINT)
    {
        let near = rekey_connectors::nearest(bad, [ENDPOINT]);
        return Err(Error::bad(BadRequest::IllegalValue, format!("there is no scope {bad}{near}")));
    }
    let (id, secret) = (ClientId::new(), random_hex()?);
    let now = app.clock.now();
    let client = Client {
        kind,
        name: name.to_owned(),
        secret_digest: Some(app.tokens.secret_digest(&id, &secret).to_vec()),
        id,
        identity_id: None,
        scope: Json(scope),
        grant_types: Json(Vec::new()),
        redirect_uris: Json(Vec::new()),
        validity,
        enabled: true,
        expires: None,
        last_used: None,
        generation: 1,
        created: now,
        modified: now,
    };
    Ok((client, secret))
}

/// Whether a text is a scope token (RFC 6749, section 3.3).
fn is_scope(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

fn audit(tx: &mut Tx<'_>, actor: &str, action: &str, client: &Client) -> Result<(), Error> {
    let detail = client.named(json!({
        "scope": client.scope.0,
        "grantTypes": client.grant_types.0,
        "validity": client.validity,
        "enabled": client.enabled,
    }));
    Ok(tx.audit(Audit { actor, action, object: client.id.as_str(), detail })?)
}
