//! One row of the trail, and the bytes that stand for it.

use aws_lc_rs::hmac;
use serde_json::Value;

use super::personal::{self, Known};
use crate::model::{column::from_row, time::Micros};

/// A row, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The number it was inserted under: not the order of commits.
    pub seq: i64,
    /// When.
    pub at: Micros,
    /// Who did it: an identity's or client's id, or `rekey`.
    pub actor: String,
    /// What, in ISC's words where it has one.
    pub action: String,
    /// To what.
    pub object: String,
    /// More, in JSON.
    pub detail: String,
    /// Why it failed; none where it did not.
    pub failure: Option<String>,
    /// Whence the request came, in JSON.
    pub origin: Option<String>,
    /// The keyed digest of all of the above but `seq`.
    pub mac: Option<Vec<u8>>,
}
from_row!(Event { seq, at, actor, action, object, detail, failure, origin, mac });

/// What a row says, borrowed.
pub struct Content<'a> {
    /// See [`Event::at`].
    pub at: Micros,
    /// See [`Event::actor`].
    pub actor: &'a str,
    /// See [`Event::action`].
    pub action: &'a str,
    /// See [`Event::object`].
    pub object: &'a str,
    /// See [`Event::detail`].
    pub detail: &'a str,
    /// See [`Event::failure`].
    pub failure: Option<&'a str>,
    /// See [`Event::origin`].
    pub origin: Option<&'a str>,
}

impl Content<'_> {
    /// A JSON array without blanks, so that anyone can write it again.
    fn text(&self) -> String {
        let Self { at, actor, action, object, detail, failure, origin } = self;
        serde_json::to_string(&(at, actor, action, object, detail, failure, origin))
            .unwrap_or_default()
    }

    /// What only who has the master key can make.
    pub fn mac(&self, key: &hmac::Key) -> hmac::Tag {
        hmac::sign(key, self.text().as_bytes())
    }
}

impl Event {
    /// What it says.
    pub fn content(&self) -> Content<'_> {
        Content {
            at: self.at,
            actor: &self.actor,
            action: &self.action,
            object: &self.object,
            detail: &self.detail,
            failure: self.failure.as_deref(),
            origin: self.origin.as_deref(),
        }
    }

    /// The entry of the chain and of the tree: `[seq,at,actor,action,object,detail,failure,origin]`.
    pub fn entry(&self) -> String {
        let content = self.content().text();
        format!("[{},{}", self.seq, content.strip_prefix('[').unwrap_or_default())
    }

    /// Whether rekey wrote it, with this very content.
    pub fn is_ours(&self, key: &hmac::Key) -> bool {
        let content = self.content().text();
        self.mac.as_deref().is_some_and(|mac| hmac::verify(key, content.as_bytes(), mac).is_ok())
    }

    /// The commitments to what it says of people.
    pub fn commitments(&self) -> impl Iterator<Item = String> {
        [Some(self.detail.as_str()), self.origin.as_deref()]
            .into_iter()
            .flatten()
            .filter_map(personal::commitment_in)
    }

    /// As it is exported.
    pub fn json(&self, known: &Known) -> Value {
        let read = |text: &str| personal::filled(text, known);
        serde_json::json!({
            "seq": self.seq,
            "time": self.at.rfc3339(),
            "actor": self.actor,
            "action": self.action,
            "object": self.object,
            "result": if self.failure.is_none() { "success" } else { "failure" },
            "reason": self.failure,
            "detail": read(&self.detail),
            "origin": self.origin.as_deref().map(read),
        })
    }
}
