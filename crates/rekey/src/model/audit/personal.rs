//! What audit rows say of people: names, addresses. It stands in rows of its own, so that a person
//! can be erased and the trail still verifies.
//!
//! An audit row holds only a commitment to it, as the member `personal` of its detail or its origin:
//! a keyed digest whose random key, the salt, stands beside the content and is erased with it. So
//! the content cannot be altered unnoticed, and cannot be guessed from the commitment after it is
//! gone.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use quick_cache::sync::Cache;
use serde::Serialize;
use serde_json::Value;

use super::Event;
use crate::model::{column::from_row, time::Micros};

/// The member that holds the content before it is written, and the commitment after.
pub const MEMBER: &str = "personal";
/// Addresses remembered, about 300 bytes each.
const ADDRESSES: usize = 4096;
/// How long rows refer to the same address of somebody. After an erasure a running server goes on
/// to do so for as long.
const REUSED: Duration = Duration::from_hours(1);

/// Personal data, as the store has it.
#[derive(Clone, Debug)]
pub struct Personal {
    /// What the audit row holds: HMAC-SHA-256 of the content under the salt, in base64.
    pub commitment: String,
    /// Whom it is about: the id of a person, a client or a request.
    pub subject: String,
    /// 32 random bytes.
    pub salt: Vec<u8>,
    /// JSON.
    pub content: String,
}
from_row!(Personal { commitment, subject, salt, content });

impl Personal {
    /// Fails only if the system has no random bytes.
    pub fn new(subject: &str, content: &Value) -> Result<Self, rekey_vault::Error> {
        let (salt, content) = (rekey_vault::random::<32>()?.to_vec(), content.to_string());
        Ok(Self {
            commitment: committed(&salt, &content),
            subject: subject.to_owned(),
            salt,
            content,
        })
    }

    /// Whether it is what the audit row commits to.
    pub fn is_sound(&self) -> bool {
        self.commitment == committed(&self.salt, &self.content)
    }
}

fn committed(salt: &[u8], content: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, salt);
    BASE64_STANDARD.encode(hmac::sign(&key, content.as_bytes()))
}

/// Personal data by commitment.
pub type Known = HashMap<String, Personal>;

/// The commitment in the detail or the origin of a row.
pub fn commitment_in(json: &str) -> Option<String> {
    let Value::Object(mut members) = serde_json::from_str(json).ok()? else { return None };
    match members.remove(MEMBER)? {
        Value::String(commitment) => Some(commitment),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) => {
            None
        }
    }
}

/// The detail or the origin of a row, with the personal data that is still there.
pub fn filled(json: &str, known: &Known) -> Value {
    let mut value = serde_json::from_str(json).unwrap_or(Value::Null);
    let Some(members) = value.as_object_mut() else { return value };
    let Some(Value::String(commitment)) = members.get(MEMBER) else { return value };
    match known.get(commitment) {
        None => members.insert(MEMBER.into(), "erased".into()),
        Some(personal) if !personal.is_sound() => members.insert(MEMBER.into(), "altered".into()),
        Some(personal) => {
            let content = serde_json::from_str(&personal.content).unwrap_or_default();
            members.remove(MEMBER);
            members.extend::<serde_json::Map<_, _>>(content);
            None
        }
    };
    value
}

/// What became of the personal data of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Some of it is not what was written.
    pub is_altered: bool,
    /// Some of it is gone.
    pub is_erased: bool,
}

impl State {
    /// That of a row.
    pub fn of(event: &Event, known: &Known) -> Self {
        let mut state = Self::default();
        for commitment in event.commitments() {
            match known.get(&commitment) {
                None => state.is_erased = true,
                Some(personal) => state.is_altered |= !personal.is_sound(),
            }
        }
        state
    }
}

/// Somebody and where they came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// As in [`Personal::subject`].
    #[serde(skip)]
    pub subject: String,
    /// See [`super::Origin`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// See [`super::Origin`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// Addresses that are in the store already, so that not every row needs one of its own.
pub struct Addresses(Cache<Address, (String, Micros)>);

impl Default for Addresses {
    fn default() -> Self {
        Self(Cache::new(ADDRESSES))
    }
}

impl Addresses {
    /// The commitment to an address that was kept lately.
    pub fn get(&self, address: &Address, now: Micros) -> Option<String> {
        let (commitment, kept) = self.0.get(address)?;
        (kept..kept.plus(REUSED)).contains(&now).then_some(commitment)
    }

    /// An address was committed to the store.
    pub fn keep(&self, address: Address, commitment: String, now: Micros) {
        self.0.insert(address, (commitment, now));
    }
}
