//! The password verifiers of built-in sources.

use super::{Result, Tx};
use crate::model::{
    column::{One, from_row},
    id::SourceId,
    identity::name_key,
    source::IDENTITY_NOW,
};

struct Stored {
    verifier: String,
    changes: i64,
}
from_row!(Stored { verifier, changes });

impl Tx<'_> {
    /// An account's verifier, and the number of its changes.
    pub fn builtin_password(
        &mut self,
        source: &SourceId,
        native: &str,
    ) -> Result<Option<(String, i64)>> {
        let sql = "SELECT verifier, changes FROM builtin_password WHERE source_id = $1 AND native_identity = $2";
        let stored: Option<Stored> = self.maybe(sql, &[source, &native])?;
        Ok(stored.map(|stored| (stored.verifier, stored.changes)))
    }

    /// The native identities of the accounts of a source that have a password.
    pub fn builtin_accounts_with_password(&mut self, source: &SourceId) -> Result<Vec<String>> {
        let sql = "SELECT native_identity AS value FROM builtin_password WHERE source_id = $1";
        Ok(self.all::<One<String>>(sql, &[source])?.into_iter().map(|One(name)| name).collect())
    }

    /// Stores a verifier if the current one was changed `expected` times. Returns false if not. If
    /// the source is the one for sign-ins, everything that was issued for an earlier sign-in of the
    /// person ends in the same commit.
    pub fn set_builtin_password(
        &mut self,
        source: &SourceId,
        native: &str,
        verifier: &str,
        expected: i64,
    ) -> Result<bool> {
        let sql = "INSERT INTO builtin_password (source_id, native_identity, verifier, changes) SELECT $1, $2, $3, CAST($4 AS BIGINT) + 1
                   WHERE EXISTS (SELECT 1 FROM account WHERE source_id = $1 AND native_identity = $2)
                   ON CONFLICT (source_id, native_identity) DO UPDATE SET verifier = excluded.verifier, changes = excluded.changes
                   WHERE builtin_password.changes = $4";
        // The verifier contains a random salt, so an equal one in the row was stored by this very
        // call.
        let end_sign_ins = "UPDATE identity SET sign_in_generation = sign_in_generation + 1
                   WHERE id = (SELECT identity_id FROM account WHERE source_id = $1 AND native_identity = $2)
                     AND EXISTS (SELECT 1 FROM source WHERE id = $1 AND name_key = $4)
                     AND EXISTS (SELECT 1 FROM builtin_password
                                 WHERE source_id = $1 AND native_identity = $2 AND verifier = $3)";
        let name_key = name_key(IDENTITY_NOW);
        let rows = self.run_all(&[
            (sql, vec![source, &native, &verifier, &expected]),
            (end_sign_ins, vec![source, &native, &verifier, &name_key]),
        ])?;
        Ok(rows.first() == Some(&1))
    }
}
