//! The parameters of a query and its rows, for both databases.

use std::cell::Cell;

use rusqlite::types::FromSql as FromSqlite;
use tokio_postgres::types::{FromSqlOwned as FromPostgres, ToSql as ToPostgres};

use super::{Error, Result};

/// A value that can be bound to `$n`.
pub trait Param: rusqlite::ToSql + ToPostgres + Sync {}
impl<T: rusqlite::ToSql + ToPostgres + Sync> Param for T {}

/// A row of a result, or the part of a row with a prefix.
pub struct Row<'a> {
    of: Of<'a>,
    /// The prefix of its column names.
    prefix: &'static str,
    /// The index of the next column, if columns are read in order: this avoids a search by name.
    next: Cell<usize>,
}

#[derive(Clone, Copy)]
enum Of<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl<'a> Row<'a> {
    pub(crate) fn sqlite(row: &'a rusqlite::Row<'a>) -> Self {
        Self { of: Of::Sqlite(row), prefix: "", next: Cell::new(0) }
    }

    pub(crate) fn postgres(row: &'a tokio_postgres::Row) -> Self {
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

    /// The value made of the columns whose names begin with `prefix`; none if its `id` is null.
    pub(crate) fn part<T: FromRow>(&self, prefix: &'static str) -> Result<Option<T>> {
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

/// A column list for `table`, each column with the alias that [`Row::part`] expects.
pub(crate) fn part_of(table: &str, columns: &str) -> String {
    let named = columns.split(',').map(str::trim);
    let named: Vec<_> = named.map(|name| format!("{table}.{name} AS \"{table}.{name}\"")).collect();
    named.join(", ")
}

/// A type that can be made from a row.
pub trait FromRow: Sized {
    /// Reads the row.
    fn from_row(row: &Row<'_>) -> Result<Self>;
}

/// Implements [`FromRow`] for a struct whose fields are named like the columns.
macro_rules! from_row {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::model::column::FromRow for $name {
            fn from_row(row: &$crate::model::column::Row<'_>) -> $crate::model::column::Result<Self> {
                Ok(Self { $($field: row.get(stringify!($field))?),* })
            }
        }
    };
}
pub(crate) use from_row;

/// A single column, named `value`.
pub(crate) struct One<T>(pub(crate) T);

impl<T: FromSqlite + FromPostgres> FromRow for One<T> {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self(row.get("value")?))
    }
}

/// The number in a parameter's name, such as 3 for `$3`.
pub(crate) fn in_name(name: Option<&str>) -> Option<usize> {
    name?.get(1..)?.parse().ok().filter(|number| *number > 0)
}
