//! Claiming changes, and keeping what became of them.

use std::{sync::LazyLock, time::Duration};

use super::{ChangeParties, Claimed, ClaimedTarget, EndedTarget};
use crate::{
    clock::Micros,
    id::{AccountId, ChangeId},
    password::{State, TargetState, line, superseded_by},
    store::{
        Audit, Json, Result, Tx, accounts, identities, keys,
        row::{One, part_of},
    },
};

/// Two nodes must not claim the same change, nor wait for each other.
const SKIP_LOCKED: &str = " FOR UPDATE OF c SKIP LOCKED";

/// How long a claim lasts of which only the end is left to be said: short, so that a worker lost
/// with it does not hold up the end that was promised.
const TO_END: Duration = Duration::from_secs(4);

impl Tx<'_> {
    /// Marks one account of a change as taken over by a newer one.
    pub fn supersede_target(
        &mut self,
        seq: i64,
        account: &AccountId,
        newer: &ChangeId,
    ) -> Result<()> {
        let why = superseded_by(newer.as_str());
        self.set_target(seq, account, TargetState::Superseded, None, Some(&why))
    }

    /// A newer change waiting for this account.
    pub fn newer_change(&mut self, account: &AccountId, seq: i64) -> Result<Option<ChangeId>> {
        let sql = "SELECT c.id AS value FROM password_change_target t JOIN password_change c ON c.seq = t.change_seq
                   WHERE t.account_id = $1 AND t.change_seq > $2 AND t.state < 2 ORDER BY t.change_seq";
        Ok(self.maybe::<One<ChangeId>>(sql, &[account, &seq])?.map(|One(id)| id))
    }

    /// Keeps where one account of a change stands; `announced`, if a write to it was left behind.
    pub fn set_target(
        &mut self,
        seq: i64,
        account: &AccountId,
        state: TargetState,
        announced: Option<Micros>,
        error: Option<&str>,
    ) -> Result<()> {
        let sql = "UPDATE password_change_target SET state = $3, announced = $4, error = $5
                   WHERE change_seq = $1 AND account_id = $2 AND state < 2";
        self.run_one(sql, &[&seq, account, &state.number(), &announced, &error])
    }

    /// Announces a write: from here on it may have happened.
    pub fn set_intent(
        &mut self,
        seq: i64,
        account: &AccountId,
        salt: &[u8],
        stamp: &str,
    ) -> Result<()> {
        let now = self.now()?;
        let sql =
            "UPDATE password_change_target SET state = 1, salt = $3, stamp = $4, announced = $5
                   WHERE change_seq = $1 AND account_id = $2 AND state < 2";
        self.run_one(sql, &[&seq, account, &salt, &stamp, &now])
    }

    /// The accounts of a change, each with its source's own name for it.
    pub fn claimed_targets(&mut self, seq: i64) -> Result<Vec<ClaimedTarget>> {
        // Not joined: without statistics PostgreSQL would read every account.
        let sql = "SELECT t.account_id, t.source_id, t.state, t.salt, t.stamp, t.announced, t.error,
                       COALESCE((SELECT a.native_identity FROM account a WHERE a.id = t.account_id), '')
                           AS native_identity,
                       (SELECT a.identity_id FROM account a WHERE a.id = t.account_id) AS identity_id,
                       (SELECT MAX(o.announced) FROM password_change_target o
                        WHERE o.account_id = t.account_id AND o.change_seq < t.change_seq
                          AND o.state >= 2 AND o.announced IS NOT NULL) AS left_behind
                   FROM password_change_target t
                   WHERE t.change_seq = $1 ORDER BY t.account_id";
        self.all(sql, &[&seq])
    }

    /// Who and what a claimed change is about, in one query.
    pub fn change_parties(&mut self, change: &Claimed) -> Result<ChangeParties> {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            format!(
                "SELECT {}, {}, {} FROM (SELECT 1 AS one) one LEFT JOIN source_key ON source_key.id = $1
                 LEFT JOIN identity ON identity.id = $2 LEFT JOIN account ON account.id = $3",
                part_of("source_key", keys::COLUMNS),
                part_of("identity", identities::COLUMNS),
                part_of("account", accounts::COLUMNS),
            )
        });
        self.one(&SQL, &[&change.key_id, &change.identity_id, &change.account_id])
    }

    /// Whether anything may be claimed now.
    pub fn anything_due(&mut self) -> Result<bool> {
        let now = self.now()?;
        let sql = "SELECT seq AS value FROM password_change WHERE state = 0 AND due <= $1 LIMIT 1";
        Ok(self.maybe::<One<i64>>(sql, &[&now])?.is_some())
    }

    /// Claims up to `limit` changes for `node` until `lease` has passed: those that are due, whose
    /// accounts no older unfinished change waits for, and whose source is not in `busy` (a text of
    /// source ids). One whose deadline has come is claimed in any case, for a few seconds: ending it
    /// writes nothing.
    pub fn claim(
        &mut self,
        node: &str,
        lease: Duration,
        limit: i64,
        busy: &str,
    ) -> Result<Vec<Claimed>> {
        let now = self.now()?;
        let (until, end) = (now.plus(lease), now.plus(TO_END));
        let locked = if self.is_postgres() { SKIP_LOCKED } else { "" };
        let sql = format!(
            "WITH free AS (
                 SELECT c.seq FROM password_change c
                 WHERE c.state = 0 AND c.due <= $1
                   AND (c.deadline <= $1 OR ($3 NOT LIKE '%' || c.source_id || '%' AND NOT EXISTS (
                       SELECT 1 FROM password_change_target mine
                       JOIN password_change_target older
                         ON older.account_id = mine.account_id AND older.change_seq < mine.change_seq AND older.state < 2
                       WHERE mine.change_seq = c.seq AND mine.state < 2)))
                 ORDER BY c.due LIMIT $2{locked})
             UPDATE password_change SET claimed_by = $4, attempt = attempt + 1,
                 due = CASE WHEN deadline <= $1 THEN CAST($6 AS BIGINT) ELSE $5 END,
                 lapses = lapses + CASE WHEN claimed_by IS NULL THEN 0 ELSE 1 END
             WHERE seq IN (SELECT seq FROM free)
             RETURNING seq, id, identity_id, source_id, account_id, key_id, payload, attempt, lapses,
                 CAST($1 AS BIGINT) AS claimed_at, deadline, deadline <= $1 AS expired"
        );
        self.all(&sql, &[&now, &limit, &busy, &node, &until, &end])
    }

    /// Holds a claim longer; `Error::Rows(0)` when it was lost.
    pub fn renew(&mut self, node: &str, change: &Claimed, lease: Duration) -> Result<()> {
        let until = self.now()?.plus(lease);
        let sql = "UPDATE password_change SET due = $4 WHERE seq = $1 AND claimed_by = $2 AND attempt = $3 AND state = 0";
        self.run_one(sql, &[&change.seq, &node, &change.attempt, &until])
    }

    /// Gives a claim back, to be taken up again after `pause`, or at its deadline if that comes
    /// first and is not within a second; `Error::Rows(0)` when it was lost.
    pub fn release(&mut self, node: &str, change: &Claimed, pause: Duration) -> Result<()> {
        let now = self.now()?;
        let due = now.plus(pause).min(change.deadline.max(now.plus(Duration::from_secs(1))));
        let sql = "UPDATE password_change SET claimed_by = NULL, due = $4
                   WHERE seq = $1 AND claimed_by = $2 AND attempt = $3 AND state = 0";
        self.run_one(sql, &[&change.seq, &node, &change.attempt, &due])
    }

    /// Ends a change if all its accounts have ended, and shreds its payload.
    pub fn end_if_done(&mut self, seq: i64) -> Result<Option<State>> {
        let sql = "SELECT source_id, state, error FROM password_change_target
                   WHERE change_seq = $1 ORDER BY account_id";
        let targets: Vec<EndedTarget> = self.all(sql, &[&seq])?;
        if targets.iter().any(|target| TargetState::of(target.state).is_open()) {
            return Ok(None);
        }
        let (state, errors) = self.end_of(&targets)?;
        let now = self.now()?;
        let sql = format!("{END} RETURNING id AS value");
        let One(id) =
            self.one::<One<ChangeId>>(&sql, &[&seq, &state.number(), &Json(&errors), &now])?;
        self.audit_end(&id, state, &errors)?;
        Ok(Some(state))
    }

    /// Ends a change whose accounts have all ended, and shreds its payload; `Error::Rows(0)` when
    /// its claim was lost.
    pub fn end_claimed(
        &mut self,
        node: &str,
        change: &Claimed,
        targets: &[EndedTarget],
    ) -> Result<State> {
        let (state, errors) = self.end_of(targets)?;
        let now = self.now()?;
        let sql = format!("{END} AND claimed_by = $5 AND attempt = $6");
        self.run_one(
            &sql,
            &[&change.seq, &state.number(), &Json(&errors), &now, &node, &change.attempt],
        )?;
        self.audit_end(&change.id, state, &errors)?;
        Ok(state)
    }

    /// How a change ends whose accounts ended like this, and what its status says of it.
    fn end_of(&mut self, targets: &[EndedTarget]) -> Result<(State, Vec<String>)> {
        let is_applied =
            |target: &&EndedTarget| TargetState::of(target.state) == TargetState::Applied;
        let mut errors: Vec<String> = Vec::new();
        for target in targets.iter().filter(|target| !is_applied(target)) {
            let Some(error) = &target.error else { continue };
            let source = self.change_source(&target.source_id)?;
            let name = source.map_or_else(|| target.source_id.to_string(), |source| source.name);
            errors.extend(error.lines().map(|reason| line(&name, reason)));
        }
        let all_applied = targets.iter().all(|target| is_applied(&target));
        Ok((if all_applied { State::Finished } else { State::Failed }, errors))
    }

    fn audit_end(&mut self, id: &ChangeId, state: State, errors: &[String]) -> Result<()> {
        let (actor, object, detail) =
            ("rekey", id.as_str(), serde_json::json!({ "errors": errors }));
        if state == State::Finished {
            let action = "ACTION_PASSWORD_CHANGE_SUCCESS";
            return self.audit(Audit { actor, action, object, detail });
        }
        let action = "passwordChangeFailure";
        let why = "the password is not in force on every account";
        self.audit_failure(Audit { actor, action, object, detail }, why)
    }
}

/// Ends a change, if it has not ended: its state, errors and time follow its number.
const END: &str = "UPDATE password_change SET state = $2, errors = $3, ended = $4, payload = NULL, claimed_by = NULL
                   WHERE seq = $1 AND state = 0";
