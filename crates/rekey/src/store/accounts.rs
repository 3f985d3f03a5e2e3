//! Accounts.

use super::{Result, Tx};
use crate::{
    account::Account,
    id::{AccountId, IdentityId, SourceId},
    identity::Identity,
};

const COLUMNS: &str = "id, source_id, identity_id, native_identity, name, attributes, disabled, locked, created, modified";

impl Tx<'_> {
    /// An account by its id.
    pub fn account(&mut self, id: &AccountId) -> Result<Option<Account>> {
        self.maybe(&format!("SELECT {COLUMNS} FROM account WHERE id = $1"), &[id])
    }

    /// An account by the source's own name for it.
    pub fn account_on(&mut self, source: &SourceId, native: &str) -> Result<Option<Account>> {
        let sql =
            format!("SELECT {COLUMNS} FROM account WHERE source_id = $1 AND native_identity = $2");
        self.maybe(&sql, &[source, &native])
    }

    /// A person's accounts on a source, by name.
    pub fn accounts_of(
        &mut self,
        identity: &IdentityId,
        source: &SourceId,
    ) -> Result<Vec<Account>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM account WHERE identity_id = $1 AND source_id = $2 ORDER BY native_identity"
        );
        self.all(&sql, &[identity, source])
    }

    /// Adds an account.
    pub fn insert_account(&mut self, account: &Account) -> Result<()> {
        let sql = "INSERT INTO account (id, source_id, identity_id, native_identity, name, attributes, disabled,
                       locked, created, modified)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let Account {
            id,
            source_id,
            identity_id,
            native_identity,
            name,
            attributes,
            disabled,
            locked,
            created,
            modified,
        } = account;
        self.run_one(
            sql,
            &[
                id,
                source_id,
                identity_id,
                native_identity,
                name,
                attributes,
                disabled,
                locked,
                created,
                modified,
            ],
        )
    }

    /// Gives a person's accounts on built-in sources their name and whether they may sign in.
    pub fn follow_identity(&mut self, who: &Identity) -> Result<u64> {
        let sql = "UPDATE account SET name = $2, disabled = $3, modified = $4
                   WHERE identity_id = $1 AND source_id IN (SELECT id FROM source WHERE connector = $5)";
        self.run(sql, &[&who.id, &who.name, &!who.enabled, &who.modified, &crate::builtin::NAME])
    }
}
