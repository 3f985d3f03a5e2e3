//! Password changes: the queue.

use super::{Error, Json, Result, Tx, from_row};
use crate::{
    app::App,
    clock::Micros,
    id::{AccountId, ChangeId, IdentityId, KeyId, SourceId},
    password::{State, TargetState, superseded_by},
    store::row::One,
};

/// What accepting needs to know of a source, and no more.
pub struct ChangeSource {
    /// Its name.
    pub name: String,
    /// What its owner has switched on.
    pub features: Json<Vec<String>>,
    /// How long a change may take, in microseconds.
    pub deadline: Option<i64>,
}
from_row!(ChangeSource { name, features, deadline });

impl ChangeSource {
    /// Whether passwords may be changed on it.
    pub fn has_password(&self) -> bool {
        self.name == crate::source::IDENTITY_NOW
            || self.features.0.iter().any(|feature| feature == "PASSWORD")
    }

    /// How long a change on it may take.
    pub fn deadline(&self, app: &App) -> std::time::Duration {
        self.deadline
            .and_then(|micros| u64::try_from(micros).ok())
            .map_or(app.config.changes.deadline, std::time::Duration::from_micros)
    }
}

/// An account that a change is for.
#[derive(Clone, Debug)]
pub struct Target {
    /// Rekey's name for the account.
    pub account_id: AccountId,
    /// Where it is.
    pub source_id: SourceId,
    /// Whose it is.
    pub identity_id: IdentityId,
}
from_row!(Target { account_id, source_id, identity_id });

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
    /// See [`State::number`].
    pub state: i64,
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
    /// See [`State::number`].
    pub state: i64,
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
    /// When it fails if it has not ended.
    pub deadline: Micros,
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
    deadline
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
    /// See [`TargetState::number`].
    pub state: i64,
    /// The random bytes of this change on this account, once a write was announced.
    pub salt: Option<Vec<u8>>,
    /// The stamp observed before that write.
    pub stamp: Option<String>,
    /// What was last wrong.
    pub error: Option<String>,
}
from_row!(ClaimedTarget { account_id, source_id, native_identity, state, salt, stamp, error });

/// Two nodes must not claim the same change, nor wait for each other.
const SKIP_LOCKED: &str = " FOR UPDATE OF c SKIP LOCKED";

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
                self.one::<One<String>>(sql, &[&target.account_id])?;
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

    /// Forgets the keys that came before `before`.
    pub fn remove_idempotency_keys(&mut self, before: Micros) -> Result<u64> {
        self.run("DELETE FROM idempotency_key WHERE created < $1", &[&before])
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
                   WHERE t.account_id = $1 AND t.change_seq < $2 AND t.state = 0 AND c.state = 0
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

    /// Marks one account of a change as taken over by a newer one.
    pub fn supersede_target(
        &mut self,
        seq: i64,
        account: &AccountId,
        newer: &ChangeId,
    ) -> Result<()> {
        self.set_target(seq, account, TargetState::Superseded, Some(&superseded_by(newer.as_str())))
    }

    /// A newer change waiting for this account.
    pub fn newer_change(&mut self, account: &AccountId, seq: i64) -> Result<Option<ChangeId>> {
        let sql = "SELECT c.id AS value FROM password_change_target t JOIN password_change c ON c.seq = t.change_seq
                   WHERE t.account_id = $1 AND t.change_seq > $2 AND t.state < 2 ORDER BY t.change_seq";
        Ok(self.maybe::<One<ChangeId>>(sql, &[account, &seq])?.map(|One(id)| id))
    }

    /// Keeps where one account of a change stands.
    pub fn set_target(
        &mut self,
        seq: i64,
        account: &AccountId,
        state: TargetState,
        error: Option<&str>,
    ) -> Result<()> {
        let sql = "UPDATE password_change_target SET state = $3, error = $4 WHERE change_seq = $1 AND account_id = $2";
        self.run_one(sql, &[&seq, account, &state.number(), &error])
    }

    /// Announces a write: from here on it may have happened.
    pub fn set_intent(
        &mut self,
        seq: i64,
        account: &AccountId,
        salt: &[u8],
        stamp: &str,
    ) -> Result<()> {
        let sql = "UPDATE password_change_target SET state = 1, salt = $3, stamp = $4
                   WHERE change_seq = $1 AND account_id = $2";
        self.run_one(sql, &[&seq, account, &salt, &stamp])
    }

    /// The accounts of a change, each with its source's own name for it.
    pub fn claimed_targets(&mut self, seq: i64) -> Result<Vec<ClaimedTarget>> {
        let sql = "SELECT t.account_id, t.source_id, COALESCE(a.native_identity, '') AS native_identity, t.state,
                       t.salt, t.stamp, t.error
                   FROM password_change_target t LEFT JOIN account a ON a.id = t.account_id
                   WHERE t.change_seq = $1 ORDER BY t.account_id";
        self.all(sql, &[&seq])
    }

    /// Whether anything may be claimed now.
    pub fn anything_due(&mut self) -> Result<bool> {
        let now = self.now()?;
        let sql = "SELECT seq AS value FROM password_change WHERE state = 0 AND due <= $1 LIMIT 1";
        Ok(self.maybe::<One<i64>>(sql, &[&now])?.is_some())
    }

    /// Claims up to `limit` changes for `node` until `lease` has passed: those that are due, whose
    /// accounts no older unfinished change waits for, and whose source is not in `busy` (a text of
    /// source ids), unless their deadline has come.
    pub fn claim(
        &mut self,
        node: &str,
        lease: std::time::Duration,
        limit: i64,
        busy: &str,
    ) -> Result<Vec<Claimed>> {
        let now = self.now()?;
        let mut sql = "SELECT c.seq AS value FROM password_change c
             WHERE c.state = 0 AND c.due <= $1
               AND (c.deadline <= $1 OR $3 NOT LIKE '%' || c.source_id || '%')
               AND NOT EXISTS (
                   SELECT 1 FROM password_change_target mine
                   JOIN password_change_target older
                     ON older.account_id = mine.account_id AND older.change_seq < mine.change_seq AND older.state < 2
                   WHERE mine.change_seq = c.seq AND mine.state < 2)
             ORDER BY c.due LIMIT $2"
            .to_owned();
        if self.is_postgres() {
            sql.push_str(SKIP_LOCKED);
        }
        let until = now.plus(lease);
        let seqs: Vec<One<i64>> = self.all(&sql, &[&now, &limit, &busy])?;
        let mut claimed = Vec::with_capacity(seqs.len());
        for One(seq) in seqs {
            let sql = "UPDATE password_change SET claimed_by = $2, attempt = attempt + 1, due = $3
                       WHERE seq = $1 AND state = 0
                       RETURNING seq, id, identity_id, source_id, account_id, key_id, payload, attempt, deadline";
            claimed.push(self.one(sql, &[&seq, &node, &until])?);
        }
        Ok(claimed)
    }

    /// Holds a claim longer; `Error::Rows(0)` when it was lost.
    pub fn renew(
        &mut self,
        node: &str,
        change: &Claimed,
        lease: std::time::Duration,
    ) -> Result<()> {
        let until = self.now()?.plus(lease);
        let sql = "UPDATE password_change SET due = $4 WHERE seq = $1 AND claimed_by = $2 AND attempt = $3 AND state = 0";
        self.run_one(sql, &[&change.seq, &node, &change.attempt, &until])
    }

    /// Gives a claim back, to be taken up again at `due`; `Error::Rows(0)` when it was lost.
    pub fn release(&mut self, node: &str, change: &Claimed, due: Micros) -> Result<()> {
        let sql = "UPDATE password_change SET claimed_by = NULL, due = $4
                   WHERE seq = $1 AND claimed_by = $2 AND attempt = $3 AND state = 0";
        self.run_one(sql, &[&change.seq, &node, &change.attempt, &due])
    }

    /// Ends a change if all its accounts have ended, and shreds its payload; whether it did.
    pub fn end_if_done(&mut self, seq: i64) -> Result<Option<State>> {
        let targets = self.claimed_targets(seq)?;
        let states: Vec<_> = targets.iter().map(|target| TargetState::of(target.state)).collect();
        if states.iter().any(|state| matches!(state, TargetState::Queued | TargetState::Attempting))
        {
            return Ok(None);
        }
        let all_applied = states.iter().all(|state| *state == TargetState::Applied);
        let state = if all_applied { State::Finished } else { State::Failed };
        let mut errors: Vec<String> = Vec::new();
        for target in targets {
            if let Some(error) =
                target.error.filter(|_| TargetState::of(target.state) != TargetState::Applied)
            {
                let source = self.change_source(&target.source_id)?;
                let name =
                    source.map_or_else(|| target.source_id.to_string(), |source| source.name);
                errors.extend(error.lines().map(|line| crate::password::line(&name, line)));
            }
        }
        let now = self.now()?;
        let sql = "UPDATE password_change SET state = $2, errors = $3, ended = $4, payload = NULL, claimed_by = NULL
                   WHERE seq = $1 AND state = 0 RETURNING id AS value";
        let One(id) =
            self.one::<One<ChangeId>>(sql, &[&seq, &state.number(), &Json(&errors), &now])?;
        let action =
            if all_applied { "ACTION_PASSWORD_CHANGE_SUCCESS" } else { "passwordChangeFailure" };
        self.audit(super::Audit {
            actor: "rekey",
            action,
            object: id.as_str(),
            detail: serde_json::json!({ "errors": errors }),
        })?;
        Ok(Some(state))
    }

    /// What a change's status says.
    pub fn change_status(&mut self, id: &ChangeId) -> Result<Option<ChangeStatus>> {
        let sql =
            "SELECT id, caller, identity_id, state, errors FROM password_change WHERE id = $1";
        self.maybe(sql, &[id])
    }

    /// The sources of a change, by id.
    pub fn change_source_ids(&mut self, id: &ChangeId) -> Result<Vec<SourceId>> {
        let sql = "SELECT DISTINCT t.source_id AS value FROM password_change_target t
                   JOIN password_change c ON c.seq = t.change_seq WHERE c.id = $1 ORDER BY 1";
        Ok(self.all::<One<SourceId>>(sql, &[id])?.into_iter().map(|One(id)| id).collect())
    }

    /// Forgets those of the oldest `limit` changes that ended before `before`, once their keys are destroyed:
    /// until then a ciphertext must be known again.
    pub fn remove_ended_changes(&mut self, before: Micros, limit: i64) -> Result<()> {
        let sql = "SELECT c.seq AS value FROM (
                       SELECT seq, key_id, ended FROM password_change ORDER BY seq LIMIT $2) c
                   WHERE c.ended < $1 AND NOT EXISTS (SELECT 1 FROM source_key k WHERE k.id = c.key_id)";
        for One(seq) in self.all::<One<i64>>(sql, &[&before, &limit])? {
            self.run("DELETE FROM password_change_target WHERE change_seq = $1", &[&seq])?;
            self.run_one("DELETE FROM password_change WHERE seq = $1", &[&seq])?;
        }
        Ok(())
    }

    /// Fails every unfinished change of a source that no worker holds: it is reached in another
    /// way now, so what was encrypted for it must not be sent there.
    pub fn cancel_changes(&mut self, source: &SourceId, why: &str) -> Result<()> {
        let sql = "SELECT t.change_seq, t.account_id FROM password_change_target t
                   WHERE t.source_id = $1 AND t.state < 2";
        for Waiting { change_seq, account_id } in self.all(sql, &[source])? {
            self.set_target(change_seq, &account_id, TargetState::Failed, Some(why))?;
            self.end_if_done(change_seq)?;
        }
        Ok(())
    }
}

struct Waiting {
    change_seq: i64,
    account_id: AccountId,
}
from_row!(Waiting { change_seq, account_id });

/// A lost claim: another worker holds the change now, and this one must not touch it.
pub fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Rows(0))
}
