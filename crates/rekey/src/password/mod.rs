//! Password changes: from the question what can be changed to the proof that it was.

use std::fmt;

use serde::{Deserialize, Serialize};

pub mod accept;
pub mod info;
pub mod links;
pub mod permits;
pub mod status;
pub mod verdict;

/// Where a password change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// It ended without the password in force on every target.
    Failed,
    /// Every target confirmed it.
    Finished,
    /// It has not ended.
    InProgress,
}

impl State {
    /// As the store keeps it; 0 is unfinished, which the store's partial indexes rely on.
    pub fn number(self) -> i64 {
        match self {
            Self::InProgress => 0,
            Self::Finished => 1,
            Self::Failed => 2,
        }
    }

    /// What the store kept.
    pub fn of(number: i64) -> Self {
        match number {
            0 => Self::InProgress,
            1 => Self::Finished,
            _ => Self::Failed,
        }
    }
}

/// How a password change ended, for those who watch: `Superseded` is `FAILED` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It could not be carried out.
    Failed,
    /// Every target confirmed it.
    Finished,
    /// Nothing went wrong, but a newer change took its place on some account.
    Superseded,
}

impl End {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Finished => "finished",
            Self::Superseded => "superseded",
        }
    }
}

/// Where one account of a password change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// The password is in force.
    Applied,
    /// A write was announced, and it is not known what became of it.
    Attempting,
    /// It ended without the password in force.
    Failed,
    /// Nothing was written.
    Queued,
    /// The password is in force, but a write of an older change was left behind and may still
    /// arrive: to be looked at once more when it no longer can.
    Settling,
    /// A newer change took its place.
    Superseded,
}

impl TargetState {
    /// As the store keeps it; below 2 is unfinished, which the store's partial indexes rely on.
    pub fn number(self) -> i64 {
        match self {
            Self::Settling => -1,
            Self::Queued => 0,
            Self::Attempting => 1,
            Self::Applied => 2,
            Self::Failed => 3,
            Self::Superseded => 4,
        }
    }

    /// What the store kept.
    pub fn of(number: i64) -> Self {
        match number {
            ..0 => Self::Settling,
            0 => Self::Queued,
            1 => Self::Attempting,
            2 => Self::Applied,
            3 => Self::Failed,
            _ => Self::Superseded,
        }
    }

    /// Whether it has not ended.
    pub fn is_open(self) -> bool {
        self.number() < 2
    }
}

/// A line of the status: always with the source's name.
pub fn line(source: &str, reason: impl fmt::Display) -> String {
    format!("{source}: {reason}")
}

/// The one text for padding, encoding and control characters: it must not tell them apart.
pub fn payload_invalid(key_id: &str) -> String {
    format!(
        "The password change payload is invalid. It did not decrypt to text: encrypt the UTF-8 password without a trailing newline (echo -n) with the key of publicKeyId {key_id}, then base64"
    )
}

/// What a change says that a newer one replaced.
pub fn superseded_by(id: &str) -> String {
    format!("superseded by request {id}")
}
