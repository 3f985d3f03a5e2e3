//! What can go wrong in the service, and what the caller may know of it.

use rekey_connectors::Fault;

use crate::{
    model::source::InvalidCorrelation,
    store::{self, InvalidListing},
};

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be carried out as it is.
    #[error("{text}")]
    BadRequest {
        /// Which of the contract's sub-codes.
        code: BadRequest,
        /// What is wrong and what to do, for the caller.
        text: String,
    },
    /// Too much is asked for at once; the text is for the caller.
    #[error("{0}: try again in a few seconds")]
    Busy(&'static str),
    /// A connector said no, outside a password change.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// A bug or a broken invariant; the text is for the operator only.
    #[error("{0}")]
    Internal(String),
    /// Nothing here by that name, or nothing the caller may see.
    #[error("there is no {0} with this id")]
    NotFound(&'static str),
    /// The installation must be repaired; the text is for the operator.
    #[error("{0}")]
    Setup(String),
    /// The store said no.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// No token, or one that is not valid; the text is the contract's.
    #[error("{0}")]
    Unauthenticated(String),
    /// The same idempotency key came with another body.
    #[error("{0}")]
    Unprocessable(String),
    /// A key, or the sealing of a secret, failed.
    #[error(transparent)]
    Vault(#[from] rekey_vault::Error),
}

/// The contract's sub-codes of 400 (docs/contract.md#errors).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// A name that is taken.
    Conflict,
    /// It can be read but makes no sense.
    Content,
    /// A field that may not be changed.
    IllegalUpdate,
    /// A value that is not allowed.
    IllegalValue,
    /// Something else still needs it.
    InUse,
    /// Too long or too short.
    Length,
    /// One more than allowed.
    Limit,
    /// A required member is absent or empty.
    Missing,
    /// An id in the body names nothing.
    Referenced,
    /// It cannot be parsed.
    Syntax,
}

impl Error {
    /// A 400.
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
