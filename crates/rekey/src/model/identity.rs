//! A person, and the rules for names.

use rekey_connectors::is_hidden;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    column::{Json, from_row},
    id::IdentityId,
    level::Level,
    time::Micros,
};

/// A person, as stored.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The person's id.
    pub id: IdentityId,
    /// Their login name; unique, compared without regard to case.
    pub alias: String,
    /// The display name.
    pub name: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// Their user levels.
    pub capabilities: Json<Vec<Level>>,
    /// Free attributes; `uid` is a second login name.
    pub attributes: Json<Map<String, Value>>,
    /// Whether they may sign in.
    pub enabled: bool,
    /// The token generation: it increases when all tokens of the person are revoked.
    pub generation: i64,
    /// The time of creation.
    pub created: Micros,
    /// The time of the last modification.
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
    /// An attribute as text; `alias`, `name` and `email` included.
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
    /// The person's id.
    pub id: IdentityId,
    /// The person's name.
    #[serde(default)]
    pub name: Option<String>,
}

/// The maximum length of an alias, in characters.
pub const LONGEST_ALIAS: usize = 128;

/// The form in which names are compared: without regard to case and to blanks at the ends.
pub fn name_key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// Whether a name is short enough for an alias.
pub fn may_be_alias(name: &str) -> bool {
    name.trim().chars().count() <= LONGEST_ALIAS
}

/// Whether a name could break a line or look like another name: see [`is_hidden`].
pub fn holds_controls(name: &str) -> bool {
    let mut is_after_ascii = true;
    name.chars().any(|c| {
        // Persian, Hindi and emoji need these characters; after ASCII they only make a name look
        // like another one.
        let joins = matches!(c, '\u{200C}' | '\u{200D}' | '\u{FE0F}') && !is_after_ascii;
        is_after_ascii = c.is_ascii();
        is_hidden(c) && !joins
    })
}
