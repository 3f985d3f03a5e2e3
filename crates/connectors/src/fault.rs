//! Why a source did not do what it was asked.

use std::{error::Error, time::Duration};

use crate::said::shown;

/// A failed call, with what rekey should make of it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Decides what happens next.
    pub kind: FaultKind,
    /// A sentence a person may read: never a secret, never a text that the system wrote.
    pub message: String,
    /// How long the source asked to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether the message may say something about the network around the source.
    is_about_endpoint: bool,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The few things rekey tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing is wrong with the source: somebody else changed the account at the same moment, or
    /// rekey had no connection free.
    Conflict,
    /// Rekey's own credentials were refused.
    Denied,
    /// The account is locked on the source.
    Locked,
    /// The source's configuration cannot work.
    Misconfigured,
    /// The account is not on the source.
    NoAccount,
    /// Rekey's credentials work but lack a right on the account.
    NotPermitted,
    /// The source asked for fewer calls.
    Throttled,
    /// The source did not answer, or not in time.
    Unreachable,
    /// The source cannot do this at all.
    Unsupported,
}

impl Fault {
    /// A fault that nothing lower down caused.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        let is_about_endpoint = kind == FaultKind::Unreachable;
        // Names from the system and from the configuration stand in it.
        let message = shown(&message.into());
        Self { kind, message, retry_after: None, is_about_endpoint, source: None }
    }

    /// Marks a fault of another kind whose message may say something about the network around the
    /// source: that a certificate did not verify, that the operator does not allow the host.
    #[must_use]
    pub(crate) fn about_endpoint(mut self) -> Self {
        self.is_about_endpoint = true;
        self
    }

    /// The message for callers who must not learn what answers where: the same one whether a
    /// connection was refused or filtered, TLS failed, or another protocol answered.
    pub fn public(&self) -> &str {
        if self.is_about_endpoint { "the source cannot be reached" } else { &self.message }
    }

    /// Keeps the error underneath, for the operator's log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Whether the same call may succeed later without anyone changing anything.
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

    /// Whether the source does not serve calls at the moment: several of these in a row, and it is
    /// left alone for a while.
    pub fn is_outage(&self) -> bool {
        self.is_transient() && self.kind != FaultKind::Conflict
    }
}

/// Somebody else changed the account between observation and write: worth observing again.
pub(crate) fn conflict() -> Fault {
    let mut fault = Fault::new(
        FaultKind::Conflict,
        "the account was changed by somebody else at the same moment",
    );
    fault.retry_after = Some(Duration::from_secs(1));
    fault
}

/// The deadline passed before anything was sent.
pub(crate) fn late() -> Fault {
    Fault::new(FaultKind::Unreachable, "the source took too long: nothing was sent to it in time")
}
