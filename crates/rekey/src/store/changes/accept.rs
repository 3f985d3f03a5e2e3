//! Accepting a change: its place in the order of acceptance.

use super::{
    AcceptContext, ChangeSource, FIRST_ENDED, IN_PROGRESS, KnownChange, NewChange, QUEUED, Quota,
    Target, source_set,
};
use crate::{
    model::{
        change::TargetState,
        column::{One, Param, from_row},
        id::{AccountId, ChangeId, IdentityId, KeyId, SourceId},
    },
    store::{Result, Tx},
};

/// An older change that a newer one supersedes.
struct Older {
    seq: i64,
    source_kind: String,
}
from_row!(Older { seq, source_kind });

impl Tx<'_> {
    /// The columns of a source that a change needs.
    pub fn change_source(&mut self, id: &SourceId) -> Result<Option<ChangeSource>> {
        self.maybe("SELECT name, features, deadline FROM source WHERE id = $1", &[id])
    }

    /// What an accept decides by, in one query: a row for each account that the change may be for,
    /// or one row without an account if there is none. No row if the source does not exist.
    pub fn accept_context(
        &mut self,
        source: &SourceId,
        identity: &IdentityId,
        native: Option<&str>,
        key: &KeyId,
    ) -> Result<Vec<AcceptContext>> {
        let sql =
            "SELECT s.name, s.features, s.deadline, k.spki, k.accept_until, a.id AS account_id
                   FROM source s LEFT JOIN source_key k ON k.id = $2 AND k.source_id = s.id
                   LEFT JOIN account a ON a.source_id = s.id AND a.identity_id = $3";
        match native {
            Some(native) => {
                let sql = format!("{sql} AND a.native_identity = $4 WHERE s.id = $1");
                self.all(&sql, &[source, key, identity, &native])
            }
            None => self.all(&format!("{sql} WHERE s.id = $1"), &[source, key, identity]),
        }
    }

    /// Locks the named account and the person's accounts on the other sources of its sync group, in
    /// sorted order. An account with a new, unconfirmed owner takes no part in groups. The locks
    /// are held until the end of the transaction, so that the sequence number drawn next is in
    /// order on every one of the accounts; without the sorting, two requests could deadlock.
    pub fn lock_targets(
        &mut self,
        named: &AccountId,
        source: &SourceId,
        identity: &IdentityId,
    ) -> Result<Vec<Target>> {
        let sql = "SELECT a.id AS account_id, a.source_id FROM account a
                   WHERE a.identity_id = $1 AND (a.id = $2 OR
                       (a.confirmed_owner IS NULL OR a.confirmed_owner = a.identity_id)
                       AND a.source_id IN (
                           SELECT other.source_id FROM sync_group_source mine
                           JOIN sync_group_source other ON other.group_id = mine.group_id
                           WHERE mine.source_id = $3 AND other.source_id <> mine.source_id)
                       AND NOT EXISTS (SELECT 1 FROM account named WHERE named.id = $2
                                       AND named.confirmed_owner <> named.identity_id))
                   ORDER BY a.id";
        #[cfg(rekey_proof)]
        self.draw_early()?;
        let sql =
            if self.is_postgres() { format!("{sql} FOR UPDATE OF a") } else { sql.to_owned() };
        self.all(&sql, &[identity, named, source])
    }

    /// Draws the change's sequence number and queues its targets. Returns none if the ciphertext is
    /// known, or if its account has reached the quota. The account is locked, so that no other
    /// request adds a change meanwhile.
    pub fn enter_change(
        &mut self,
        change: &NewChange,
        payload: &[u8],
        targets: &[Target],
    ) -> Result<Option<i64>> {
        // The inner LIMIT bounds the number of rows that the quota has to read.
        let sql = format!(
            "INSERT INTO password_change (id, digest, caller, identity_id, source_id, account_id, key_id,
                       payload, state, errors, attempt, due, deadline, created, source_set)
                   SELECT $1, $2, $3, $4, $5, $6, $7, $8, {IN_PROGRESS}, '[]', 0, $9, $10, $9, $11
                   WHERE (SELECT count(*) FROM (SELECT 1 FROM password_change
                       WHERE account_id = $6 AND created > $13 LIMIT $12) AS recent) < $12
                   ON CONFLICT (digest) DO NOTHING"
        );
        let Quota { most, since } = change.quota.unwrap_or(Quota::NONE);
        let NewChange { id, digest, caller, identity_id, source_id, account_id, key_id, .. } =
            change;
        let NewChange { created, deadline, .. } = change;
        let source_set = source_set(targets.iter().map(|target| &target.source_id));
        let mut params: Vec<&dyn Param> = vec![
            id,
            digest,
            caller,
            identity_id,
            source_id,
            account_id,
            key_id,
            &payload,
            created,
            deadline,
            &source_set,
            &most,
            &since,
        ];
        if self.is_postgres() {
            // One statement for the change and its targets: a single round trip.
            let joined =
                |id: fn(&Target) -> &str| targets.iter().map(id).collect::<Vec<_>>().join(" ");
            let accounts = joined(|target| target.account_id.as_str());
            let sources = joined(|target| target.source_id.as_str());
            params.extend([&accounts as &dyn Param, &sources]);
            let sql = format!(
                "WITH entered AS ({sql} RETURNING seq), targets AS (
                     INSERT INTO password_change_target (change_seq, account_id, source_id, state)
                     SELECT entered.seq, target.account_id, target.source_id, {QUEUED} FROM entered,
                         unnest(string_to_array($14, ' '), string_to_array($15, ' '))
                             AS target (account_id, source_id))
                 SELECT seq AS value FROM entered"
            );
            let seq = self.maybe::<One<i64>>(&sql, &params)?.map(|One(seq)| seq);
            #[cfg(rekey_proof)]
            let seq = self.take_early(seq)?;
            return Ok(seq);
        }
        let Some(seq) = self.insert(&sql, &params)? else { return Ok(None) };
        for target in targets {
            let sql = format!(
                "INSERT INTO password_change_target (change_seq, account_id, source_id, state)
                 VALUES ($1, $2, $3, {QUEUED})"
            );
            self.run_one(&sql, &[&seq, &target.account_id, &target.source_id])?;
        }
        Ok(Some(seq))
    }

    /// Whether a caller's `Idempotency-Key` is new, or came with the same body before.
    pub fn claim_idempotency_key(
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

    /// The change that was accepted with this ciphertext, by its digest.
    pub fn change_with_digest(&mut self, digest: &[u8]) -> Result<Option<KnownChange>> {
        let sql = "SELECT id, caller, identity_id, account_id, state, created FROM password_change WHERE digest = $1";
        self.maybe(sql, &[&digest])
    }

    /// Supersedes older changes of this account that no worker has claimed and that have written
    /// nothing to it: their targets get `state`. Returns the source kinds of the changes that
    /// ended.
    pub fn supersede_older(
        &mut self,
        account: &AccountId,
        seq: i64,
        newer: &ChangeId,
        state: TargetState,
    ) -> Result<Vec<String>> {
        // The condition `t.state < FIRST_ENDED` is redundant, but makes the partial index usable.
        let sql = format!(
            "SELECT t.change_seq AS seq,
                       COALESCE((SELECT connector FROM source WHERE id = c.source_id), '') AS source_kind
                   FROM password_change_target t
                   JOIN password_change c ON c.seq = t.change_seq
                   WHERE t.account_id = $1 AND t.change_seq < $2 AND t.state < {FIRST_ENDED}
                     AND t.state = {QUEUED} AND c.state = {IN_PROGRESS} AND c.claimed_by IS NULL"
        );
        // On PostgreSQL the row is locked first, so that no worker claims the change meanwhile.
        let sql = if self.is_postgres() { format!("{sql} FOR UPDATE OF c") } else { sql };
        let mut ended = Vec::new();
        for Older { seq, source_kind } in self.all(&sql, &[account, &seq])? {
            self.supersede_target(seq, account, newer, state)?;
            if self.end_if_done(seq)?.is_some() {
                ended.push(source_kind);
            }
        }
        Ok(ended)
    }
}
