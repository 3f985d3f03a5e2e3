//! A password change and its targets: one target for each account that it is for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::column::number_value;

/// The state of a password change, as the wire names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// It ended, and the password is not in force on every target.
    Failed,
    /// Every target confirmed the password.
    Finished,
    /// It has not ended.
    InProgress,
}

impl State {
    /// The number in the store. The partial indexes of the migrations rely on 0 being the only
    /// state of a change that has not ended.
    pub const fn number(self) -> i64 {
        match self {
            Self::InProgress => 0,
            Self::Finished => 1,
            Self::Failed => 2,
        }
    }

    pub(crate) fn from_number(number: i64) -> Option<Self> {
        [Self::InProgress, Self::Finished, Self::Failed].into_iter().find(|s| s.number() == number)
    }
}

number_value!(State, TargetState);

/// How a password change ended. Metrics and traces distinguish the three; on the wire
/// `Superseded` is `FAILED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It could not be carried out.
    Failed,
    /// Every target confirmed it.
    Finished,
    /// Nothing went wrong, but a newer change replaced it on some account.
    Superseded,
}

impl Outcome {
    /// The outcome of a change with these targets, or none while one of them has not ended.
    pub fn of(targets: impl IntoIterator<Item = TargetState>) -> Option<Self> {
        let mut outcome = Self::Finished;
        for target in targets {
            outcome = match (target, outcome) {
                (target, _) if target.is_open() => return None,
                (TargetState::Failed, _) | (_, Self::Failed) => Self::Failed,
                (TargetState::Superseded, _) => Self::Superseded,
                (_, outcome) => outcome,
            };
        }
        Some(outcome)
    }

    /// The state of a change with this outcome.
    pub const fn state(self) -> State {
        match self {
            Self::Finished => State::Finished,
            Self::Failed | Self::Superseded => State::Failed,
        }
    }

    /// The label of metrics and traces.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Finished => "finished",
            Self::Superseded => "superseded",
        }
    }
}

/// The state of a target: one account of a password change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// The password is in force.
    Applied,
    /// A write was announced, and its outcome is unknown.
    Attempting,
    /// The password is in force, but a write of an older change may still arrive: the account is
    /// observed once more when none can.
    AwaitingRecheck,
    /// The target ended, and the password is not in force.
    Failed,
    /// Nothing was written.
    Queued,
    /// This worker writes once more, since the password was in force and no longer is.
    Restoring,
    /// This worker writes once more, after a write whose outcome was unknown.
    Rewriting,
    /// A newer change replaced this one on the account.
    Superseded,
    /// This worker writes for the first time.
    Writing,
}

impl TargetState {
    /// Numbers below this one are the states of targets that have not ended; the partial indexes
    /// of the migrations rely on it.
    pub const FIRST_ENDED: i64 = Self::Applied.number();

    /// The number in the store. An announced write is stored as `Attempting`: if its worker is
    /// lost, its outcome is unknown.
    pub const fn number(self) -> i64 {
        match self {
            Self::AwaitingRecheck => -1,
            Self::Queued => 0,
            Self::Attempting | Self::Restoring | Self::Rewriting | Self::Writing => 1,
            Self::Applied => 2,
            Self::Failed => 3,
            Self::Superseded => 4,
        }
    }

    pub(crate) fn from_number(number: i64) -> Option<Self> {
        [
            Self::AwaitingRecheck,
            Self::Queued,
            Self::Attempting,
            Self::Applied,
            Self::Failed,
            Self::Superseded,
        ]
        .into_iter()
        .find(|state| state.number() == number)
    }

    /// Whether the target has not ended.
    pub const fn is_open(self) -> bool {
        self.number() < Self::FIRST_ENDED
    }

    /// Whether this change has written, or may have written, to the account.
    pub const fn may_be_written(self) -> bool {
        match self {
            Self::Applied
            | Self::Attempting
            | Self::AwaitingRecheck
            | Self::Restoring
            | Self::Rewriting
            | Self::Writing => true,
            Self::Failed | Self::Queued | Self::Superseded => false,
        }
    }

    /// When the latest write with an unknown outcome was announced, as stored for newer changes of
    /// the account. `announced` is the time of this attempt's write, `earlier` the time stored so
    /// far.
    pub fn unresolved_write_at<T>(self, announced: Option<T>, earlier: Option<T>) -> Option<T> {
        match self {
            Self::Attempting => announced.or(earlier),
            // Only a queued target is superseded, and the outcome of each of its writes is known.
            Self::Superseded => None,
            Self::Applied
            | Self::AwaitingRecheck
            | Self::Failed
            | Self::Queued
            | Self::Restoring
            | Self::Rewriting
            | Self::Writing => earlier,
        }
    }
}

/// A line of a change's status; it always begins with the source's name.
pub fn line(source: &str, reason: impl fmt::Display) -> String {
    format!("{source}: {reason}")
}

/// The error of a change that a newer one replaced.
pub fn superseded_by(id: &str) -> String {
    format!("superseded by request {id}")
}
