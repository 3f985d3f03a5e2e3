//! Jobs: queued work other than password changes.

use rekey_connectors::{Fault, shown};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    column::{Json, from_row},
    id::{JobId, SourceId},
    time::Micros,
};

/// A job, as stored.
#[derive(Clone, Debug)]
pub struct Job {
    /// The wire's task id.
    pub id: JobId,
    /// The kind of work.
    pub kind: String,
    /// The parameters of the work: ids only.
    pub payload: Json<Map<String, Value>>,
    /// The source that the job works on.
    pub source_id: Option<SourceId>,
    /// The name of the caller that requested it.
    pub launcher: String,
    /// The number of claims.
    pub attempt: i64,
    /// The node that has claimed it.
    pub claimed_by: Option<String>,
    /// When it becomes due: only then may it be claimed.
    pub due: Micros,
    /// When it was requested.
    pub created: Micros,
    /// When it was first claimed.
    pub launched: Option<Micros>,
    /// When it ended.
    pub completed: Option<Micros>,
    /// The result: one of the contract's `completionStatus`.
    pub completion_status: Option<String>,
    /// The messages for its readers.
    pub messages: Json<Vec<Message>>,
    /// The counts so far.
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

/// A message about a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    /// Readable for all callers that may read the job.
    Public(String),
    /// Readable for administrators only: it reveals which hosts answer in the network around a
    /// source.
    Restricted {
        /// The text for administrators.
        full: String,
        /// The text for all other callers.
        public: String,
    },
}

impl Message {
    /// The full text.
    pub fn full(&self) -> &str {
        match self {
            Self::Public(text) | Self::Restricted { full: text, .. } => text,
        }
    }

    /// The message for callers that are not administrators.
    #[must_use]
    pub fn into_public(self) -> Self {
        match self {
            Self::Public(text) | Self::Restricted { public: text, .. } => Self::Public(text),
        }
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        // The text may contain names from a connected system.
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
