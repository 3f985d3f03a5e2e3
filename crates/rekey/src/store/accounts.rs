//! Accounts.

use super::{
    Asked, Listing, Page, Result, Tx,
    field::{Field, Kind, NOTHING, prefix},
    listing::InvalidListing,
};
use crate::model::{
    account::{Account, NOBODY},
    column::{One, from_row},
    id::{AccountId, IdentityId, SourceId},
    identity::Identity,
    source::Source,
};

pub(super) const COLUMNS: &str =
    "id, source_id, identity_id, native_identity, stable_id, name, attributes, disabled, locked, generation, claims, manually_correlated,
     confirmed_owner, uncorrelated_because, created, modified";

/// What is remembered of an account that its source no longer lists.
pub struct Removed {
    /// See [`Account::confirmed_owner`].
    pub confirmed_owner: IdentityId,
    /// See [`Account::manually_correlated`].
    pub manually_correlated: bool,
}
from_row!(Removed { confirmed_owner, manually_correlated });

/// The number and size of the accounts of a source.
pub struct Kept {
    /// The number of accounts.
    pub accounts: i64,
    /// The bytes of their names, ids and attributes.
    pub bytes: i64,
}
from_row!(Kept { accounts, bytes });

impl Tx<'_> {
    /// An account by its id.
    pub fn account(&mut self, id: &AccountId) -> Result<Option<Account>> {
        self.maybe(&format!("SELECT {COLUMNS} FROM account WHERE id = $1"), &[id])
    }

    /// An account by its id, if it is on a source of this owner. An account that the caller may not
    /// see is not read, so that the response time does not reveal whether it exists.
    ///
    /// Both databases find the owner's sources first, whatever the id, and then the account on each
    /// of them. With a join or an `IN` they would find the account first, and the sources only if
    /// the account exists.
    pub fn account_of_owner(&mut self, id: &AccountId, owner: &str) -> Result<Option<Account>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM account WHERE id =
                 (SELECT MAX((SELECT a.id FROM account a WHERE a.id = $1 AND a.source_id = s.id))
                  FROM source s WHERE s.owner_id = $2)"
        );
        self.maybe(&sql, &[id, &owner])
    }

    /// An account by its native identity on a source.
    pub fn account_on(&mut self, source: &SourceId, native: &str) -> Result<Option<Account>> {
        let sql =
            format!("SELECT {COLUMNS} FROM account WHERE source_id = $1 AND native_identity = $2");
        self.maybe(&sql, &[source, &native])
    }

    /// An account by its stable id, which does not change when the account is renamed.
    pub fn account_with_stable_id(
        &mut self,
        source: &SourceId,
        stable_id: &str,
    ) -> Result<Option<Account>> {
        let sql = format!("SELECT {COLUMNS} FROM account WHERE source_id = $1 AND stable_id = $2");
        self.maybe(&sql, &[source, &stable_id])
    }

    /// The accounts of a source whose attributes claim this person, and those that an administrator
    /// assigned to them.
    pub fn accounts_that_claim(
        &mut self,
        source: &SourceId,
        person: &IdentityId,
    ) -> Result<Vec<Account>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM account WHERE source_id = $1 AND claims = $2
             UNION SELECT {COLUMNS} FROM account
             WHERE identity_id = $2 AND source_id = $1 AND manually_correlated"
        );
        self.all(&sql, &[source, person])
    }

    /// Up to 1000 accounts of a source that lost their owner, or whose owner is unconfirmed.
    pub fn accounts_without_confirmed_owner(&mut self, source: &Source) -> Result<Vec<Account>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM account WHERE source_id = $1
                 AND (uncorrelated_because IS NOT NULL OR confirmed_owner <> identity_id)
             ORDER BY native_identity LIMIT 1000"
        );
        self.all(&sql, &[&source.id])
    }

    /// The number of accounts of a source whose owner an aggregation has yet to confirm.
    pub fn accounts_unconfirmed(&mut self, source: &Source) -> Result<i64> {
        let sql = "SELECT COUNT(*) AS value FROM account WHERE source_id = $1 AND generation < $2";
        let One(count) = self.one::<One<i64>>(sql, &[&source.id, &source.generation])?;
        Ok(count)
    }

    /// The number and size of the accounts of a source.
    pub fn accounts_kept(&mut self, source: &SourceId) -> Result<Kept> {
        let sql = "SELECT COUNT(*) AS accounts,
                       COALESCE(SUM(octet_length(attributes) + octet_length(native_identity)
                           + octet_length(name) + COALESCE(octet_length(stable_id), 0)), 0) AS bytes
                   FROM account WHERE source_id = $1";
        self.one(sql, &[source])
    }

    /// Up to `limit` accounts of a source with ids above `after`, by id, whose owner is not yet
    /// decided in the source's current correlation generation.
    pub fn accounts_to_settle(
        &mut self,
        source: &Source,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Account>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM account WHERE source_id = $1 AND claims IS NOT NULL AND id > $2
                 AND (identity_id IS NULL OR identity_id <> claims OR generation < $3)
             ORDER BY id LIMIT $4"
        );
        self.all(&sql, &[&source.id, &after, &source.generation, &limit])
    }

    /// A person's accounts on a source, by native identity.
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
        let sql = format!(
            "INSERT INTO account ({COLUMNS}, name_prefix, native_prefix)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"
        );
        let Account {
            id,
            source_id,
            identity_id,
            native_identity,
            stable_id,
            name,
            attributes,
            disabled,
            locked,
            generation,
            claims,
            manually_correlated,
            confirmed_owner,
            uncorrelated_because,
            created,
            modified,
        } = account;
        self.run_one(
            &sql,
            &[
                id,
                source_id,
                identity_id,
                native_identity,
                stable_id,
                name,
                attributes,
                disabled,
                locked,
                generation,
                claims,
                manually_correlated,
                confirmed_owner,
                uncorrelated_because,
                created,
                modified,
                &prefix(name),
                &prefix(native_identity),
            ],
        )
    }

    /// Copies a person's name, and whether they are enabled, to their accounts on built-in sources.
    /// Returns the number of accounts.
    pub fn follow_identity(&mut self, who: &Identity) -> Result<u64> {
        let sql = "UPDATE account SET name = $2, disabled = $3, modified = $4, name_prefix = $6
                   WHERE identity_id = $1 AND source_id IN (SELECT id FROM source WHERE connector = $5)";
        let Identity { id, name, enabled, modified, .. } = who;
        self.run(
            sql,
            &[id, name, &!enabled, modified, &crate::model::source::BUILT_IN, &prefix(name)],
        )
    }

    /// Stores the mutable columns of an account.
    pub fn update_account(&mut self, account: &Account) -> Result<()> {
        let sql =
            "UPDATE account SET identity_id = $2, native_identity = $3, stable_id = $4, name = $5,
                       attributes = $6, disabled = $7, locked = $8, generation = $9,
                       claims = $10, manually_correlated = $11, confirmed_owner = $12,
                       uncorrelated_because = $13, modified = $14, name_prefix = $15, native_prefix = $16
                   WHERE id = $1";
        let Account {
            id,
            source_id: _,
            identity_id,
            native_identity,
            stable_id,
            name,
            attributes,
            disabled,
            locked,
            generation,
            claims,
            manually_correlated,
            confirmed_owner,
            uncorrelated_because,
            created: _,
            modified,
        } = account;
        self.run_one(
            sql,
            &[
                id,
                identity_id,
                native_identity,
                stable_id,
                name,
                attributes,
                disabled,
                locked,
                generation,
                claims,
                manually_correlated,
                confirmed_owner,
                uncorrelated_because,
                modified,
                &prefix(name),
                &prefix(native_identity),
            ],
        )
    }

    /// Up to `limit` accounts of a source after the native identity `native`, in that order.
    pub fn accounts_after(
        &mut self,
        source: &SourceId,
        native: &str,
        limit: i64,
    ) -> Result<Vec<Account>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM account WHERE source_id = $1 AND native_identity > $2 ORDER BY native_identity LIMIT $3"
        );
        self.all(&sql, &[source, &native, &limit])
    }

    /// Removes an account. If it has a stable id, its first owner, or `NOBODY`, is remembered by
    /// that id: an account that is hidden for a while must not return as a new one. An unfinished
    /// change of the account ends by itself.
    pub fn remove_account(&mut self, account: &Account) -> Result<()> {
        let sql = "INSERT INTO account_removed
                       (source_id, stable_id, confirmed_owner, manually_correlated, removed)
                   VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (source_id, stable_id) DO UPDATE SET
                       confirmed_owner = excluded.confirmed_owner,
                       manually_correlated = excluded.manually_correlated,
                       removed = excluded.removed";
        if let Some(id) = &account.stable_id {
            let owner = account.confirmed_owner.as_ref().or(account.identity_id.as_ref());
            let owner = owner.map_or(NOBODY, IdentityId::as_str);
            let (source, manually, now) =
                (&account.source_id, account.manually_correlated, self.now()?);
            self.run_one(sql, &[source, id, &owner, &manually, &now])?;
        }
        self.run_one("DELETE FROM account WHERE id = $1", &[&account.id])
    }

    /// The remembered first owner of a removed account that has returned, and whether an
    /// administrator had assigned it. The account is no longer remembered as removed.
    pub fn take_removed_account(
        &mut self,
        source: &SourceId,
        stable_id: &str,
    ) -> Result<Option<Removed>> {
        let sql = "SELECT confirmed_owner, manually_correlated FROM account_removed
                   WHERE source_id = $1 AND stable_id = $2";
        let found = self.maybe(sql, &[source, &stable_id])?;
        if found.is_some() {
            let sql = "DELETE FROM account_removed WHERE source_id = $1 AND stable_id = $2";
            self.run_one(sql, &[source, &stable_id])?;
        }
        Ok(found)
    }

    /// Deletes the oldest records of a source's removed accounts, so that about `most` remain.
    pub fn forget_removed_accounts(&mut self, source: &SourceId, most: i64) -> Result<()> {
        let sql = "DELETE FROM account_removed WHERE source_id = $1 AND removed <
                       (SELECT removed FROM account_removed WHERE source_id = $1
                        ORDER BY removed DESC LIMIT 1 OFFSET $2)";
        self.run(sql, &[source, &most]).map(drop)
    }

    /// The accounts that a listing requests.
    pub fn accounts_page(&mut self, listing: &Listing) -> Result<Page<Account>> {
        self.page(COLUMNS, "account", listing)
    }
}

impl Listing {
    /// A listing of accounts (docs/contract.md#accounts).
    pub fn of_accounts(asked: &Asked) -> std::result::Result<Self, InvalidListing> {
        const PERSON: &str = "(SELECT i.name FROM identity i WHERE i.id = identity_id)";
        const STATE: &str = "(SELECT CASE WHEN i.enabled THEN 'ACTIVE' ELSE 'INACTIVE_SHORT_TERM' END FROM identity i WHERE i.id = identity_id)";
        const SOURCE: &str = "(SELECT s.name FROM source s WHERE s.id = source_id)";
        let fields = [
            Field::new("id", "id", Kind::Id).filter("eq in sw").sort(),
            Field::new("identityId", "identity_id", Kind::Id).filter("eq in sw").sort(),
            Field::new("name", "name", Kind::Text).prefix("name_prefix").filter("eq in sw").sort(),
            Field::new("nativeIdentity", "native_identity", Kind::Text)
                .prefix("native_prefix")
                .filter("eq in sw")
                .sort(),
            Field::new("sourceId", "source_id", Kind::Id).filter("eq in sw").sort(),
            Field::new("hasEntitlements", "(1 = 0)", Kind::Boolean).filter("eq"),
            Field::new("uncorrelated", "(identity_id IS NULL)", Kind::Boolean).filter("eq"),
            Field::new("manuallyCorrelated", "manually_correlated", Kind::Boolean)
                .filter("eq")
                .sort(),
            Field::new("origin", "'AGGREGATED'", Kind::Text).filter("eq in").sort(),
            Field::new("identity.name", PERSON, Kind::Text).filter("eq in sw").sort(),
            Field::new("identity.correlated", "(identity_id IS NOT NULL)", Kind::Boolean)
                .filter("eq")
                .sort(),
            Field::new("identity.identityState", STATE, Kind::Text).filter("eq in").sort(),
            Field::new("entitlements", NOTHING, Kind::Text).filter("eq").sort(),
            Field::new("recommendation.method", NOTHING, Kind::Text).filter("eq in isnull"),
            Field::new("uuid", "stable_id", Kind::Text).sort(),
            Field::new("source.displayableName", SOURCE, Kind::Text).filter("eq in").sort(),
            Field::new("source.authoritative", "(1 = 0)", Kind::Boolean).filter("eq").sort(),
            Field::new("source.connectionType", "'direct'", Kind::Text).filter("eq in").sort(),
            Field::new("created", "created", Kind::Time).filter("eq ge gt le lt").sort(),
            Field::new("modified", "modified", Kind::Time).filter("eq ge gt le lt").sort(),
        ];
        Self::new(&fields, asked, "native_identity")
    }
}
