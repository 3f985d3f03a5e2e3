//! Reads secrets of a configuration directly into the type that wipes them from memory.

use rekey_vault::Password;
use serde::{Deserialize, Deserializer};

/// Reads a text as a [`Password`]; for `#[serde(deserialize_with)]`.
pub(crate) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Password, D::Error> {
    String::deserialize(deserializer).map(Password::new)
}
