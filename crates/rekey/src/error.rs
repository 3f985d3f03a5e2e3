//! The errors of the service, and the texts that a caller may see.

use rekey_connectors::Fault;

use crate::{
    model::source::InvalidCorrelation,
    store::{self, InvalidListing},
};

/// An error of a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be carried out as it was sent.
    #[error("{text}")]
    BadRequest {
        /// The contract's sub-code.
        code: BadRequest,
        /// What is wrong and what to do; for the caller.
        text: String,
    },
    /// Too many requests at once; the text is for the caller.
    #[error("{0}: try again in a few seconds")]
    Busy(&'static str),
    /// An error of a connector, outside of a password change.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The caller is not allowed to do this.
    #[error("{0}")]
    Forbidden(String),
    /// A bug or a broken invariant; the text is for the operator only.
    #[error("{0}")]
    Internal(String),
    /// No such object, or none that the caller may see.
    #[error("there is no {0} with this id")]
    NotFound(&'static str),
    /// The installation must be repaired; the text is for the operator.
    #[error("{0}")]
    Setup(String),
    /// An error of the store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The token is missing or invalid; the text is the contract's.
    #[error("{0}")]
    Unauthenticated(String),
    /// The same idempotency key came with a different body.
    #[error("{0}")]
    Unprocessable(String),
    /// An error of a key, or of sealing or opening a secret.
    #[error(transparent)]
    Vault(#[from] rekey_vault::Error),
}

/// The contract's sub-codes of 400 (docs/contract.md#errors).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// A name is already in use.
    Conflict,
    /// The body can be parsed, but its content is invalid.
    Content,
    /// A field may not be changed.
    IllegalUpdate,
    /// A value is not allowed.
    IllegalValue,
    /// The object is still in use.
    InUse,
    /// A value is too long or too short.
    Length,
    /// The maximum number is reached.
    Limit,
    /// A required member is absent or empty.
    Missing,
    /// An id in the body refers to no object.
    Referenced,
    /// The body cannot be parsed.
    Syntax,
}

impl Error {
    /// An [`Error::BadRequest`], answered with status 400.
    pub fn bad(code: BadRequest, text: impl Into<String>) -> Self {
        Self::BadRequest { code, text: text.into() }
    }
}

impl From<InvalidCorrelation> for Error {
    fn from(error: InvalidCorrelation) -> Self {
        Self::bad(BadRequest::IllegalValue, error.to_string())
    }
}

impl From<InvalidListing> for Error {
    fn from(error: InvalidListing) -> Self {
        Self::bad(BadRequest::IllegalValue, error.to_string())
    }
}

impl store::Fail for Error {
    fn store(&self) -> Option<&store::Error> {
        if let Self::Store(error) = self { Some(error) } else { None }
    }
}
