//! How changes end.

use super::EndedTarget;
use crate::{
    id::{AccountId, ChangeId, SourceId},
    password::{State, TargetState, line, superseded_by},
    store::{Audit, Json, Result, Tx, audit::Entry, row::One},
};

/// Ends a change that has not ended, and shreds its payload.
pub(super) const END: &str = "UPDATE password_change SET state = $4, errors = $5, ended = $6, payload = NULL, claimed_by = NULL
     WHERE seq = $1 AND state = 0";
/// Keeps where one account of a change stands: its state, when a write to it was announced of which
/// it is not known what became of it, and what is wrong.
pub(super) const SET_TARGET: &str =
    "UPDATE password_change_target SET state = $3, announced = $4, error = $5
     WHERE change_seq = $1 AND account_id = $2 AND state < 2";

/// Where an account is, its state, and what is wrong.
pub(super) type Reason<'a> = (&'a SourceId, i64, Option<&'a str>);

impl Tx<'_> {
    /// Marks one account of a change as taken over by a newer one.
    pub fn supersede_target(
        &mut self,
        seq: i64,
        account: &AccountId,
        newer: &ChangeId,
    ) -> Result<()> {
        let why = superseded_by(newer.as_str());
        let none: Option<i64> = None;
        let state = TargetState::Superseded.number();
        self.run_one(SET_TARGET, &[&seq, account, &state, &none, &why])
    }

    /// Ends a change if all its accounts have ended.
    pub fn end_if_done(&mut self, seq: i64) -> Result<Option<State>> {
        let sql = "SELECT source_id, state, error FROM password_change_target
                   WHERE change_seq = $1 ORDER BY account_id";
        let targets: Vec<EndedTarget> = self.all(sql, &[&seq])?;
        if targets.iter().any(|target| TargetState::of(target.state).is_open()) {
            return Ok(None);
        }
        let (state, errors) = self.end_of(targets.iter().map(EndedTarget::reason))?;
        let now = self.now()?;
        let sql = "UPDATE password_change SET state = $2, errors = $3, ended = $4, payload = NULL, claimed_by = NULL
                   WHERE seq = $1 AND state = 0 RETURNING id AS value";
        let One(id) =
            self.one::<One<ChangeId>>(sql, &[&seq, &state.number(), &Json(&errors), &now])?;
        let entry = self.end_entry(&id, state, &errors)?;
        self.run_each(&entry.writes())?;
        Ok(Some(state))
    }

    /// How a change ends whose accounts ended like this, and what its status says of it.
    pub(super) fn end_of<'a>(
        &mut self,
        targets: impl Iterator<Item = Reason<'a>>,
    ) -> Result<(State, Vec<String>)> {
        let (mut end, mut errors) = (State::Finished, Vec::new());
        for (source_id, state, error) in targets {
            if TargetState::of(state) == TargetState::Applied {
                continue;
            }
            end = State::Failed;
            let Some(error) = error else { continue };
            let source = self.change_source(source_id)?;
            let name = source.map_or_else(|| source_id.to_string(), |source| source.name);
            errors.extend(error.lines().map(|reason| line(&name, reason)));
        }
        Ok((end, errors))
    }

    /// What the audit trail says of the end.
    pub(super) fn end_entry<'a>(
        &mut self,
        id: &'a ChangeId,
        state: State,
        errors: &[String],
    ) -> Result<Entry<'a>> {
        let (action, failure) = match state {
            State::Finished => ("ACTION_PASSWORD_CHANGE_SUCCESS", None),
            State::Failed | State::InProgress => {
                ("passwordChangeFailure", Some("the password is not in force on every account"))
            }
        };
        // Systems name accounts in their answers.
        let detail = if errors.is_empty() {
            serde_json::json!({ "errors": [] })
        } else {
            serde_json::json!({ "personal": { "errors": errors } })
        };
        self.entry(Audit { actor: "rekey", action, object: id.as_str(), detail }, failure)
    }
}
