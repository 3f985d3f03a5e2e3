//! A person, and the rules of names.

use rekey_connectors::is_hidden;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    column::{Json, from_row},
    id::IdentityId,
    level::Level,
    time::Micros,
};

/// A person rekey knows.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Rekey's name for them.
    pub id: IdentityId,
    /// Their login name; unique, compared without regard to case.
    pub alias: String,
    /// The name people read.
    pub name: String,
    /// Where to write to them.
    pub email: Option<String>,
    /// Their user levels.
    pub capabilities: Json<Vec<Level>>,
    /// Free attributes; `uid` is a second login name.
    pub attributes: Json<Map<String, Value>>,
    /// Whether they may sign in.
    pub enabled: bool,
    /// Moves when all their tokens are revoked.
    pub generation: i64,
    /// When they were made.
    pub created: Micros,
    /// When they were last changed.
    pub modified: Micros,
}

from_row!(Identity {
    id,
    alias,
    name,
    email,
    capabilities,
    attributes,
    enabled,
    generation,
    created,
    modified
});

impl Identity {
    /// An attribute as text: `alias`, `name` and `email` too.
    pub fn attribute(&self, name: &str) -> Option<String> {
        match name {
            "alias" => Some(self.alias.clone()),
            "email" => self.email.clone(),
            "name" => Some(self.name.clone()),
            other => match self.attributes.0.get(other)? {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            },
        }
    }
}

/// A reference to a person, as the wire has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdentityRef {
    /// Always `IDENTITY`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who.
    pub id: IdentityId,
    /// Their name.
    #[serde(default)]
    pub name: Option<String>,
}

/// The longest alias, in characters.
pub const LONGEST_ALIAS: usize = 128;

/// How names are compared: without regard to case.
pub fn name_key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// Whether a name is no longer than a login name may be.
pub fn may_be_alias(name: &str) -> bool {
    name.trim().chars().count() <= LONGEST_ALIAS
}

/// Whether a name could break a line or show itself as another: see [`is_hidden`].
pub fn holds_controls(name: &str) -> bool {
    let mut is_after_ascii = true;
    name.chars().any(|c| {
        // Persian, Hindi and emoji need these; after ASCII they make one name look like another.
        let joins = matches!(c, '\u{200C}' | '\u{200D}' | '\u{FE0F}') && !is_after_ascii;
        is_after_ascii = c.is_ascii();
        is_hidden(c) && !joins
    })
}
