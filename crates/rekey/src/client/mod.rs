//! Who may ask for access tokens: personal access tokens, which speak for their owner, and API
//! clients, which speak for themselves or for a person who signs in.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    App, Error,
    access::{ALL, ENDPOINT},
    audit::personal::MEMBER,
    clock::Micros,
    error::BadRequest,
    id::{ClientId, IdentityId},
    store::{Audit, Json, Tx, from_row, text_value},
    token::random_hex,
};

mod api_client;
mod personal_access_token;

pub use self::{
    api_client::{Wanted, create_api_client},
    personal_access_token::{NewToken, create_personal_access_token},
};

/// The longest life of an access token, and the default: 12 hours, since no SDK fetches a second.
pub const VALIDITY: i64 = 43_200;
/// The shortest life of an access token, in seconds (docs/contract.md#clients-and-token-lifetimes).
const SHORTEST: i64 = 15;
/// The longest name, in characters.
const NAME: usize = 128;

/// A personal access token or an API client.
#[derive(Clone)]
pub struct Client {
    /// OAuth's `client_id`: 32 lower-case hex digits.
    pub id: ClientId,
    /// Which of the two.
    pub kind: ClientKind,
    /// The name people read.
    pub name: String,
    /// The keyed digest of the secret; a public client has none.
    pub secret_digest: Option<Vec<u8>>,
    /// A personal access token's owner.
    pub identity_id: Option<IdentityId>,
    /// The most its tokens may have.
    pub scope: Json<Vec<String>>,
    /// How it may get tokens.
    pub grant_types: Json<Vec<GrantType>>,
    /// Where people may be sent back to.
    pub redirect_uris: Json<Vec<String>>,
    /// The life of its access tokens, in seconds.
    pub validity: i64,
    /// Whether it may be used.
    pub enabled: bool,
    /// When it ends.
    pub expires: Option<Micros>,
    /// When it last got a token, to a day.
    pub last_used: Option<Micros>,
    /// Moves when all its tokens are revoked.
    pub generation: i64,
    /// When it was made.
    pub created: Micros,
    /// When it was last changed.
    pub modified: Micros,
}

from_row!(Client {
    id,
    kind,
    name,
    secret_digest,
    identity_id,
    scope,
    grant_types,
    redirect_uris,
    validity,
    enabled,
    expires,
    last_used,
    generation,
    created,
    modified,
});

/// Which kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// Belongs to nobody.
    ApiClient,
    /// Belongs to a person.
    PersonalAccessToken,
}

impl ClientKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::ApiClient => "CLIENT",
            Self::PersonalAccessToken => "PAT",
        }
    }
    fn parse(text: &str) -> Option<Self> {
        [Self::ApiClient, Self::PersonalAccessToken].into_iter().find(|kind| kind.as_str() == text)
    }
}
text_value!(ClientKind);

/// How a client may get a token (RFC 6749).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GrantType {
    /// A person signs in.
    AuthorizationCode,
    /// With its own secret.
    ClientCredentials,
    /// With a token it got before.
    RefreshToken,
}

/// A new client's credentials: the secret is never to be had again.
pub struct Created {
    /// OAuth's `client_id`.
    pub id: ClientId,
    /// 64 lower-case hex digits; empty for a public client.
    pub secret: String,
}

impl Client {
    /// Whether it has no secret, as an app on someone's device.
    pub fn is_public(&self) -> bool {
        self.secret_digest.is_none()
    }

    /// The detail of an audit row, with the name. People name their tokens after themselves.
    pub fn named(&self, mut detail: Value) -> Value {
        let (member, name) = match self.kind {
            ClientKind::ApiClient => ("name", json!(self.name)),
            ClientKind::PersonalAccessToken => (MEMBER, json!({ "name": self.name })),
        };
        if let Some(members) = detail.as_object_mut() {
            members.insert(member.to_owned(), name);
        }
        detail
    }

    /// Whether it may get tokens this way.
    pub fn may(&self, grant: GrantType) -> bool {
        self.grant_types.0.contains(&grant)
    }

    /// Whether it may be used at `now`.
    pub fn is_usable(&self, now: Micros) -> bool {
        self.enabled && self.expires.is_none_or(|expires| now < expires)
    }
}

/// Removes a client, and ends every token it has.
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

/// [`delete`], inside the caller's deed.
pub fn remove(tx: &mut Tx<'_>, client: &Client, actor: &str) -> Result<(), Error> {
    tx.delete_client(&client.id)?;
    let action = match client.kind {
        ClientKind::ApiClient => "API_CLIENT_DELETED",
        ClientKind::PersonalAccessToken => "PERSONAL_ACCESS_TOKEN_DELETED",
    };
    audit(tx, actor, action, client)
}

/// A new client and its secret.
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
    // A slip in one of rekey's own would give nothing, and say so to nobody.
    if let Some(bad) = scope.iter().find(|scope| scope.starts_with("rekey:") && *scope != ENDPOINT)
    {
        let near = crate::nearest(bad, [ENDPOINT]);
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

/// What a scope may consist of (RFC 6749, section 3.3).
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
