//! Taking a place in the order of acceptance.

use super::{ChangeSource, KnownChange, NewChange, Target};
use crate::{
    id::{AccountId, ChangeId, IdentityId, SourceId},
    store::{Result, Tx, row::One},
};

impl Tx<'_> {
    /// What accepting needs to know of a source.
    pub fn change_source(&mut self, id: &SourceId) -> Result<Option<ChangeSource>> {
        self.maybe("SELECT name, features, deadline FROM source WHERE id = $1", &[id])
    }

    /// A person's account by the source's own name for it.
    pub fn target_on(
        &mut self,
        source: &SourceId,
        native: &str,
        identity: &IdentityId,
    ) -> Result<Option<Target>> {
        let sql = "SELECT id AS account_id, source_id, identity_id FROM account
                   WHERE source_id = $1 AND native_identity = $2 AND identity_id = $3";
        self.maybe(sql, &[source, &native, identity])
    }

    /// A person's accounts on a source.
    pub fn targets_of(&mut self, identity: &IdentityId, source: &SourceId) -> Result<Vec<Target>> {
        let sql = "SELECT id AS account_id, source_id, identity_id FROM account
                   WHERE identity_id = $1 AND source_id = $2";
        self.all(sql, &[identity, source])
    }

    /// The account that was named, and the person's accounts on the other sources of its group.
    pub fn change_targets(&mut self, asked: &Target) -> Result<Vec<Target>> {
        let sql = "SELECT a.id AS account_id, a.source_id, a.identity_id
                   FROM sync_group_source mine
                   JOIN sync_group_source other ON other.group_id = mine.group_id AND other.source_id <> mine.source_id
                   JOIN account a ON a.source_id = other.source_id AND a.identity_id = $2
                   WHERE mine.source_id = $1";
        let mut targets: Vec<Target> = self.all(sql, &[&asked.source_id, &asked.identity_id])?;
        targets.push(asked.clone());
        Ok(targets)
    }

    /// Holds the accounts until the end of the transaction, so that the order drawn next is the
    /// order on every one of them. They must be sorted, or two requests wait for each other.
    pub fn lock_accounts(&mut self, targets: &[Target]) -> Result<()> {
        if self.is_postgres() {
            for target in targets {
                let sql = "SELECT id AS value FROM account WHERE id = $1 FOR UPDATE";
                self.maybe::<One<String>>(sql, &[&target.account_id])?;
            }
        }
        Ok(())
    }

    /// Draws the change's place; none if its ciphertext was here before.
    pub fn insert_change(&mut self, change: &NewChange, payload: &[u8]) -> Result<Option<i64>> {
        let sql = "INSERT INTO password_change (id, digest, caller, identity_id, source_id, account_id, key_id,
                       payload, state, errors, attempt, due, deadline, created)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, '[]', 0, $9, $10, $9)
                   ON CONFLICT (digest) DO NOTHING RETURNING seq AS value";
        let seq: Option<One<i64>> = self.maybe(
            sql,
            &[
                &change.id,
                &change.digest,
                &change.caller,
                &change.identity_id,
                &change.source_id,
                &change.account_id,
                &change.key_id,
                &payload,
                &change.created,
                &change.deadline,
            ],
        )?;
        Ok(seq.map(|One(seq)| seq))
    }

    /// Whether an `Idempotency-Key` of a caller is new, or came with this very body before.
    pub fn settle_idempotency_key(
        &mut self,
        caller: &str,
        name: &str,
        digest: &[u8],
    ) -> Result<bool> {
        let now = self.now()?;
        let sql =
            "INSERT INTO idempotency_key (caller, name, digest, created) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (caller, name) DO NOTHING";
        if self.run(sql, &[&caller, &name, &digest, &now])? == 1 {
            return Ok(true);
        }
        let sql = "SELECT digest AS value FROM idempotency_key WHERE caller = $1 AND name = $2";
        let One(known) = self.one::<One<Vec<u8>>>(sql, &[&caller, &name])?;
        Ok(known == digest)
    }

    /// The change a ciphertext belongs to.
    pub fn change_with_digest(&mut self, digest: &[u8]) -> Result<KnownChange> {
        let sql = "SELECT id, caller, identity_id, account_id, state, created FROM password_change WHERE digest = $1";
        self.one(sql, &[&digest])
    }

    /// Adds an account to a change.
    pub fn insert_target(&mut self, seq: i64, target: &Target) -> Result<()> {
        let sql = "INSERT INTO password_change_target (change_seq, account_id, source_id, state)
                   VALUES ($1, $2, $3, 0)";
        self.run_one(sql, &[&seq, &target.account_id, &target.source_id])
    }

    /// Lets a newer change take the place of older ones of this account that no worker holds and
    /// that have written nothing there.
    pub fn supersede_older(
        &mut self,
        account: &AccountId,
        seq: i64,
        newer: &ChangeId,
    ) -> Result<()> {
        let sql = "SELECT t.change_seq AS value FROM password_change_target t
                   JOIN password_change c ON c.seq = t.change_seq
                   WHERE t.account_id = $1 AND t.change_seq < $2 AND t.state < 2 AND t.state = 0 AND c.state = 0
                     AND c.claimed_by IS NULL";
        // On PostgreSQL the row is locked first, so that no worker claims it meanwhile.
        let sql =
            if self.is_postgres() { format!("{sql} FOR UPDATE OF c") } else { sql.to_owned() };
        for One(older) in self.all::<One<i64>>(&sql, &[account, &seq])? {
            self.supersede_target(older, account, newer)?;
            self.end_if_done(older)?;
        }
        Ok(())
    }
}
