//! Queued work other than password changes.

use rekey_connectors::{Fault, shown};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    column::{Json, from_row},
    id::{JobId, SourceId},
    time::Micros,
};

/// A job, as the store has it.
#[derive(Clone, Debug)]
pub struct Job {
    /// The wire's task id.
    pub id: JobId,
    /// Which kind of work.
    pub kind: String,
    /// What the work needs: ids only.
    pub payload: Json<Map<String, Value>>,
    /// The source it is about.
    pub source_id: Option<SourceId>,
    /// The name of who asked for it.
    pub launcher: String,
    /// How often it was claimed.
    pub attempt: i64,
    /// The node that has it.
    pub claimed_by: Option<String>,
    /// When it may be claimed.
    pub due: Micros,
    /// When it was asked for.
    pub created: Micros,
    /// When it was first claimed.
    pub launched: Option<Micros>,
    /// When it ended.
    pub completed: Option<Micros>,
    /// How it ended: one of the contract's `completionStatus`.
    pub completion_status: Option<String>,
    /// What is to be said about it.
    pub messages: Json<Vec<Message>>,
    /// What it counted so far.
    pub result: Json<Map<String, Value>>,
}

from_row!(Job {
    id,
    kind,
    payload,
    source_id,
    launcher,
    attempt,
    claimed_by,
    due,
    created,
    launched,
    completed,
    completion_status,
    messages,
    result,
});

/// A sentence about a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    /// Whoever may see the job may read it.
    Public(String),
    /// Only administrators may: it says what answers in the network around a source.
    Restricted {
        /// What they read.
        full: String,
        /// What everybody else reads.
        public: String,
    },
}

impl Message {
    /// The whole sentence.
    pub fn full(&self) -> &str {
        match self {
            Self::Public(text) | Self::Restricted { full: text, .. } => text,
        }
    }

    /// The same for callers who are no administrators.
    #[must_use]
    pub fn into_public(self) -> Self {
        match self {
            Self::Public(text) | Self::Restricted { public: text, .. } => Self::Public(text),
        }
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        // Names from the system stand in it.
        Self::Public(shown(&text))
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Public(text.to_owned())
    }
}

impl From<&Fault> for Message {
    fn from(fault: &Fault) -> Self {
        if fault.public() == fault.message {
            return Self::Public(fault.message.clone());
        }
        Self::Restricted { full: fault.message.clone(), public: fault.public().to_owned() }
    }
}
