//! Accounts.

use super::{Result, Tx};
use crate::{
    account::Account,
    id::{AccountId, IdentityId, SourceId},
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
}
