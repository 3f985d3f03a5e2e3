//! The reasons why a call to a source failed.

use std::{error::Error, time::Duration};

use crate::said::shown;

/// A failed call.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The kind of failure, which decides what rekey does next.
    pub kind: FaultKind,
    /// A sentence for people: never a secret, never a text that the system wrote.
    pub message: String,
    /// The time to wait before the next attempt, if one is known.
    pub retry_after: Option<Duration>,
    /// Whether the message may reveal something about the network around the source.
    is_about_endpoint: bool,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of failure that rekey distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The source works: another client changed the account at the same moment, or rekey had no
    /// free connection.
    Conflict,
    /// The source refused rekey's own credentials.
    Denied,
    /// The account is locked on the source.
    Locked,
    /// The configuration of the source cannot work.
    Misconfigured,
    /// The source has no such account.
    NoAccount,
    /// The source accepted rekey's credentials, but they lack a right on the account.
    NotPermitted,
    /// The source is busy or limits the number of calls, or rekey itself could not complete the
    /// call.
    Throttled,
    /// The source did not answer in time, or not with a usable answer.
    Unreachable,
    /// The source cannot do this.
    Unsupported,
}

impl Fault {
    /// Creates a fault without an underlying error.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        let is_about_endpoint = kind == FaultKind::Unreachable;
        // The message may contain names from the system and from the configuration.
        let message = shown(&message.into());
        Self { kind, message, retry_after: None, is_about_endpoint, source: None }
    }

    /// Marks a fault of another kind than `Unreachable` whose message may reveal something about
    /// the network around the source: that a certificate did not verify, or that the operator does
    /// not allow the host.
    #[must_use]
    pub(crate) fn about_endpoint(mut self) -> Self {
        self.is_about_endpoint = true;
        self
    }

    /// The message for callers that must not learn which services run where: it is the same whether
    /// a connection was refused or filtered, TLS failed, or another protocol answered.
    pub fn public(&self) -> &str {
        if self.is_about_endpoint { "the source cannot be reached" } else { &self.message }
    }

    /// Attaches the underlying error, for the operator's log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Whether the same call may succeed later although nobody changes anything.
    pub fn is_transient(&self) -> bool {
        match self.kind {
            FaultKind::Conflict | FaultKind::Throttled | FaultKind::Unreachable => true,
            FaultKind::Denied
            | FaultKind::Locked
            | FaultKind::Misconfigured
            | FaultKind::NoAccount
            | FaultKind::NotPermitted
            | FaultKind::Unsupported => false,
        }
    }

    /// Whether the source does not serve calls at the moment. After several such faults in a row,
    /// rekey pauses calls to the source.
    pub fn is_outage(&self) -> bool {
        self.is_transient() && self.kind != FaultKind::Conflict
    }
}

/// The fault for an account that another client changed between observation and write: the change
/// can be tried again after a new observation.
pub(crate) fn conflict() -> Fault {
    let mut fault = Fault::new(
        FaultKind::Conflict,
        "the account was changed by somebody else at the same moment",
    );
    fault.retry_after = Some(Duration::from_secs(1));
    fault
}

/// The fault for a deadline that passed before anything was sent.
pub(crate) fn late() -> Fault {
    Fault::new(FaultKind::Unreachable, "the source took too long: nothing was sent to it in time")
}
