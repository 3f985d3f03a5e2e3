//! Password changes: what is kept of them.

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

/// What a change needs to know of a source, and no more.
pub struct ChangeSource {
    /// Its name.
    pub name: String,
    /// What its owner has switched on.
    pub features: Json<Vec<String>>,
    /// How long a change may take, in microseconds.
    pub deadline: Option<i64>,
}
from_row!(ChangeSource { name, features, deadline });

/// What accepting needs to know of what was asked.
pub struct AcceptContext {
    /// The source that was named.
    pub source: ChangeSource,
    /// The key's public half; none if it is not a key of this source.
    pub spki: Option<Vec<u8>>,
    /// Until when the key still decrypts, once it was rotated.
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

/// Whose password a change is for, on which account, and what its ciphertext is opened with.
pub struct ChangeParties {
    /// The key it was encrypted for.
    pub key: Option<SourceKey>,
    /// The person.
    pub identity: Option<Identity>,
    /// The account that was named.
    pub account: Option<Account>,
    /// What is asked of a password there.
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
    /// The sources that its changes need a permit of.
    pub source_set: String,
    /// Since when the oldest is due.
    pub due: Micros,
}
from_row!(DueQueue { source_set, due });

/// How much a claim may take.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Of which queue, and how many changes.
    pub queues: Vec<(String, i64)>,
    /// How many changes whose deadline has come.
    pub expired: i64,
}

impl Room {
    /// The queues and the numbers, each as one text with commas between.
    fn joined(&self) -> (String, String) {
        let names: Vec<_> = self.queues.iter().map(|(name, _)| name.as_str()).collect();
        let rooms: Vec<_> = self.queues.iter().map(|(_, room)| room.to_string()).collect();
        (names.join(","), rooms.join(","))
    }
}

/// The queue of a change on these sources.
fn source_set<'a>(sources: impl Iterator<Item = &'a SourceId>) -> String {
    let sorted: BTreeSet<_> = sources.map(SourceId::as_str).collect();
    sorted.into_iter().collect::<Vec<_>>().join(" ")
}

/// An account that a change is for.
#[derive(Clone, Debug)]
pub struct Target {
    /// Rekey's name for the account.
    pub account_id: AccountId,
    /// Where it is.
    pub source_id: SourceId,
}
from_row!(Target { account_id, source_id });

/// A change about to be accepted.
pub struct NewChange {
    /// The wire's `requestId`.
    pub id: ChangeId,
    /// SHA-256 of the ciphertext: public, and as good as a nonce.
    pub digest: Vec<u8>,
    /// The person or client who asked.
    pub caller: String,
    /// Whose password.
    pub identity_id: IdentityId,
    /// The source that was named.
    pub source_id: SourceId,
    /// The account that was named.
    pub account_id: AccountId,
    /// The key it was encrypted for.
    pub key_id: KeyId,
    /// Now.
    pub created: Micros,
    /// When it fails if it has not ended.
    pub deadline: Micros,
    /// How many changes of the account there may be already.
    pub quota: Option<Quota>,
}

impl Quota {
    /// No quota: none of the account's changes counts.
    const NONE: Self = Self { most: 1, since: Micros(i64::MAX) };
}

/// A largest number of changes of an account.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// So many.
    pub most: i64,
    /// Since then.
    pub since: Micros,
}

/// A change that came with the same ciphertext.
pub struct KnownChange {
    /// Its name.
    pub id: ChangeId,
    /// Who asked.
    pub caller: String,
    /// Whose password.
    pub identity_id: IdentityId,
    /// The account that was named.
    pub account_id: AccountId,
    /// Its state.
    pub state: State,
    /// When it was accepted.
    pub created: Micros,
}
from_row!(KnownChange { id, caller, identity_id, account_id, state, created });

/// What its status says.
pub struct ChangeStatus {
    /// Its name.
    pub id: ChangeId,
    /// Who asked.
    pub caller: String,
    /// Whose password.
    pub identity_id: IdentityId,
    /// Its state.
    pub state: State,
    /// One line per target or rule that was not met.
    pub errors: Json<Vec<String>>,
}
from_row!(ChangeStatus { id, caller, identity_id, state, errors });

/// A change in a worker's hands.
#[derive(Clone)]
pub struct Claimed {
    /// Its place in the order of acceptance.
    pub seq: i64,
    /// Its name.
    pub id: ChangeId,
    /// Whose password.
    pub identity_id: IdentityId,
    /// The source that was named.
    pub source_id: SourceId,
    /// The account that was named.
    pub account_id: AccountId,
    /// The key it was encrypted for.
    pub key_id: KeyId,
    /// The sealed ciphertext.
    pub payload: Option<Vec<u8>>,
    /// How often it was claimed, this time included: the fence.
    pub attempt: i64,
    /// How often a claim of it ran out in the hands of a worker.
    pub lapses: i64,
    /// When it was claimed, by the store's clock, which all nodes share.
    pub claimed_at: Micros,
    /// When it fails if it has not ended.
    pub deadline: Micros,
    /// Whether that has come, by the store's clock.
    pub expired: bool,
    /// The queue it waited in: the sources it needs a permit of.
    pub source_set: String,
}

impl Claimed {
    /// What its sealed ciphertext is bound to.
    pub fn bound_to(&self) -> String {
        bound_to(&self.id, &self.identity_id, &self.account_id, &self.key_id)
    }
}

impl NewChange {
    /// What its sealed ciphertext is bound to.
    pub fn bound_to(&self) -> String {
        bound_to(&self.id, &self.identity_id, &self.account_id, &self.key_id)
    }
}

/// Whoever can write to the database cannot point a ciphertext at somebody else.
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
    /// Which account.
    pub account_id: AccountId,
    /// Where it is.
    pub source_id: SourceId,
    /// The source's own name for it.
    pub native_identity: String,
    /// Its state.
    pub state: TargetState,
    /// The random bytes of this change on this account, once a write was announced.
    pub salt: Option<Vec<u8>>,
    /// The stamp observed before that write.
    pub stamp: Option<String>,
    /// When the last write was announced of which it was not known what became of it.
    pub announced: Option<Micros>,
    /// The same of the older changes of this account, which have all ended.
    pub unresolved_write_at: Option<Micros>,
    /// What was last wrong.
    pub error: Option<String>,
    /// Whose the account is by now.
    pub identity_id: Option<IdentityId>,
    /// The system's own id of it.
    pub stable_id: Option<String>,
    /// The correlation generation it was last confirmed in.
    pub generation: Option<i64>,
    /// Whether an administrator said whose it is.
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

/// One account of a change that has not ended.
struct OpenTarget {
    account_id: AccountId,
    state: TargetState,
}
from_row!(OpenTarget { account_id, state });

/// One account of a change that may have ended.
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

/// A write about to be done.
pub struct Intent {
    /// To which account.
    pub account_id: AccountId,
    /// The account's state from here on.
    pub state: TargetState,
    /// The random bytes of the change on it.
    pub salt: Vec<u8>,
    /// The stamp observed before.
    pub stamp: String,
}

/// Where one account of a claimed change stands after an attempt.
pub struct TargetResult {
    /// Which account.
    pub account_id: AccountId,
    /// Where it is.
    pub source_id: SourceId,
    /// Its state.
    pub state: TargetState,
    /// When the last write was announced of which it is not known what became of it.
    pub announced: Option<Micros>,
    /// What is wrong.
    pub error: Option<String>,
    /// Whether the attempt found it out: what stood before is not written again.
    pub is_new: bool,
}

impl TargetResult {
    fn reason(&self) -> Reason<'_> {
        (&self.source_id, self.state, self.error.as_deref())
    }
}

/// An account of a claimed change, and its source, if that is still there.
pub type Sourced = (ClaimedTarget, Option<Source>);

impl FromRow for Sourced {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok((ClaimedTarget::from_row(row)?, row.part("source.")?))
    }
}

impl Tx<'_> {
    /// Forgets the keys that came before `before`.
    pub fn remove_idempotency_keys(&mut self, before: Micros) -> Result<u64> {
        self.run("DELETE FROM idempotency_key WHERE created < $1", &[&before])
    }

    /// What a change's status says.
    pub fn change_status(&mut self, id: &ChangeId) -> Result<Option<ChangeStatus>> {
        let sql =
            "SELECT id, caller, identity_id, state, errors FROM password_change WHERE id = $1";
        self.maybe(sql, &[id])
    }

    /// The same, if this person or client asked for it or it is about them: another's is not even
    /// read, so that it takes no longer than one that is not there.
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

    /// Looks at `limit` changes after `from`, and forgets those that ended before `before` and
    /// whose keys are destroyed: until then a ciphertext must be known again. Where to go on, or
    /// none at the end.
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

    /// Fails what is unfinished on a source: it is reached in another way now, and what was
    /// encrypted for it must not be sent there. A worker that holds such a change loses its claim. `next` is the state of a target that is cancelled.
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
            // Who holds it may be writing to another member of the group: that one's lease stands.
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

/// A lost claim: another worker holds the change now, and this one must not touch it.
pub fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Rows(0))
}
