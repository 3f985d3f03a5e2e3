//! The audit trail: written in the transaction of the deed it records.

use serde_json::Value;

use super::{Json, Result, Tx};

/// What is recorded; the time is the deed's.
pub struct Audit<'a> {
    /// Who did it: an identity's or client's id, or `rekey`.
    pub actor: &'a str,
    /// What, in ISC's words where it has one.
    pub action: &'a str,
    /// To what.
    pub object: &'a str,
    /// More: never a password, a ciphertext or a digest of one.
    pub detail: Value,
}

impl Tx<'_> {
    /// Writes it down.
    pub fn audit(&mut self, audit: Audit<'_>) -> Result<()> {
        let at = self.now()?;
        let sql =
            "INSERT INTO audit (at, actor, action, object, detail) VALUES ($1, $2, $3, $4, $5)";
        let Audit { actor, action, object, detail } = audit;
        self.run_one(sql, &[&at, &actor, &action, &object, &Json(detail)])
    }
}
