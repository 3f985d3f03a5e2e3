//! Authorization codes: only their SHA-256 is kept.

use super::{Result, Tx};
use crate::model::{
    column::{Json, from_row},
    id::{ClientId, IdentityId},
    time::Micros,
};

/// An authorization code as the store has it (RFC 6749, section 4.1.2; RFC 7636).
pub struct AuthorizationCode {
    /// SHA-256 of the code.
    pub digest: Vec<u8>,
    /// The client it was issued to.
    pub client_id: ClientId,
    /// The person that signed in.
    pub identity_id: IdentityId,
    /// The redirect URI it was sent to.
    pub redirect_uri: String,
    /// The `S256` challenge, if the client sent one.
    pub challenge: Option<String>,
    /// When the person signed in.
    pub signed_in: Micros,
    /// The number of changes of the sign-in password at the time of the sign-in.
    pub sign_in_generation: i64,
    /// The requested scope.
    pub scope: Json<Vec<String>>,
    /// When the code expires.
    pub expires: Micros,
    /// Whether the code was exchanged.
    pub used: bool,
    /// Whether the code was exchanged again: its tokens are revoked.
    pub revoked: bool,
}
from_row!(AuthorizationCode {
    digest,
    client_id,
    identity_id,
    redirect_uri,
    challenge,
    signed_in,
    sign_in_generation,
    scope,
    expires,
    used,
    revoked,
});

impl Tx<'_> {
    /// A code by its digest.
    pub fn authorization_code(&mut self, digest: &[u8]) -> Result<Option<AuthorizationCode>> {
        let sql = "SELECT digest, client_id, identity_id, redirect_uri, challenge, signed_in, sign_in_generation,
                       scope, expires, used, revoked
                   FROM authorization_code WHERE digest = $1";
        self.maybe(sql, &[&digest])
    }

    /// Adds a code.
    pub fn insert_authorization_code(&mut self, code: &AuthorizationCode) -> Result<()> {
        let sql = "INSERT INTO authorization_code (digest, client_id, identity_id, redirect_uri, challenge, signed_in,
                       sign_in_generation, scope, expires, used, revoked)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        self.run_one(
            sql,
            &[
                &code.digest,
                &code.client_id,
                &code.identity_id,
                &code.redirect_uri,
                &code.challenge,
                &code.signed_in,
                &code.sign_in_generation,
                &code.scope,
                &code.expires,
                &code.used,
                &code.revoked,
            ],
        )
    }

    /// Marks a code as used. Returns false if it was used before.
    pub fn use_authorization_code(&mut self, digest: &[u8]) -> Result<bool> {
        let sql = "UPDATE authorization_code SET used = TRUE WHERE digest = $1 AND used = FALSE";
        Ok(self.run(sql, &[&digest])? == 1)
    }

    /// Revokes the tokens that were issued from a code.
    pub fn revoke_authorization_code(&mut self, digest: &[u8]) -> Result<()> {
        self.run_one("UPDATE authorization_code SET revoked = TRUE WHERE digest = $1", &[&digest])
    }

    /// Deletes the codes that expired before `before`. Their tokens must have expired as well.
    /// Returns the number of codes.
    pub fn remove_old_authorization_codes(&mut self, before: Micros) -> Result<u64> {
        self.run("DELETE FROM authorization_code WHERE expires < $1", &[&before])
    }
}
