//! The end of a change.

use std::sync::LazyLock;

use super::{EndedTarget, IN_PROGRESS};
use crate::{
    model::{
        change::{Outcome, State, TargetState, line, superseded_by},
        column::{Json, One},
        id::{AccountId, ChangeId, SourceId},
    },
    store::{Audit, Result, Tx, audit::Entry},
};

/// Ends a change that has not ended, and deletes its payload.
pub(super) static END_CHANGE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE password_change SET state = $2, errors = $3, ended = $4, payload = NULL, claimed_by = NULL
         WHERE seq = $1 AND state = {IN_PROGRESS}"
    )
});
/// Records one account of a change: its state, the time of an announced write whose outcome is
/// unknown, and the error.
pub(super) static SET_TARGET: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE password_change_target SET state = $3, announced = $4, error = $5
         WHERE change_seq = $1 AND account_id = $2 AND state < {}",
        TargetState::FIRST_ENDED
    )
});

/// The source of an account, the target's state, and its error.
pub(super) type Reason<'a> = (&'a SourceId, TargetState, Option<&'a str>);

impl Tx<'_> {
    /// Supersedes a queued target of a change with a newer change; its state becomes `state`.
    pub(super) fn supersede_target(
        &mut self,
        seq: i64,
        account: &AccountId,
        newer: &ChangeId,
        state: TargetState,
    ) -> Result<()> {
        let why = superseded_by(newer.as_str());
        let none: Option<i64> = None;
        self.run_one(&SET_TARGET, &[&seq, account, &state, &none, &why])
    }

    /// Ends a change if all its targets have ended. Returns its final state, or none if it goes on.
    pub fn end_if_done(&mut self, seq: i64) -> Result<Option<State>> {
        let sql = "SELECT source_id, state, error FROM password_change_target
                   WHERE change_seq = $1 ORDER BY account_id";
        let targets: Vec<EndedTarget> = self.all(sql, &[&seq])?;
        let Some(outcome) = Outcome::of(targets.iter().map(|target| target.state)) else {
            return Ok(None);
        };
        let errors = self.status_errors(targets.iter().map(EndedTarget::reason))?;
        let (state, now) = (outcome.state(), self.now()?);
        let sql = format!("{} RETURNING id AS value", *END_CHANGE);
        let One(id) = self.one::<One<ChangeId>>(&sql, &[&seq, &state, &Json(&errors), &now])?;
        let entry = self.end_entry(&id, state, &errors)?;
        self.run_each(&entry.writes())?;
        Ok(Some(state))
    }

    /// The error lines in the status of a change whose targets ended like this.
    pub(super) fn status_errors<'a>(
        &mut self,
        targets: impl Iterator<Item = Reason<'a>>,
    ) -> Result<Vec<String>> {
        let mut errors = Vec::new();
        for (source_id, state, error) in targets {
            let Some(error) = error.filter(|_| state != TargetState::Applied) else { continue };
            let source = self.change_source(source_id)?;
            let name = source.map_or_else(|| source_id.to_string(), |source| source.name);
            errors.extend(error.lines().map(|reason| line(&name, reason)));
        }
        Ok(errors)
    }

    /// The audit row for the end of a change.
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
        // The answers of connected systems may contain account names, so errors are personal data.
        let detail = if errors.is_empty() {
            serde_json::json!({ "errors": [] })
        } else {
            serde_json::json!({ "personal": { "errors": errors } })
        };
        self.entry(Audit { actor: "rekey", action, object: id.as_str(), detail }, failure)
    }
}
