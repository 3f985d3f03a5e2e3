//! Personal access tokens and API clients.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    audit::personal::MEMBER,
    column::{Json, from_row, text_value},
    id::{ClientId, IdentityId},
    time::Micros,
};

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
