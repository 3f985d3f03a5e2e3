//! A person.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    access::Level,
    clock::Micros,
    id::IdentityId,
    store::{Json, from_row},
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

/// How names are compared: without regard to case.
pub fn name_key(name: &str) -> String {
    name.trim().to_lowercase()
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
