//! What goes into a query and what comes out, whichever the database.

use rusqlite::types::FromSql as FromSqlite;
use tokio_postgres::{
    error::SqlState,
    types::{FromSqlOwned as FromPostgres, ToSql as ToPostgres},
};

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The transaction could not be made durable.
    #[error("the transaction could not be kept: {0}")]
    Commit(String),
    /// The store is shutting down, or a deed broke.
    #[error("the store is closed")]
    Closed,
    /// A text in the store is not what it must be.
    #[error("the store holds a value that cannot be read: {0}")]
    Corrupt(String),
    /// A sentence for the operator, about opening the store.
    #[error("{0}")]
    Open(String),
    /// PostgreSQL's reason.
    #[error("{}", in_words(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// A write touched more or fewer rows than it must.
    #[error("{0} rows written where 1 was due")]
    Rows(u64),
    /// SQLite's reason.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The connection to PostgreSQL ended before the answer to the commit came.
    #[error("PostgreSQL did not say whether the transaction was kept: {0}")]
    Unanswered(String),
    /// No connection to be had.
    #[error("the store cannot be reached: {0}; check store.url and that PostgreSQL runs")]
    Unreachable(String),
}

pub(super) fn in_words(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |db| format!("{} ({})", db.message(), db.code().code()))
}

impl Error {
    /// Whether a row with this key is there already.
    pub fn is_unique_violation(&self) -> bool {
        match self {
            Self::Sqlite(error) => {
                error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
            }
            Self::Postgres(error) => error.code() == Some(&SqlState::UNIQUE_VIOLATION),
            Self::Closed
            | Self::Commit(_)
            | Self::Corrupt(_)
            | Self::Open(_)
            | Self::Rows(_)
            | Self::Unanswered(_)
            | Self::Unreachable(_) => false,
        }
    }

    /// Whether the same deed may succeed when done again at once.
    pub(super) fn is_transient(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        [Some(&SqlState::T_R_SERIALIZATION_FAILURE), Some(&SqlState::T_R_DEADLOCK_DETECTED)]
            .contains(&error.code())
    }

    /// The same for each of those whose transaction ended with it.
    pub(super) fn for_each(&self) -> Self {
        match self {
            Self::Unanswered(why) => Self::Unanswered(why.clone()),
            Self::Unreachable(why) => Self::Unreachable(why.clone()),
            Self::Commit(why) => Self::Commit(why.clone()),
            Self::Closed
            | Self::Corrupt(_)
            | Self::Open(_)
            | Self::Postgres(_)
            | Self::Rows(_)
            | Self::Sqlite(_) => Self::Commit(self.to_string()),
        }
    }

    /// Whether it came with the end of the connection to PostgreSQL.
    pub(super) fn is_lost_connection(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        error.is_closed()
            || error.code().is_none_or(|state| {
                ["08", "57P"].iter().any(|class| state.code().starts_with(class))
            })
    }

    /// Whether the deed may be kept although it failed.
    pub fn may_be_done(&self) -> bool {
        matches!(self, Self::Unanswered(_))
    }

    /// Whether the store as a whole cannot be used just now: full, read-only, gone or closed.
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
            // Class 53 is lack of resources, 57 operator intervention and time limits, 25006 a
            // read-only server, 55P03 a lock that somebody holds too long: a node that stands still.
            Self::Postgres(error) => {
                error.is_closed()
                    || error.code().is_none_or(|state| {
                        let state = state.code();
                        ["08", "53", "57", "58"].iter().any(|class| state.starts_with(class))
                            || ["25006", "55P03"].contains(&state)
                    })
            }
            Self::Corrupt(_) | Self::Rows(_) => false,
        }
    }
}

/// An error a deed may end with: the store's own, or one that can hold it.
pub trait Fail: From<Error> {
    /// The store's error inside, if that is what it is.
    fn store(&self) -> Option<&Error>;
}

impl Fail for Error {
    fn store(&self) -> Option<&Error> {
        Some(self)
    }
}

/// What the store answers.
pub type Result<T> = std::result::Result<T, Error>;

/// What may be bound to `$n`.
pub trait Param: rusqlite::ToSql + ToPostgres + Sync {}
impl<T: rusqlite::ToSql + ToPostgres + Sync> Param for T {}

/// One row of an answer.
pub enum Row<'a> {
    /// SQLite's.
    Sqlite(&'a rusqlite::Row<'a>),
    /// PostgreSQL's.
    Postgres(&'a tokio_postgres::Row),
}

impl Row<'_> {
    /// The value of a column.
    pub fn get<T: FromSqlite + FromPostgres>(&self, column: &str) -> Result<T> {
        match self {
            Self::Sqlite(row) => Ok(row.get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }
}

/// What a row can become.
pub trait FromRow: Sized {
    /// Reads it.
    fn from_row(row: &Row<'_>) -> Result<Self>;
}

/// A struct whose fields are named as its columns.
macro_rules! from_row {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::store::FromRow for $name {
            fn from_row(row: &$crate::store::Row<'_>) -> $crate::store::Result<Self> {
                Ok(Self { $($field: row.get(stringify!($field))?),* })
            }
        }
    };
}
pub(crate) use from_row;

/// A single column, named `value`.
pub(super) struct One<T>(pub(super) T);

impl<T: FromSqlite + FromPostgres> FromRow for One<T> {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self(row.get("value")?))
    }
}

/// The number in a parameter's name, `$3`.
pub(super) fn in_name(name: Option<&str>) -> Option<usize> {
    name?.get(1..)?.parse().ok().filter(|number| *number > 0)
}
