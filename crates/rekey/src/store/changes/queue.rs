//! Claiming changes, and recording the results of attempts.

use std::{sync::LazyLock, time::Duration};

use super::{
    ChangeParties, Claimed, DueQueue, FIRST_ENDED, IN_PROGRESS, Intent, Room, Sourced,
    TargetResult,
    end::{END_CHANGE, SET_TARGET},
    source_set,
};
use crate::{
    model::{
        change::Outcome,
        column::{Json, One, Param, part_of},
        id::{AccountId, ChangeId},
        source::BUILT_IN,
        time::Micros,
    },
    store::{
        Error, Result, Tx, accounts, identities, keys, policies::in_force, sources, tx::Query,
    },
};

/// Two nodes must neither claim the same change nor wait for each other.
const SKIP_LOCKED: &str = " FOR UPDATE OF c SKIP LOCKED";

/// The lease of a claim that only has to end an expired change. It is short, so that a crashed
/// worker delays the promised end by little.
const TO_END: Duration = Duration::from_secs(4);

/// The changes of a queue that may be claimed: those due whose accounts no older unfinished change
/// occupies.
static DUE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "c.state = {IN_PROGRESS} AND c.source_set = queue.source_set AND c.due <= $1 AND NOT EXISTS (
             SELECT 1 FROM password_change_target mine
             JOIN password_change_target older
               ON older.account_id = mine.account_id AND older.change_seq < mine.change_seq
                  AND older.state < {FIRST_ENDED}
             WHERE mine.change_seq = c.seq AND mine.state < {FIRST_ENDED})"
    )
});

/// Returns a claimed change to the queue of the sources that are still to be changed, until `due`.
static RELEASE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE password_change SET claimed_by = NULL, due = $4, source_set = $5
         WHERE seq = $1 AND claimed_by = $2 AND attempt = $3 AND state = {IN_PROGRESS}"
    )
});

impl Claimed {
    /// When the change is due again after a pause. A deadline within the pause comes first, but not
    /// within the next second.
    fn due_after(&self, pause: Duration, now: Micros) -> Micros {
        now.plus(pause).min(self.deadline.max(now.plus(Duration::from_secs(1))))
    }
}

impl Tx<'_> {
    /// The newest unfinished change of this account after `seq`, if there is one.
    pub fn newer_change(&mut self, account: &AccountId, seq: i64) -> Result<Option<ChangeId>> {
        let sql = format!(
            "SELECT c.id AS value FROM password_change_target t JOIN password_change c ON c.seq = t.change_seq
             WHERE t.account_id = $1 AND t.change_seq > $2 AND t.state < {FIRST_ENDED} ORDER BY t.change_seq"
        );
        Ok(self.maybe::<One<ChangeId>>(&sql, &[account, &seq])?.map(|One(id)| id))
    }

    /// The targets of a claimed change, each with its source, and the person, key, account and
    /// policy of the change.
    pub fn change_context(&mut self, change: &Claimed) -> Result<(Vec<Sourced>, ChangeParties)> {
        static TARGETS: LazyLock<String> = LazyLock::new(|| {
            // Accounts are read by subqueries: in a join, PostgreSQL without statistics would scan
            // them all.
            format!(
                "SELECT t.account_id, t.source_id, t.state, t.salt, t.stamp, t.announced, t.error,
                     COALESCE((SELECT a.native_identity FROM account a WHERE a.id = t.account_id), '')
                         AS native_identity,
                     (SELECT a.identity_id FROM account a WHERE a.id = t.account_id) AS identity_id,
                     (SELECT a.stable_id FROM account a WHERE a.id = t.account_id) AS stable_id,
                     (SELECT a.generation FROM account a WHERE a.id = t.account_id) AS generation,
                     (SELECT a.manually_correlated FROM account a WHERE a.id = t.account_id)
                         AS manually_correlated,
                     (SELECT MAX(o.announced) FROM password_change_target o
                      WHERE o.account_id = t.account_id AND o.change_seq < t.change_seq
                        AND o.state >= {FIRST_ENDED} AND o.announced IS NOT NULL)
                         AS unresolved_write_at, {}
                 FROM password_change_target t LEFT JOIN source ON source.id = t.source_id
                 WHERE t.change_seq = $1 ORDER BY t.account_id",
                part_of("source", sources::COLUMNS),
            )
        });
        static PARTIES: LazyLock<String> = LazyLock::new(|| {
            format!(
                "SELECT {}, {}, {}, ({}) AS policy FROM (SELECT 1 AS one) one
                 LEFT JOIN source_key ON source_key.id = $1 LEFT JOIN identity ON identity.id = $2
                 LEFT JOIN account ON account.id = $3",
                part_of("source_key", keys::COLUMNS),
                part_of("identity", identities::COLUMNS),
                part_of("account", accounts::COLUMNS),
                in_force("$4"),
            )
        });
        let Claimed { key_id, identity_id, account_id, source_id, .. } = change;
        let (targets, mut parties) = self.both(
            &(&TARGETS, vec![&change.seq]),
            &(&PARTIES, vec![key_id, identity_id, account_id, source_id]),
        )?;
        Ok((targets, parties.pop().ok_or_else(|| Error::Corrupt("no row of nothing".into()))?))
    }

    /// The queues in which a change is due, and whether an expired change may be claimed. Each
    /// queue costs one index step, however many changes wait in it.
    pub fn due_queues(&mut self) -> Result<(Vec<DueQueue>, bool)> {
        let now = self.now()?;
        let queues = format!(
            "WITH RECURSIVE queue AS (
                 SELECT MIN(source_set) AS source_set FROM password_change WHERE state = {IN_PROGRESS}
                 UNION ALL
                 SELECT (SELECT MIN(c.source_set) FROM password_change c
                         WHERE c.state = {IN_PROGRESS} AND c.source_set > queue.source_set)
                 FROM queue WHERE queue.source_set IS NOT NULL),
             oldest AS (
                 SELECT source_set, (SELECT MIN(c.due) FROM password_change c
                     WHERE c.state = {IN_PROGRESS} AND c.source_set = queue.source_set) AS due
                 FROM queue WHERE source_set IS NOT NULL)
             SELECT source_set, due FROM oldest WHERE due <= $1 ORDER BY due"
        );
        let expired = format!(
            "SELECT seq AS value FROM password_change
             WHERE state = {IN_PROGRESS} AND deadline <= $1 AND due <= $1 LIMIT 1"
        );
        let (queues, expired) =
            self.both::<DueQueue, One<i64>>(&(&queues, vec![&now]), &(&expired, vec![&now]))?;
        Ok((queues, !expired.is_empty()))
    }

    /// Claims changes for `node`, with a lease of `lease`: from each queue as many as `room`
    /// allows, the longest due first, of those whose accounts no older unfinished change occupies.
    /// Up to `room.expired` expired changes are claimed as well, from any queue, with a lease of a
    /// few seconds, since ending one writes to no source.
    pub fn claim(&mut self, node: &str, lease: Duration, room: &Room) -> Result<Vec<Claimed>> {
        let now = self.now()?;
        let (until, end) = (now.plus(lease), now.plus(TO_END));
        let locked = if self.is_postgres() { SKIP_LOCKED } else { "" };
        let due = &*DUE;
        // PostgreSQL applies each queue's own limit. SQLite cannot: it reads up to the largest
        // limit from each queue, and then takes what is allowed.
        let picked = if self.is_postgres() {
            format!(
                "SELECT picked.seq FROM unnest(string_to_array($2, ','), string_to_array($3, ',')::bigint[])
                     AS queue (source_set, room),
                 LATERAL (SELECT c.seq FROM password_change c WHERE {due}
                     ORDER BY c.due LIMIT LEAST(queue.room, $4){locked}) picked"
            )
        } else {
            format!(
                "SELECT seq FROM (
                     SELECT c.seq, queue.room,
                         ROW_NUMBER() OVER (PARTITION BY queue.source_set ORDER BY c.due, c.seq) AS place
                     FROM (SELECT names.value AS source_set, rooms.value AS room
                           FROM json_each('[\"' || replace($2, ',', '\",\"') || '\"]') names
                           JOIN json_each('[' || $3 || ']') rooms ON rooms.key = names.key) queue
                     CROSS JOIN password_change c ON c.seq IN (
                         SELECT c.seq FROM password_change c WHERE {due} ORDER BY c.due LIMIT $4))
                 WHERE place <= room"
            )
        };
        // The casts give PostgreSQL the types of parameters that it cannot infer.
        let sql = format!(
            "WITH expired AS (
                 SELECT c.seq FROM password_change c
                 WHERE c.state = {IN_PROGRESS} AND c.deadline <= $1 AND c.due <= $1
                 ORDER BY c.deadline LIMIT $5{locked}),
             picked AS ({picked})
             UPDATE password_change SET claimed_by = $6, attempt = attempt + 1,
                 due = CASE WHEN deadline <= $1 THEN CAST($8 AS BIGINT) ELSE $7 END,
                 lapses = lapses + CASE WHEN claimed_by IS NULL THEN 0 ELSE 1 END
             WHERE seq IN (SELECT seq FROM expired UNION SELECT seq FROM picked)
             RETURNING seq, id, identity_id, source_id, account_id, key_id, payload, attempt, lapses,
                 CAST($1 AS BIGINT) AS claimed_at, deadline, deadline <= $1 AS expired, source_set"
        );
        let (names, rooms) = room.joined();
        let most = room.queues.iter().map(|(_, room)| *room).max().unwrap_or(0);
        self.all(&sql, &[&now, &names, &rooms, &most, &room.expired, &node, &until, &end])
    }

    /// Extends a claim; `Error::Rows(0)` if it was lost.
    pub fn renew(&mut self, node: &str, change: &Claimed, lease: Duration) -> Result<()> {
        self.announce(node, change, lease, &[])
    }

    /// Extends a claim and announces writes: from this commit on they may have happened.
    ///
    /// `Error::Rows(0)` if the claim was lost, or if by the latest aggregation an account no longer
    /// belongs to the person: that may have changed since it was observed, and then nothing may be
    /// written.
    pub fn announce(
        &mut self,
        node: &str,
        change: &Claimed,
        lease: Duration,
        intents: &[Intent],
    ) -> Result<()> {
        let now = self.now()?;
        let until = now.plus(lease);
        let renew = format!(
            "UPDATE password_change SET due = $4
             WHERE seq = $1 AND claimed_by = $2 AND attempt = $3 AND state = {IN_PROGRESS}"
        );
        // The lock makes PostgreSQL wait for a transaction that is updating the account, and check
        // the row as that transaction leaves it.
        let held = if self.is_postgres() { " FOR SHARE OF a" } else { "" };
        let intend = format!(
            "UPDATE password_change_target SET state = $6, salt = $3, stamp = $4, announced = $5
             WHERE change_seq = $1 AND state < {FIRST_ENDED} AND account_id = (
                 SELECT a.id FROM account a WHERE a.id = $2 AND a.identity_id = $7
                     AND EXISTS (SELECT 1 FROM source s WHERE s.id = a.source_id
                         AND (s.generation <= a.generation OR s.connector = $8)){held})"
        );
        let mut writes: Vec<Query<'_>> =
            vec![(&renew, vec![&change.seq, &node, &change.attempt, &until])];
        for Intent { account_id, state, salt, stamp } in intents {
            let who = &change.identity_id;
            let params: Vec<&dyn Param> =
                vec![&change.seq, account_id, salt, stamp, &now, state, who, &BUILT_IN];
            writes.push((&intend, params));
        }
        self.run_each(&writes)
    }

    /// Returns a claimed change to its queue, due after `pause` or at its deadline;
    /// `Error::Rows(0)` if the claim was lost.
    pub fn release(&mut self, node: &str, change: &Claimed, pause: Duration) -> Result<()> {
        let due = change.due_after(pause, self.now()?);
        self.run_one(&RELEASE, &[&change.seq, &node, &change.attempt, &due, &change.source_set])
    }

    /// Records the results of an attempt. If all targets have ended, so does the change; if not, it
    /// is returned to its queue as by [`Tx::release`].
    pub fn record_results(
        &mut self,
        node: &str,
        change: &Claimed,
        targets: &[TargetResult],
        pause: Duration,
    ) -> Result<Option<Outcome>> {
        let now = self.now()?;
        let outcome = Outcome::of(targets.iter().map(|target| target.state));
        let open = targets.iter().filter(|target| target.state.is_open());
        let source_set = source_set(open.map(|target| &target.source_id));
        let due = change.due_after(pause, now);
        let mut errors = Json(Vec::new());
        if outcome.is_some() {
            errors.0 = self.status_errors(targets.iter().map(TargetResult::reason))?;
        }
        let state = outcome.map(Outcome::state);
        let end = format!("{} AND claimed_by = $5 AND attempt = $6", *END_CHANGE);
        // The change's row comes first: `supersede_older` locks a change before its targets, too,
        // and the same order on both sides prevents a deadlock.
        let mut writes: Vec<Query<'_>> = vec![match &state {
            Some(state) => (&end, vec![&change.seq, state, &errors, &now, &node, &change.attempt]),
            None => (&RELEASE, vec![&change.seq, &node, &change.attempt, &due, &source_set]),
        }];
        for target in targets.iter().filter(|target| target.is_new) {
            let TargetResult { account_id, state, announced, error, .. } = target;
            writes.push((&SET_TARGET, vec![&change.seq, account_id, state, announced, error]));
        }
        let entry;
        if let Some(state) = state {
            entry = self.end_entry(&change.id, state, &errors.0)?;
            writes.extend(entry.writes());
        }
        self.run_each(&writes)?;
        Ok(outcome)
    }
}
