//! The personal data in the audit trail, such as names and addresses. They are stored in rows of
//! their own, so that a person's data can be erased and the trail still verifies.
//!
//! An audit row contains only a commitment to them, as the member `personal` of its detail or its
//! origin: a keyed digest whose random key, the salt, is stored beside the content and erased with
//! it. The content therefore cannot be altered unnoticed, and cannot be guessed from the commitment
//! after the erasure.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use quick_cache::sync::Cache;
use serde::Serialize;
use serde_json::Value;

use super::Event;
use crate::model::{column::from_row, time::Micros};

/// The member that holds the content before the row is written, and the commitment afterwards.
pub const MEMBER: &str = "personal";
/// The maximum number of addresses in the cache, at about 300 bytes each.
const ADDRESSES: usize = 4096;
/// How long rows reuse the stored address of a subject. After an erasure, a running server may
/// refer to the erased address for that long.
const REUSED: Duration = Duration::from_hours(1);

/// Personal data, as stored.
#[derive(Clone, Debug)]
pub struct Personal {
    /// The commitment in the audit row: HMAC-SHA-256 of the content under the salt, in base64.
    pub commitment: String,
    /// The id of the person, client or request that the data are about.
    pub subject: String,
    /// 32 random bytes.
    pub salt: Vec<u8>,
    /// The content, in JSON.
    pub content: String,
}
from_row!(Personal { commitment, subject, salt, content });

impl Personal {
    /// Creates the record with a new salt. Fails only if the system provides no random bytes.
    pub fn new(subject: &str, content: &Value) -> Result<Self, rekey_vault::Error> {
        let (salt, content) = (rekey_vault::random::<32>()?.to_vec(), content.to_string());
        Ok(Self {
            commitment: committed(&salt, &content),
            subject: subject.to_owned(),
            salt,
            content,
        })
    }

    /// Whether the content matches the commitment.
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

/// The commitment in a row's detail or origin, if it has one.
pub fn commitment_in(json: &str) -> Option<String> {
    let Value::Object(mut members) = serde_json::from_str(json).ok()? else { return None };
    match members.remove(MEMBER)? {
        Value::String(commitment) => Some(commitment),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) => {
            None
        }
    }
}

/// A row's detail or origin, with the personal data that still exist. In place of missing data it
/// says `erased`, in place of altered data `altered`.
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

/// The state of a row's personal data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether some of them do not match their commitment.
    pub is_altered: bool,
    /// Whether some of them no longer exist.
    pub is_erased: bool,
}

impl State {
    /// The state of the personal data of `event`.
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

/// A subject and the address that its request came from.
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

/// A cache of addresses that are in the store, so that not every audit row stores its own.
pub struct Addresses(Cache<Address, (String, Micros)>);

impl Default for Addresses {
    fn default() -> Self {
        Self(Cache::new(ADDRESSES))
    }
}

impl Addresses {
    /// The commitment to an address that was stored within the last hour.
    pub fn get(&self, address: &Address, now: Micros) -> Option<String> {
        let (commitment, kept) = self.0.get(address)?;
        (kept..kept.plus(REUSED)).contains(&now).then_some(commitment)
    }

    /// Adds an address after its commit.
    pub fn keep(&self, address: Address, commitment: String, now: Micros) {
        self.0.insert(address, (commitment, now));
    }
}
