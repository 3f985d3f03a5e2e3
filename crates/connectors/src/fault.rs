//! Why a source did not do what it was asked.

use std::{error::Error, time::Duration};

/// A failed call, with what rekey should make of it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Decides what happens next.
    pub kind: FaultKind,
    /// A sentence a person may read: never a secret, never the target's raw text unless scrubbed.
    pub message: String,
    /// How long the source asked to be left alone.
    pub retry_after: Option<Duration>,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The few things rekey tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
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
        Self { kind, message: message.into(), retry_after: None, source: None }
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
            FaultKind::Throttled | FaultKind::Unreachable => true,
            FaultKind::Denied
            | FaultKind::Locked
            | FaultKind::Misconfigured
            | FaultKind::NoAccount
            | FaultKind::NotPermitted
            | FaultKind::Unsupported => false,
        }
    }
}

/// Somebody else changed the account between observation and write: worth observing again.
pub(crate) fn conflict() -> Fault {
    let mut fault = Fault::new(
        FaultKind::Throttled,
        "the account was changed by somebody else at the same moment",
    );
    fault.retry_after = Some(Duration::from_secs(1));
    fault
}

/// The deadline passed before anything was sent.
pub(crate) fn late() -> Fault {
    Fault::new(FaultKind::Unreachable, "the source took too long: nothing was sent to it in time")
}
