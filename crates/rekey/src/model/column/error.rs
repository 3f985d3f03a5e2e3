//! Errors of the store.

use std::time::Duration;

use tokio_postgres::error::SqlState;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many lists are queued.
    #[error("too many lists are asked for at once")]
    Busy,
    /// The transaction was not committed.
    #[error("the transaction could not be kept: {0}")]
    Commit(String),
    /// The store is closed, or the transaction's closure panicked.
    #[error("the store is closed")]
    Closed,
    /// A stored value is invalid.
    #[error("the store holds a value that cannot be read: {0}")]
    Corrupt(String),
    /// The store cannot be opened; a sentence for the operator.
    #[error("{0}")]
    Open(String),
    /// An error of PostgreSQL.
    #[error("{}", in_words(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// A write affected more or fewer rows than required.
    #[error("{0} rows written where 1 was due")]
    Rows(u64),
    /// An error of SQLite.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A list exceeded its time limit.
    #[error("the list takes longer than {} s", .0.as_secs())]
    TooLong(Duration),
    /// The outcome of a commit is unknown: the connection to PostgreSQL ended before the answer to
    /// the commit came, or a sync failed.
    #[error("whether the transaction was kept is not known: {0}")]
    Unanswered(String),
    /// No connection could be made.
    #[error("the store cannot be reached: {0}; check store.url and that PostgreSQL runs")]
    Unreachable(String),
}

pub(crate) fn in_words(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |db| format!("{} ({})", db.message(), db.code().code()))
}

impl Error {
    /// Whether a row with this key exists already. On SQLite, any violated constraint counts.
    pub fn is_unique_violation(&self) -> bool {
        match self {
            Self::Sqlite(error) => {
                error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
            }
            Self::Postgres(error) => error.code() == Some(&SqlState::UNIQUE_VIOLATION),
            Self::Busy
            | Self::Closed
            | Self::Commit(_)
            | Self::Corrupt(_)
            | Self::Open(_)
            | Self::Rows(_)
            | Self::TooLong(_)
            | Self::Unanswered(_)
            | Self::Unreachable(_) => false,
        }
    }

    /// Whether another connection holds a lock on SQLite's file.
    pub(crate) fn is_locked(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        let Self::Sqlite(error) = self else { return false };
        matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
    }

    /// Whether the store cannot represent a value that it was given: PostgreSQL's error class 22 is
    /// about data, class 54 about its limits.
    pub fn refuses_value(&self) -> bool {
        use rusqlite::ErrorCode::{TooBig, TypeMismatch};
        if let Self::Sqlite(error) = self {
            return matches!(error.sqlite_error_code(), Some(TooBig | TypeMismatch));
        }
        let Self::Postgres(error) = self else { return false };
        error
            .code()
            .is_some_and(|state| ["22", "54"].iter().any(|class| state.code().starts_with(class)))
    }

    /// Whether an immediate retry of the transaction may succeed: a serialization failure or a
    /// deadlock.
    pub(crate) fn is_transient(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        [Some(&SqlState::T_R_SERIALIZATION_FAILURE), Some(&SqlState::T_R_DEADLOCK_DETECTED)]
            .contains(&error.code())
    }

    /// A copy of the error for each task of the transaction that failed with it.
    pub(crate) fn for_each(&self) -> Self {
        match self {
            Self::Unanswered(why) => Self::Unanswered(why.clone()),
            Self::Unreachable(why) => Self::Unreachable(why.clone()),
            Self::Commit(why) => Self::Commit(why.clone()),
            Self::Busy
            | Self::Closed
            | Self::Corrupt(_)
            | Self::Open(_)
            | Self::Postgres(_)
            | Self::Rows(_)
            | Self::Sqlite(_)
            | Self::TooLong(_) => Self::Commit(self.to_string()),
        }
    }

    /// Whether the connection to PostgreSQL was lost.
    pub(crate) fn is_lost_connection(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        error.is_closed()
            || error.code().is_none_or(|state| {
                ["08", "57P"].iter().any(|class| state.code().starts_with(class))
            })
    }

    /// Whether a query was interrupted by its time limit.
    pub(crate) fn is_interrupted(&self) -> bool {
        match self {
            Self::Sqlite(error) => {
                error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted)
            }
            Self::Postgres(error) => error.code() == Some(&SqlState::QUERY_CANCELED),
            Self::Busy
            | Self::Closed
            | Self::Commit(_)
            | Self::Corrupt(_)
            | Self::Open(_)
            | Self::Rows(_)
            | Self::TooLong(_)
            | Self::Unanswered(_)
            | Self::Unreachable(_) => false,
        }
    }

    /// Whether the transaction may have been committed despite the error.
    pub fn may_be_done(&self) -> bool {
        matches!(self, Self::Unanswered(_))
    }

    /// Whether the whole store is currently unusable: full, read-only, unreachable or closed.
    pub fn is_unavailable(&self) -> bool {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, PermissionDenied, ReadOnly,
            SystemIoFailure,
        };
        match self {
            Self::Closed
            | Self::Commit(_)
            | Self::Open(_)
            | Self::Unanswered(_)
            | Self::Unreachable(_) => true,
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    CannotOpen
                        | DatabaseBusy
                        | DatabaseLocked
                        | DiskFull
                        | PermissionDenied
                        | ReadOnly
                        | SystemIoFailure
                )
            ),
            // Class 53 is lack of resources, class 57 operator intervention and time limits, 25006
            // a read-only server, and 55P03 a lock that is held too long, by a node that has
            // stopped.
            Self::Postgres(error) => {
                error.is_closed()
                    || error.code().is_none_or(|state| {
                        let state = state.code();
                        ["08", "53", "57", "58"].iter().any(|class| state.starts_with(class))
                            || ["25006", "55P03"].contains(&state)
                    })
            }
            Self::Busy | Self::Corrupt(_) | Self::Rows(_) | Self::TooLong(_) => false,
        }
    }
}

/// An error of a transaction's closure: the store's own error, or one that can contain it.
pub trait Fail: From<Error> {
    /// The store's error, if this error contains one.
    fn store(&self) -> Option<&Error>;
}

impl Fail for Error {
    fn store(&self) -> Option<&Error> {
        Some(self)
    }
}

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, Error>;
