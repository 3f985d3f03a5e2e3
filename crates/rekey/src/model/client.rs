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
    /// The kind of client.
    pub kind: ClientKind,
    /// The display name.
    pub name: String,
    /// The keyed digest of the secret; none for a public client.
    pub secret_digest: Option<Vec<u8>>,
    /// The owner of a personal access token.
    pub identity_id: Option<IdentityId>,
    /// The maximum scope of its tokens.
    pub scope: Json<Vec<String>>,
    /// The grants with which it may get tokens.
    pub grant_types: Json<Vec<GrantType>>,
    /// The allowed redirect URIs.
    pub redirect_uris: Json<Vec<String>>,
    /// The lifetime of its access tokens, in seconds.
    pub validity: i64,
    /// Whether it is enabled.
    pub enabled: bool,
    /// The time of its expiry.
    pub expires: Option<Micros>,
    /// When it last got a token, to a day.
    pub last_used: Option<Micros>,
    /// The token generation: it increases when all its tokens are revoked.
    pub generation: i64,
    /// The time of creation.
    pub created: Micros,
    /// The time of the last modification.
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

/// The kind of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// An API client: it belongs to no person.
    ApiClient,
    /// A personal access token: it belongs to a person.
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

/// A grant type (RFC 6749).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GrantType {
    /// A person signs in, and the client exchanges the code.
    AuthorizationCode,
    /// The client presents its own secret.
    ClientCredentials,
    /// The client presents a refresh token that it got before.
    RefreshToken,
}

impl Client {
    /// Whether it has no secret, such as an app on a person's device.
    pub fn is_public(&self) -> bool {
        self.secret_digest.is_none()
    }

    /// The detail of an audit row, with the client's name. The name of a personal access token is
    /// personal data: people name their tokens after themselves.
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

    /// Whether the client may use this grant.
    pub fn may(&self, grant: GrantType) -> bool {
        self.grant_types.0.contains(&grant)
    }

    /// Whether the client is enabled and not expired at `now`.
    pub fn is_usable(&self, now: Micros) -> bool {
        self.enabled && self.expires.is_none_or(|expires| now < expires)
    }
}
