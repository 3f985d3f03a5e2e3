//! Source keys and signing keys.

use super::{Result, Tx, changes::IN_PROGRESS};
use crate::model::{
    column::{One, from_row},
    id::{KeyId, SourceId},
    source_key::{KeyPadding, SourceKey},
    time::Micros,
};

/// A key that signs access tokens, as stored.
pub struct SigningKey {
    /// The key's id: the `kid` of its tokens.
    pub id: String,
    /// The private key: sealed PKCS#8.
    pub sealed: Vec<u8>,
}
from_row!(SigningKey { id, sealed });

pub(super) const COLUMNS: &str = "id, source_id, padding, spki, sealed, created, accept_until";

impl Tx<'_> {
    /// Adds a source key.
    pub fn insert_source_key(&mut self, key: &SourceKey) -> Result<()> {
        let sql = format!("INSERT INTO source_key ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)");
        let SourceKey { id, source_id, padding, spki, sealed, created, accept_until } = key;
        self.run_one(&sql, &[id, source_id, padding, spki, sealed, created, accept_until])
    }

    /// Lets the current keys of a source be accepted until `until` only. Returns the number of
    /// keys.
    pub fn retire_source_keys(&mut self, source: &SourceId, until: Micros) -> Result<u64> {
        let sql =
            "UPDATE source_key SET accept_until = $2 WHERE source_id = $1 AND accept_until IS NULL";
        self.run(sql, &[source, &until])
    }

    /// The key that clients should use now.
    pub fn active_source_key(
        &mut self,
        source: &SourceId,
        padding: KeyPadding,
    ) -> Result<Option<SourceKey>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM source_key
             WHERE source_id = $1 AND padding = $2 AND accept_until IS NULL ORDER BY created"
        );
        self.maybe(&sql, &[source, &padding])
    }

    /// Whether the source has a key that clients should use now.
    pub fn has_keys(&mut self, source: &SourceId) -> Result<bool> {
        let sql = "SELECT count(*) AS value FROM source_key WHERE source_id = $1 AND accept_until IS NULL";
        self.one(sql, &[source]).map(|One(count): One<i64>| count > 0)
    }

    /// A key by its id, whatever its age.
    pub fn source_key(&mut self, id: &KeyId) -> Result<Option<SourceKey>> {
        self.maybe(&format!("SELECT {COLUMNS} FROM source_key WHERE id = $1"), &[id])
    }

    /// All keys, ordered by source, padding and creation.
    pub fn source_keys(&mut self) -> Result<Vec<SourceKey>> {
        let order = "source_id, padding, created";
        self.all(&format!("SELECT {COLUMNS} FROM source_key ORDER BY {order}"), &[])
    }

    /// The sources with a current key that was made before `before`.
    pub fn sources_with_old_keys(&mut self, before: Micros) -> Result<Vec<SourceId>> {
        let sql = "SELECT DISTINCT source_id AS value FROM source_key
                   WHERE accept_until IS NULL AND created < $1 ORDER BY 1";
        Ok(self.all::<One<SourceId>>(sql, &[&before])?.into_iter().map(|One(id)| id).collect())
    }

    /// Deletes the keys that are no longer accepted and that no unfinished change needs. Returns
    /// their ids.
    pub fn remove_ended_source_keys(&mut self, now: Micros) -> Result<Vec<KeyId>> {
        let sql = format!(
            "DELETE FROM source_key WHERE accept_until < $1 AND NOT EXISTS (
                 SELECT 1 FROM password_change c
                 WHERE c.key_id = source_key.id AND c.state = {IN_PROGRESS})
             RETURNING id AS value"
        );
        Ok(self.all::<One<KeyId>>(&sql, &[&now])?.into_iter().map(|One(id)| id).collect())
    }

    /// The keys that sign tokens, the newest first.
    pub fn signing_keys(&mut self) -> Result<Vec<SigningKey>> {
        self.all("SELECT id, sealed FROM signing_key ORDER BY created DESC, id", &[])
    }

    /// Adds a signing key.
    pub fn insert_signing_key(&mut self, id: &str, sealed: &[u8]) -> Result<()> {
        let now = self.now()?;
        let sql = "INSERT INTO signing_key (id, sealed, created) VALUES ($1, $2, $3)";
        self.run_one(sql, &[&id, &sealed, &now])
    }
}
