//! Password changes: from the question what can be changed to the proof that it was.

use std::fmt;

pub use self::state::{Outcome, State, TargetState};

pub mod accept;
pub mod info;
pub mod links;
pub mod permits;
pub mod state;
pub mod status;
pub mod verdict;

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
