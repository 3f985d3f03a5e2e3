//! What goes into a query and what comes out, whichever the database.

use std::cell::Cell;

use rusqlite::types::FromSql as FromSqlite;
use tokio_postgres::{
    error::SqlState,
    types::{FromSqlOwned as FromPostgres, ToSql as ToPostgres},
};

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many lists wait.
    #[error("too many lists are asked for at once")]
    Busy,
    /// The transaction could not be made durable.
    #[error("the transaction could not be kept: {0}")]
    Commit(String),
    /// The store is shutting down, or a deed broke.
    #[error("the store is closed")]
    Closed,
    /// A value in the store is not what it must be.
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
    /// A list took too long.
    #[error("the list takes longer than {} s", super::lists::TIME.as_secs())]
    TooLong,
    /// The connection to PostgreSQL ended before the answer to the commit came, or a sync failed.
    #[error("whether the transaction was kept is not known: {0}")]
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
            Self::Busy
            | Self::Closed
            | Self::Commit(_)
            | Self::Corrupt(_)
            | Self::Open(_)
            | Self::Rows(_)
            | Self::TooLong
            | Self::Unanswered(_)
            | Self::Unreachable(_) => false,
        }
    }

    /// Whether somebody else has SQLite's file open who must not.
    pub(super) fn is_locked(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        let Self::Sqlite(error) = self else { return false };
        matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
    }

    /// Whether the store cannot hold a value that it was given: PostgreSQL's class 22 is about data,
    /// 54 about its own limits.
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
            Self::Busy
            | Self::Closed
            | Self::Corrupt(_)
            | Self::Open(_)
            | Self::Postgres(_)
            | Self::Rows(_)
            | Self::Sqlite(_)
            | Self::TooLong => Self::Commit(self.to_string()),
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

    /// Whether a query was ended by its time limit.
    pub(super) fn is_interrupted(&self) -> bool {
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
            | Self::TooLong
            | Self::Unanswered(_)
            | Self::Unreachable(_) => false,
        }
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
            Self::Busy | Self::Corrupt(_) | Self::Rows(_) | Self::TooLong => false,
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

/// One row of an answer, or a part of one.
pub struct Row<'a> {
    of: Of<'a>,
    /// What the names of its columns begin with.
    prefix: &'static str,
    /// The column that is read next, if they are read in their order.
    next: Cell<usize>,
}

#[derive(Clone, Copy)]
enum Of<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl<'a> Row<'a> {
    pub(super) fn sqlite(row: &'a rusqlite::Row<'a>) -> Self {
        Self { of: Of::Sqlite(row), prefix: "", next: Cell::new(0) }
    }

    pub(super) fn postgres(row: &'a tokio_postgres::Row) -> Self {
        Self { of: Of::Postgres(row), prefix: "", next: Cell::new(0) }
    }

    /// The value of a column.
    pub fn get<T: FromSqlite + FromPostgres>(&self, column: &str) -> Result<T> {
        let mut at = self.next.get();
        if !self.is(at, column) {
            let mut columns = (0..).take_while(|at| self.of.name(*at).is_some());
            at = columns
                .find(|at| self.is(*at, column))
                .ok_or_else(|| Error::Corrupt(format!("no column {}{column}", self.prefix)))?;
        }
        self.next.set(at + 1);
        match self.of {
            Of::Sqlite(row) => row.get(at).map_err(|error| self.unreadable(column, &error)),
            Of::Postgres(row) => row.try_get(at).map_err(|error| self.unreadable(column, &error)),
        }
    }

    fn unreadable(&self, column: &str, error: &dyn std::error::Error) -> Error {
        let why = error.source().unwrap_or(error);
        Error::Corrupt(format!("{}{column}: {why}", self.prefix))
    }

    /// What the columns make whose names begin with `prefix`; none where the `id` of it is null.
    pub(super) fn part<T: FromRow>(&self, prefix: &'static str) -> Result<Option<T>> {
        let part = Self { of: self.of, prefix, next: Cell::new(self.next.get()) };
        let id: Option<String> = part.get("id")?;
        let made = id.map(|_| {
            part.next.set(part.next.get() - 1);
            T::from_row(&part)
        });
        self.next.set(part.next.get());
        made.transpose()
    }

    fn is(&self, at: usize, column: &str) -> bool {
        self.of.name(at).and_then(|name| name.strip_prefix(self.prefix)) == Some(column)
    }
}

impl<'a> Of<'a> {
    fn name(self, at: usize) -> Option<&'a str> {
        match self {
            Of::Sqlite(row) => row.as_ref().column_name(at).ok(),
            Of::Postgres(row) => row.columns().get(at).map(tokio_postgres::Column::name),
        }
    }
}

/// Columns of the table `table`, each named as [`Row::part`] finds it.
pub(super) fn part_of(table: &str, columns: &str) -> String {
    let named = columns.split(',').map(str::trim);
    let named: Vec<_> = named.map(|name| format!("{table}.{name} AS \"{table}.{name}\"")).collect();
    named.join(", ")
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
