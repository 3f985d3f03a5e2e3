//! Password changes, as stored.

use std::collections::BTreeSet;

use rekey_vault::Policy;

use super::{Error, Result, Tx};
use crate::model::{
    account::Account,
    change::{State, TargetState},
    column::{FromRow, Json, One, Row, from_row},
    id::{AccountId, ChangeId, IdentityId, KeyId, SourceId},
    identity::Identity,
    source::Source,
    source_key::SourceKey,
    time::Micros,
};

mod accept;
#[cfg(rekey_proof)]
mod broken;
mod end;
mod queue;

use self::end::Reason;

/// In SQL: the state of a change that has not ended.
pub(super) const IN_PROGRESS: i64 = State::InProgress.number();
/// In SQL: the state of a target to which nothing was written.
const QUEUED: i64 = TargetState::Queued.number();
/// In SQL: the states of targets that have not ended are below this one.
const FIRST_ENDED: i64 = TargetState::FIRST_ENDED;

/// The columns of a source that a change needs.
pub struct ChangeSource {
    /// Its name.
    pub name: String,
    /// The features that its owner has enabled.
    pub features: Json<Vec<String>>,
    /// How long a change may take, in microseconds.
    pub deadline: Option<i64>,
}
from_row!(ChangeSource { name, features, deadline });

/// What an accept decides by.
pub struct AcceptContext {
    /// The source that was named.
    pub source: ChangeSource,
    /// The public key; none if the key does not belong to this source.
    pub spki: Option<Vec<u8>>,
    /// The end of the key's acceptance, once it was rotated.
    pub accept_until: Option<Micros>,
    /// The person's account there, if there is one.
    pub account_id: Option<AccountId>,
}

impl FromRow for AcceptContext {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            source: ChangeSource::from_row(row)?,
            spki: row.get("spki")?,
            accept_until: row.get("accept_until")?,
            account_id: row.get("account_id")?,
        })
    }
}

/// The person, the account, the key and the policy of a change.
pub struct ChangeParties {
    /// The key it was encrypted for.
    pub key: Option<SourceKey>,
    /// The person.
    pub identity: Option<Identity>,
    /// The account that was named in the request.
    pub account: Option<Account>,
    /// The policy in force for that account's source.
    pub policy: Option<Json<Policy>>,
}

impl FromRow for ChangeParties {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            key: row.part("source_key.")?,
            identity: row.part("identity.")?,
            account: row.part("account.")?,
            policy: row.get("policy")?,
        })
    }
}

/// A queue in which a change is due.
pub struct DueQueue {
    /// The sources that its changes need a permit for.
    pub source_set: String,
    /// When its oldest change was due.
    pub due: Micros,
}
from_row!(DueQueue { source_set, due });

/// How many changes a claim may take.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Each queue, and the number of changes that may be taken from it.
    pub queues: Vec<(String, i64)>,
    /// The number of expired changes that may be taken.
    pub expired: i64,
}

impl Room {
    /// The queue names and the numbers, each joined with commas.
    fn joined(&self) -> (String, String) {
        let names: Vec<_> = self.queues.iter().map(|(name, _)| name.as_str()).collect();
        let rooms: Vec<_> = self.queues.iter().map(|(_, room)| room.to_string()).collect();
        (names.join(","), rooms.join(","))
    }
}

/// The name of the queue of a change on these sources: their sorted ids, separated by blanks.
fn source_set<'a>(sources: impl Iterator<Item = &'a SourceId>) -> String {
    let sorted: BTreeSet<_> = sources.map(SourceId::as_str).collect();
    sorted.into_iter().collect::<Vec<_>>().join(" ")
}

/// An account that a change is for.
#[derive(Clone, Debug)]
pub struct Target {
    /// The account's id.
    pub account_id: AccountId,
    /// Its source.
    pub source_id: SourceId,
}
from_row!(Target { account_id, source_id });

/// A change about to be accepted.
pub struct NewChange {
    /// The wire's `requestId`.
    pub id: ChangeId,
    /// SHA-256 of the ciphertext. It is public; since encryption is randomised, it identifies a
    /// request like a nonce.
    pub digest: Vec<u8>,
    /// The id of the requesting person or client.
    pub caller: String,
    /// The person whose password changes.
    pub identity_id: IdentityId,
    /// The source that was named.
    pub source_id: SourceId,
    /// The account that was named.
    pub account_id: AccountId,
    /// The key it was encrypted for.
    pub key_id: KeyId,
    /// The time of acceptance.
    pub created: Micros,
    /// The time at which the change fails if it has not ended.
    pub deadline: Micros,
    /// The limit on recent changes of the account, if there is one.
    pub quota: Option<Quota>,
}

impl Quota {
    /// A quota that no change counts towards.
    const NONE: Self = Self { most: 1, since: Micros(i64::MAX) };
}

/// The maximum number of changes of an account in a period.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// The maximum.
    pub most: i64,
    /// The start of the period.
    pub since: Micros,
}

/// An earlier change with the same ciphertext.
pub struct KnownChange {
    /// Its id: the wire's `requestId`.
    pub id: ChangeId,
    /// The id of the requesting person or client.
    pub caller: String,
    /// The person whose password changes.
    pub identity_id: IdentityId,
    /// The account that was named.
    pub account_id: AccountId,
    /// Its state.
    pub state: State,
    /// When it was accepted.
    pub created: Micros,
}
from_row!(KnownChange { id, caller, identity_id, account_id, state, created });

/// The status of a change.
pub struct ChangeStatus {
    /// Its id: the wire's `requestId`.
    pub id: ChangeId,
    /// The id of the requesting person or client.
    pub caller: String,
    /// The person whose password changes.
    pub identity_id: IdentityId,
    /// Its state.
    pub state: State,
    /// One line for each failed target or unmet rule.
    pub errors: Json<Vec<String>>,
}
from_row!(ChangeStatus { id, caller, identity_id, state, errors });

/// A change claimed by a worker.
#[derive(Clone)]
pub struct Claimed {
    /// Its sequence number in the order of acceptance.
    pub seq: i64,
    /// Its id.
    pub id: ChangeId,
    /// The person whose password changes.
    pub identity_id: IdentityId,
    /// The source that was named.
    pub source_id: SourceId,
    /// The account that was named.
    pub account_id: AccountId,
    /// The key it was encrypted for.
    pub key_id: KeyId,
    /// The sealed ciphertext; none once the change has ended.
    pub payload: Option<Vec<u8>>,
    /// The number of claims, this one included: the fence.
    pub attempt: i64,
    /// The number of claims that expired while a worker held them.
    pub lapses: i64,
    /// The time of the claim, by the store's clock, which all nodes share.
    pub claimed_at: Micros,
    /// The time at which the change fails if it has not ended.
    pub deadline: Micros,
    /// Whether the deadline had passed at the claim, by the store's clock.
    pub expired: bool,
    /// The queue it waited in: the sources that it needs a permit for.
    pub source_set: String,
}

impl Claimed {
    /// The associated data of its sealed ciphertext.
    pub fn bound_to(&self) -> String {
        bound_to(&self.id, &self.identity_id, &self.account_id, &self.key_id)
    }
}

impl NewChange {
    /// The associated data of its sealed ciphertext.
    pub fn bound_to(&self) -> String {
        bound_to(&self.id, &self.identity_id, &self.account_id, &self.key_id)
    }
}

/// The associated data bind a ciphertext to its change: write access to the database is not enough
/// to redirect it to another person or account.
fn bound_to(id: &ChangeId, identity: &IdentityId, account: &AccountId, key: &KeyId) -> String {
    format!("{id}|{identity}|{account}|{key}")
}

from_row!(Claimed {
    seq,
    id,
    identity_id,
    source_id,
    account_id,
    key_id,
    payload,
    attempt,
    lapses,
    claimed_at,
    deadline,
    expired,
    source_set,
});

/// One account of a claimed change.
#[derive(Clone, Debug)]
pub struct ClaimedTarget {
    /// The account's id.
    pub account_id: AccountId,
    /// Its source.
    pub source_id: SourceId,
    /// The source's own name for the account; empty if the account no longer exists.
    pub native_identity: String,
    /// The target's state.
    pub state: TargetState,
    /// The random bytes of this change on this account, once a write was announced.
    pub salt: Option<Vec<u8>>,
    /// The stamp observed before that write.
    pub stamp: Option<String>,
    /// When the latest write whose outcome is unknown was announced.
    pub announced: Option<Micros>,
    /// When an older, ended change of this account last announced a write whose outcome is unknown.
    pub unresolved_write_at: Option<Micros>,
    /// The latest error.
    pub error: Option<String>,
    /// The account's current owner.
    pub identity_id: Option<IdentityId>,
    /// The account's stable id.
    pub stable_id: Option<String>,
    /// The correlation generation in which an aggregation last confirmed the account.
    pub generation: Option<i64>,
    /// Whether an administrator assigned the account to its owner.
    pub manually_correlated: Option<bool>,
}
from_row!(ClaimedTarget {
    account_id,
    source_id,
    state,
    salt,
    stamp,
    announced,
    error,
    native_identity,
    identity_id,
    stable_id,
    generation,
    manually_correlated,
    unresolved_write_at,
});

/// A target that has not ended, of a change.
struct OpenTarget {
    account_id: AccountId,
    state: TargetState,
}
from_row!(OpenTarget { account_id, state });

/// A target of a change, as recorded.
struct EndedTarget {
    source_id: SourceId,
    state: TargetState,
    error: Option<String>,
}
from_row!(EndedTarget { source_id, state, error });

impl EndedTarget {
    fn reason(&self) -> Reason<'_> {
        (&self.source_id, self.state, self.error.as_deref())
    }
}

/// A write about to be announced.
pub struct Intent {
    /// The account to be written to.
    pub account_id: AccountId,
    /// The target's state from the announcement on.
    pub state: TargetState,
    /// The random bytes of the change on this account.
    pub salt: Vec<u8>,
    /// The stamp observed before the write.
    pub stamp: String,
}

/// The state of one account of a claimed change after an attempt.
pub struct TargetResult {
    /// The account's id.
    pub account_id: AccountId,
    /// Its source.
    pub source_id: SourceId,
    /// The target's state.
    pub state: TargetState,
    /// When the latest write whose outcome is unknown was announced.
    pub announced: Option<Micros>,
    /// The error, if any.
    pub error: Option<String>,
    /// Whether this attempt produced the result. Earlier results are already stored.
    pub is_new: bool,
}

impl TargetResult {
    fn reason(&self) -> Reason<'_> {
        (&self.source_id, self.state, self.error.as_deref())
    }
}

/// A target of a claimed change, and its source, if that still exists.
pub type Sourced = (ClaimedTarget, Option<Source>);

impl FromRow for Sourced {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok((ClaimedTarget::from_row(row)?, row.part("source.")?))
    }
}

impl Tx<'_> {
    /// Deletes the idempotency keys that are older than `before`. Returns their number.
    pub fn remove_idempotency_keys(&mut self, before: Micros) -> Result<u64> {
        self.run("DELETE FROM idempotency_key WHERE created < $1", &[&before])
    }

    /// The status of a change.
    pub fn change_status(&mut self, id: &ChangeId) -> Result<Option<ChangeStatus>> {
        let sql =
            "SELECT id, caller, identity_id, state, errors FROM password_change WHERE id = $1";
        self.maybe(sql, &[id])
    }

    /// The status of a change, if `who` requested it or is its person. Another's row is not read,
    /// so that the response time does not reveal whether the change exists.
    pub fn own_change_status(&mut self, id: &ChangeId, who: &str) -> Result<Option<ChangeStatus>> {
        let sql = "SELECT id, caller, identity_id, state, errors FROM password_change
                   WHERE id = $1 AND (identity_id = $2 OR caller = $2)";
        self.maybe(sql, &[id, &who])
    }

    /// The sources of a change, by id.
    pub fn change_source_ids(&mut self, id: &ChangeId) -> Result<Vec<SourceId>> {
        let sql = "SELECT DISTINCT t.source_id AS value FROM password_change_target t
                   JOIN password_change c ON c.seq = t.change_seq WHERE c.id = $1 ORDER BY 1";
        Ok(self.all::<One<SourceId>>(sql, &[id])?.into_iter().map(|One(id)| id).collect())
    }

    /// Reads up to `limit` changes after `from`, and deletes those that ended before `before` and
    /// whose key is destroyed: as long as the key exists, a resend or a replay must be recognised.
    /// Returns the number to continue after, or none at the end.
    pub fn remove_ended_changes(
        &mut self,
        before: Micros,
        from: i64,
        limit: i64,
    ) -> Result<Option<i64>> {
        let sql = "SELECT seq AS value FROM password_change WHERE seq > $1 ORDER BY seq LIMIT $2";
        let last = self.all::<One<i64>>(sql, &[&from, &limit])?.pop().map(|One(seq)| seq);
        let Some(last) = last else { return Ok(None) };
        let sql =
            "SELECT seq AS value FROM password_change c WHERE seq > $1 AND seq <= $2 AND ended < $3
                   AND NOT EXISTS (SELECT 1 FROM source_key k WHERE k.id = c.key_id)";
        for One(seq) in self.all::<One<i64>>(sql, &[&from, &last, &before])? {
            self.run("DELETE FROM password_change_target WHERE change_seq = $1", &[&seq])?;
            self.run("DELETE FROM password_change WHERE seq = $1", &[&seq])?;
        }
        Ok(Some(last))
    }

    /// Fails the unfinished changes of a source that has been pointed elsewhere: passwords that
    /// were encrypted for it must not be sent to its new place. A worker that holds such a change
    /// loses its claim. `next` yields the state of a cancelled target.
    pub fn cancel_changes(
        &mut self,
        source: &SourceId,
        why: &str,
        next: fn(TargetState) -> Result<TargetState>,
    ) -> Result<()> {
        let sql = format!(
            "SELECT c.seq AS value FROM password_change c WHERE c.state = {IN_PROGRESS} AND EXISTS (
                       SELECT 1 FROM password_change_target t
                       WHERE t.change_seq = c.seq AND t.source_id = $1 AND t.state < {FIRST_ENDED})
                   ORDER BY c.seq"
        );
        let sql = if self.is_postgres() { format!("{sql} FOR UPDATE OF c") } else { sql };
        let now = self.now()?;
        for One(seq) in self.all::<One<i64>>(&sql, &[source])? {
            // If a worker has claimed the change, it may be writing to another member of the sync
            // group: its lease (`due`) remains.
            let sql = "UPDATE password_change SET due = CASE WHEN claimed_by IS NULL THEN $2 ELSE due END,
                           claimed_by = NULL WHERE seq = $1";
            self.run_one(sql, &[&seq, &now])?;
            let sql = format!(
                "SELECT account_id, state FROM password_change_target
                 WHERE change_seq = $1 AND source_id = $2 AND state < {FIRST_ENDED}"
            );
            for OpenTarget { account_id, state } in self.all(&sql, &[&seq, source])? {
                let state = next(state)?;
                let sql = "UPDATE password_change_target SET state = $3, error = $4
                           WHERE change_seq = $1 AND account_id = $2";
                self.run_one(sql, &[&seq, &account_id, &state, &why])?;
            }
            self.end_if_done(seq)?;
        }
        Ok(())
    }
}

/// Whether the error is a lost claim: another worker may hold the change now, and this one must not
/// touch it.
pub fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Rows(0))
}
