//! Secrets in a configuration go straight into the type that wipes them.

use rekey_vault::Password;
use serde::{Deserialize, Deserializer};

/// Reads a text; for `#[serde(deserialize_with)]`.
pub(crate) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Password, D::Error> {
    String::deserialize(deserializer).map(Password::new)
}
