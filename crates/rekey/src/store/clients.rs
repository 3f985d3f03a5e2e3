//! Personal access tokens and API clients.

use super::{Result, Tx};
use crate::model::{
    client::{Client, ClientKind},
    column::{Json, One, from_row},
    id::{ClientId, IdentityId},
    identity::name_key,
    level::Level,
    time::Micros,
};

const COLUMNS: &str = "id, kind, name, secret_digest, identity_id, scope, grant_types, redirect_uris, validity, enabled,
    expires, last_used, generation, created, modified";

/// The current state of everything that an access token depends on.
pub struct Standing {
    /// The client's name.
    pub client_name: String,
    /// Whether the client is enabled.
    pub client_enabled: bool,
    /// The client's generation: older tokens are revoked.
    pub client_generation: i64,
    /// The client's expiry.
    pub client_expires: Option<Micros>,
    /// The person's alias; none if there is no such person.
    pub alias: Option<String>,
    /// The person's user levels.
    pub capabilities: Option<Json<Vec<Level>>>,
    /// Whether the person may sign in.
    pub identity_enabled: Option<bool>,
    /// The person's generation: older tokens are revoked.
    pub identity_generation: Option<i64>,
    /// The number of changes of the password that they sign in with. Tokens issued for a sign-in
    /// before the latest change are revoked.
    pub sign_in_generation: Option<i64>,
    /// Whether the authorization code was exchanged twice; none if there is no such code.
    pub code_revoked: Option<bool>,
}
from_row!(Standing {
    client_name,
    client_enabled,
    client_generation,
    client_expires,
    alias,
    capabilities,
    identity_enabled,
    identity_generation,
    sign_in_generation,
    code_revoked,
});

impl Tx<'_> {
    /// Everything that may have revoked a token, in one query; none if the client no longer exists.
    pub fn standing(
        &mut self,
        client: &ClientId,
        identity: Option<&IdentityId>,
        code: Option<&[u8]>,
    ) -> Result<Option<Standing>> {
        let sql = "SELECT c.name AS client_name, c.enabled AS client_enabled, c.generation AS client_generation,
                       c.expires AS client_expires, i.alias, i.capabilities, i.enabled AS identity_enabled,
                       i.generation AS identity_generation, i.sign_in_generation, k.revoked AS code_revoked
                   FROM client c LEFT JOIN identity i ON i.id = $2 LEFT JOIN authorization_code k ON k.digest = $3
                   WHERE c.id = $1";
        self.maybe(sql, &[client, &identity, &code])
    }

    /// A client by its id.
    pub fn client(&mut self, id: &ClientId) -> Result<Option<Client>> {
        self.maybe(&format!("SELECT {COLUMNS} FROM client WHERE id = $1"), &[id])
    }

    /// A client by its id, if this is the digest of its secret or it has no secret. With a wrong
    /// secret the row is not read, so that the response time does not reveal whether the client
    /// exists.
    pub fn client_with(&mut self, id: &ClientId, digest: &[u8; 32]) -> Result<Option<Client>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM client
             WHERE id = $1 AND (secret_digest = $2 OR secret_digest IS NULL)"
        );
        self.maybe(&sql, &[id, &digest.to_vec()])
    }

    /// The kind of a client, or none if there is no client with this id. Nothing else is read.
    pub fn client_kind(&mut self, id: &ClientId) -> Result<Option<ClientKind>> {
        let kind = self.maybe("SELECT kind AS value FROM client WHERE id = $1", &[id])?;
        Ok(kind.map(|One(kind)| kind))
    }

    /// The API client with this name; the oldest, if several have it.
    pub fn api_client_named(&mut self, name: &str) -> Result<Option<Client>> {
        let named = |client: &Client| name_key(&client.name) == name_key(name);
        Ok(self.api_clients()?.into_iter().find(named))
    }

    /// All API clients, the oldest first.
    pub fn api_clients(&mut self) -> Result<Vec<Client>> {
        let sql = format!("SELECT {COLUMNS} FROM client WHERE kind = $1 ORDER BY created, id");
        self.all(&sql, &[&ClientKind::ApiClient])
    }

    /// All clients of either kind, the oldest first.
    pub fn clients(&mut self) -> Result<Vec<Client>> {
        self.all(&format!("SELECT {COLUMNS} FROM client ORDER BY created, id"), &[])
    }

    /// A person's access tokens, the oldest first.
    pub fn personal_access_tokens(&mut self, owner: &IdentityId) -> Result<Vec<Client>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM client WHERE kind = $1 AND identity_id = $2 ORDER BY created, id"
        );
        self.all(&sql, &[&ClientKind::PersonalAccessToken, owner])
    }

    /// Adds a client.
    pub fn insert_client(&mut self, client: &Client) -> Result<()> {
        let sql = format!(
            "INSERT INTO client ({COLUMNS})
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
        );
        self.run_one(
            &sql,
            &[
                &client.id,
                &client.kind,
                &client.name,
                &client.secret_digest,
                &client.identity_id,
                &client.scope,
                &client.grant_types,
                &client.redirect_uris,
                &client.validity,
                &client.enabled,
                &client.expires,
                &client.last_used,
                &client.generation,
                &client.created,
                &client.modified,
            ],
        )
    }

    /// Stores the mutable columns of a client.
    pub fn update_client(&mut self, client: &Client) -> Result<()> {
        let sql = "UPDATE client SET name = $2, secret_digest = $3, scope = $4, grant_types = $5, redirect_uris = $6,
                       validity = $7, enabled = $8, expires = $9, generation = $10, modified = $11 WHERE id = $1";
        self.run_one(
            sql,
            &[
                &client.id,
                &client.name,
                &client.secret_digest,
                &client.scope,
                &client.grant_types,
                &client.redirect_uris,
                &client.validity,
                &client.enabled,
                &client.expires,
                &client.generation,
                &client.modified,
            ],
        )
    }

    /// Records that a client got a token.
    pub fn set_client_used(&mut self, id: &ClientId) -> Result<()> {
        let now = self.now()?;
        self.run("UPDATE client SET last_used = $2 WHERE id = $1", &[id, &now]).map(|_| ())
    }

    /// Removes a client, which revokes all its tokens.
    pub fn delete_client(&mut self, id: &ClientId) -> Result<()> {
        self.run_one("DELETE FROM client WHERE id = $1", &[id])
    }
}
