//! A row of the audit trail, and the bytes that are hashed for it.

use aws_lc_rs::hmac;
use serde_json::Value;

use super::personal::{self, Known};
use crate::model::{column::from_row, time::Micros};

/// A row of the audit trail, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The row's number, drawn at the insert; it does not follow the order of commits.
    pub seq: i64,
    /// The time of the action.
    pub at: Micros,
    /// The id of the acting identity or client, or `rekey`.
    pub actor: String,
    /// The action, in ISC's words where it has them.
    pub action: String,
    /// The id of the object acted on.
    pub object: String,
    /// Further details, in JSON.
    pub detail: String,
    /// The reason of a failure; none for a success.
    pub failure: Option<String>,
    /// The origin of the request, in JSON.
    pub origin: Option<String>,
    /// The keyed digest of all fields above except `seq`.
    pub mac: Option<Vec<u8>>,
}
from_row!(Event { seq, at, actor, action, object, detail, failure, origin, mac });

/// The content of a row, borrowed.
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
    /// A JSON array without blanks: a canonical form that a verifier can reproduce.
    fn text(&self) -> String {
        let Self { at, actor, action, object, detail, failure, origin } = self;
        serde_json::to_string(&(at, actor, action, object, detail, failure, origin))
            .unwrap_or_default()
    }

    /// The digest under a key that follows from the master key: nothing else can produce it.
    pub fn mac(&self, key: &hmac::Key) -> hmac::Tag {
        hmac::sign(key, self.text().as_bytes())
    }
}

impl Event {
    /// The row's content.
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

    /// The row's entry in the chain and the tree:
    /// `[seq,at,actor,action,object,detail,failure,origin]`.
    pub fn entry(&self) -> String {
        let content = self.content().text();
        format!("[{},{}", self.seq, content.strip_prefix('[').unwrap_or_default())
    }

    /// Whether rekey wrote the row with exactly this content.
    pub fn is_ours(&self, key: &hmac::Key) -> bool {
        let content = self.content().text();
        self.mac.as_deref().is_some_and(|mac| hmac::verify(key, content.as_bytes(), mac).is_ok())
    }

    /// The commitments to the row's personal data.
    pub fn commitments(&self) -> impl Iterator<Item = String> {
        [Some(self.detail.as_str()), self.origin.as_deref()]
            .into_iter()
            .flatten()
            .filter_map(personal::commitment_in)
    }

    /// The exported form, with the personal data that still exist.
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
