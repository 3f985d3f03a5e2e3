//! Taking a place in the order of acceptance.

use super::{ChangeGround, ChangeSource, KnownChange, NewChange, Target};
use crate::{
    id::{AccountId, ChangeId, IdentityId, KeyId, SourceId},
    store::{Audit, Param, Result, Tx, from_row, row::One, tx::Write},
};

/// The place a change got, and the older ones that it takes the place of.
pub struct Entered {
    seq: i64,
    older: Vec<Older>,
}

/// A change on an account that no worker holds and that has written nothing there.
struct Older {
    seq: i64,
    account_id: AccountId,
    source_kind: String,
}
from_row!(Older { seq, account_id, source_kind });

/// What may be superseded on an account. The lane's index is of what is below 2.
const OLDER: &str = "SELECT t.change_seq AS seq, t.account_id,
         COALESCE((SELECT connector FROM source WHERE id = c.source_id), '') AS source_kind
     FROM password_change_target t JOIN password_change c ON c.seq = t.change_seq
     WHERE t.account_id = $1 AND t.state < 2 AND t.state = 0
       AND c.state = 0 AND c.claimed_by IS NULL AND c.id <> $2";

impl Tx<'_> {
    /// What a change needs to know of a source.
    pub fn change_source(&mut self, id: &SourceId) -> Result<Option<ChangeSource>> {
        self.maybe("SELECT name, features, deadline FROM source WHERE id = $1", &[id])
    }

    /// What accepting needs to know: a row for each account the change may be for, and one without an
    /// account where there is none; none without the source. And the accounts it would change: those
    /// and the person's accounts on the other sources of its group, in sorted order. They are held
    /// until the end of the transaction, so that the order drawn next is the order on every one of
    /// them; unsorted, two requests would wait for each other.
    pub fn change_ground(
        &mut self,
        source: &SourceId,
        identity: &IdentityId,
        native: Option<&str>,
        key: &KeyId,
    ) -> Result<(Vec<ChangeGround>, Vec<Target>)> {
        let mut ground = String::from(
            "SELECT s.name, s.features, s.deadline, k.spki, k.accept_until, a.id AS account_id
             FROM source s LEFT JOIN source_key k ON k.id = $3 AND k.source_id = s.id
             LEFT JOIN account a ON a.source_id = s.id AND a.identity_id = $2",
        );
        let mut named = "";
        let mut of_ground: Vec<&dyn Param> = vec![source, identity, key];
        let mut of_targets: Vec<&dyn Param> = vec![source, identity];
        if native.is_some() {
            ground += " AND a.native_identity = $4";
            named = "AND a.native_identity = $3";
            of_ground.push(&native);
            of_targets.push(&native);
        }
        ground += " WHERE s.id = $1";
        let locked = if self.is_postgres() { "FOR UPDATE OF a" } else { "" };
        let targets = format!(
            "SELECT a.id AS account_id, a.source_id FROM account a
             WHERE a.identity_id = $2 AND (a.source_id = $1 {named} OR a.source_id IN (
                 SELECT other.source_id FROM sync_group_source mine
                 JOIN sync_group_source other ON other.group_id = mine.group_id
                 WHERE mine.source_id = $1 AND other.source_id <> mine.source_id))
             ORDER BY a.id {locked}"
        );
        #[cfg(rekey_proof)]
        self.draw_early()?;
        self.both(&(&ground, of_ground), &[(&targets, of_targets)])
    }

    /// Draws the change's place on its accounts and writes that down; none if its ciphertext was here
    /// before.
    pub fn enter_change(
        &mut self,
        change: &NewChange,
        payload: &[u8],
        targets: &[Target],
        start: Audit<'_>,
    ) -> Result<Option<Entered>> {
        let start = self.entry(start, None)?;
        let sql = "INSERT INTO password_change (id, digest, caller, identity_id, source_id, account_id, key_id,
                       payload, state, errors, attempt, due, deadline, created)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, '[]', 0, $9, $10, $9)
                   ON CONFLICT (digest) DO NOTHING";
        let NewChange { id, digest, caller, identity_id, source_id, account_id, key_id, .. } =
            change;
        let NewChange { created, deadline, .. } = change;
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
        ];
        if self.is_postgres() {
            // One round trip for all of it.
            let joined =
                |id: fn(&Target) -> &str| targets.iter().map(id).collect::<Vec<_>>().join(" ");
            let accounts = joined(|target| target.account_id.as_str());
            let sources = joined(|target| target.source_id.as_str());
            let (_, row) = start.write();
            params.extend([&accounts as &dyn Param, &sources]);
            params.extend(row);
            let sql = format!(
                "WITH entered AS ({sql} RETURNING seq), targets AS (
                     INSERT INTO password_change_target (change_seq, account_id, source_id, state)
                     SELECT entered.seq, target.account_id, target.source_id, 0 FROM entered,
                         unnest(string_to_array($11, ' '), string_to_array($12, ' '))
                             AS target (account_id, source_id)), start AS (
                     INSERT INTO audit (at, actor, action, object, detail, failure, origin, mac)
                     SELECT CAST($13 AS BIGINT), $14, $15, $16, $17, $18, $19, CAST($20 AS BYTEA)
                     FROM entered)
                 SELECT seq AS value FROM entered"
            );
            // What is superseded is locked, so that no worker claims it meanwhile.
            let locked = format!("{OLDER} FOR UPDATE OF c");
            let older: Vec<Write<'_>> = targets
                .iter()
                .map(|target| (locked.as_str(), vec![&target.account_id as &dyn Param, id]))
                .collect();
            let (entered, older) = self.both::<One<i64>, _>(&(&sql, params), &older)?;
            let seq = entered.first().map(|One(seq)| *seq);
            #[cfg(rekey_proof)]
            let seq = self.take_early(seq)?;
            return Ok(seq.map(|seq| Entered { seq, older }));
        }
        let Some(seq) = self.insert(sql, &params)? else { return Ok(None) };
        self.run_each(&[start.write()])?;
        let mut older = Vec::new();
        for Target { account_id, source_id } in targets {
            let sql =
                "INSERT INTO password_change_target (change_seq, account_id, source_id, state)
                       VALUES ($1, $2, $3, 0)";
            self.run_one(sql, &[&seq, account_id, source_id])?;
            older.extend(self.all::<Older>(OLDER, &[account_id, id])?);
        }
        Ok(Some(Entered { seq, older }))
    }

    /// Lets a newer change take the place of the older ones; the kinds of the sources of those that
    /// it ended.
    pub fn supersede(&mut self, entered: &Entered, newer: &ChangeId) -> Result<Vec<String>> {
        let mut ended = Vec::new();
        for Older { seq, account_id, source_kind } in &entered.older {
            if *seq < entered.seq {
                self.supersede_target(*seq, account_id, newer)?;
                if self.end_if_done(*seq)?.is_some() {
                    ended.push(source_kind.clone());
                }
            }
        }
        Ok(ended)
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
}
