//! The claims of an access token (docs/contract.md#access-tokens).

use serde::{Deserialize, Serialize};

use super::Grant;
use crate::{
    model::{
        id::{ClientId, IdentityId},
        level::Level,
        time::Micros,
    },
    store::Standing,
};

/// The value of `pod` and `org`, where ISC has the names of its deployment.
pub(crate) const DEPLOYMENT: &str = "rekey";

/// ISC's claims, followed by rekey's own.
#[derive(Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the contract's own words, up to `jti`")]
#[expect(clippy::struct_excessive_bools, reason = "the contract's own members")]
pub struct Claims {
    pub tenant_id: String,
    pub internal: bool,
    pub pod: String,
    pub org: String,
    /// Absent if the token belongs to an API client rather than a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_id: Option<IdentityId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    pub strong_auth: bool,
    pub authorities: Vec<Authority>,
    pub enabled: bool,
    pub client_id: ClientId,
    #[serde(rename = "accessType")]
    pub access_type: String,
    pub strong_auth_supported: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<IdentityId>,
    pub scope: Vec<String>,
    /// Expiry, in seconds since 1970.
    pub exp: i64,
    /// Time of issue, in seconds since 1970.
    pub iat: i64,
    pub iss: String,
    pub jti: String,
    /// The client's generation at the time of issue.
    pub client_generation: i64,
    /// The person's generation at the time of issue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_generation: Option<i64>,
    /// SHA-256, in hex, of the authorization code that the token was issued for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The time at which the person signed in for that code, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// The number of changes that the person's sign-in password had had at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in_generation: Option<i64>,
}

/// A user level of a person, or `API` for an API client.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Authority {
    /// A person's level.
    Level(Level),
    /// `API`, for an API client.
    Other(String),
}

impl Claims {
    pub(super) fn new(grant: Grant<'_>, tenant_id: String, issuer: String, now: Micros) -> Self {
        let Grant { client, identity, scope, code } = grant;
        let end = now.seconds().saturating_add(client.validity);
        let authorities = match identity {
            Some(identity) => {
                identity.capabilities.0.iter().copied().map(Authority::Level).collect()
            }
            None => vec![Authority::Other("API".into())],
        };
        Self {
            tenant_id,
            internal: false,
            pod: DEPLOYMENT.into(),
            org: DEPLOYMENT.into(),
            identity_id: identity.map(|identity| identity.id.clone()),
            user_name: identity.map(|identity| identity.alias.clone()),
            strong_auth: false,
            authorities,
            enabled: true,
            client_id: client.id.clone(),
            access_type: "OFFLINE".into(),
            strong_auth_supported: false,
            user_id: identity.map(|identity| identity.id.clone()),
            scope,
            exp: client.expires.map_or(end, |expires| end.min(expires.seconds())),
            iat: now.seconds(),
            iss: issuer,
            jti: uuid::Uuid::new_v4().to_string(),
            client_generation: client.generation,
            identity_generation: identity.map(|identity| identity.generation),
            code: code.as_ref().map(|code| rekey_vault::hex(&code.digest)),
            auth_time: code.as_ref().map(|code| code.signed_in.seconds()),
            sign_in_generation: code.as_ref().map(|code| code.sign_in_generation),
        }
    }

    /// The digest of the authorization code that the token was issued for.
    pub(super) fn code_digest(&self) -> Option<Vec<u8>> {
        let code = self.code.as_deref()?.as_bytes();
        code.chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect()
    }

    /// The time at which the person signed in, if the token was issued for an authorization code.
    /// Older tokens lack that time and count as of 1970.
    pub(super) fn signed_in(&self) -> Option<Micros> {
        self.code.as_ref()?;
        Some(Micros(self.auth_time.unwrap_or(0).saturating_mul(1_000_000)))
    }

    /// Checks the token against the current state; the error says why it is no longer valid.
    pub(super) fn check(&self, now: &Standing, at: Micros) -> Result<(), &'static str> {
        if !now.client_enabled || now.client_expires.is_some_and(|expires| expires <= at) {
            return Err("the client is disabled or has expired");
        }
        if now.client_generation != self.client_generation {
            return Err("the token was revoked");
        }
        if self.identity_id.is_some() {
            if now.identity_enabled != Some(true) {
                return Err("the identity is disabled or gone");
            }
            if now.identity_generation != self.identity_generation {
                return Err("the token was revoked");
            }
        }
        // Codes are kept longer than their tokens live, so a missing code counts as a revoked one.
        if self.code.is_some() && now.code_revoked != Some(false) {
            return Err("the token was revoked");
        }
        if self.code.is_some() && now.sign_in_generation != self.sign_in_generation.or(Some(0)) {
            return Err("the password was changed: sign in again");
        }
        Ok(())
    }
}
