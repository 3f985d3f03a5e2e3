//! A transaction, and how a query is run in it.

use super::{
    Error, Result,
    audit::Scribe,
    postgres::{self, NOW},
};
use crate::model::{
    column::{FromRow, One, Param, Row, in_name},
    time::{Clock, Micros},
};

/// A transaction: every query is a method on it.
pub struct Tx<'a> {
    link: Link<'a>,
    clock: &'a Clock,
    now: Option<Micros>,
    pub(super) scribe: Scribe,
    /// How many it has run.
    pub(super) statements: u64,
}

/// A statement and its parameters.
pub(super) type Query<'a> = (&'a str, Vec<&'a dyn Param>);

enum Link<'a> {
    Sqlite(&'a rusqlite::Connection),
    /// None after the connection was given up.
    Postgres(Option<&'a mut postgres::Link>),
}

impl<'a> Tx<'a> {
    pub(super) fn sqlite(db: &'a rusqlite::Connection, clock: &'a Clock) -> Self {
        Self { link: Link::Sqlite(db), clock, now: None, scribe: Scribe::default(), statements: 0 }
    }

    /// `now` is the server's time, where it is known.
    pub(super) fn postgres(
        link: Option<&'a mut postgres::Link>,
        clock: &'a Clock,
        now: Option<Micros>,
    ) -> Self {
        Self { link: Link::Postgres(link), clock, now, scribe: Scribe::default(), statements: 0 }
    }

    /// The time of this deed, taken once: on PostgreSQL the server's, so that all nodes agree.
    pub fn now(&mut self) -> Result<Micros> {
        if let Some(now) = self.now {
            return Ok(now);
        }
        let now = match &self.link {
            Link::Sqlite(_) => self.clock.now(),
            Link::Postgres(_) => {
                let One(server) = self.one::<One<i64>>(NOW, &[])?;
                Micros(server + self.clock.offset())
            }
        };
        self.now = Some(now);
        Ok(now)
    }

    /// Whether this is PostgreSQL: only accept, claim and finish may have a second text.
    pub fn is_postgres(&self) -> bool {
        matches!(self.link, Link::Postgres(_))
    }

    /// All rows.
    pub fn all<T: FromRow>(&mut self, sql: &str, params: &[&dyn Param]) -> Result<Vec<T>> {
        self.statements += 1;
        match &mut self.link {
            Link::Sqlite(db) => {
                let mut statement = db.prepare_cached(sql)?;
                bind(&mut statement, params)?;
                let mut rows = statement.raw_query();
                let mut all = Vec::new();
                while let Some(row) = rows.next()? {
                    all.push(T::from_row(&Row::sqlite(row))?);
                }
                Ok(all)
            }
            Link::Postgres(link) => {
                let params: Vec<_> = params.iter().map(|p| *p as _).collect();
                made_of(&open(link)?.query(sql, &params)?)
            }
        }
    }

    /// The row, if there is one.
    pub fn maybe<T: FromRow>(&mut self, sql: &str, params: &[&dyn Param]) -> Result<Option<T>> {
        Ok(self.all(sql, params)?.pop())
    }

    /// The row, which must be there.
    pub fn one<T: FromRow>(&mut self, sql: &str, params: &[&dyn Param]) -> Result<T> {
        self.maybe(sql, params)?.ok_or(Error::Rows(0))
    }

    /// The number a query named `value`: for tests and for the operator's view.
    pub fn count(&mut self, sql: &str) -> Result<i64> {
        let One(count) = self.one(sql, &[])?;
        Ok(count)
    }

    /// All rows of two queries, done in this order; on PostgreSQL in one round trip.
    pub(super) fn both<A: FromRow, B: FromRow>(
        &mut self,
        first: &Query<'_>,
        second: &Query<'_>,
    ) -> Result<(Vec<A>, Vec<B>)> {
        let Link::Postgres(link) = &mut self.link else {
            return Ok((self.all(first.0, &first.1)?, self.all(second.0, &second.1)?));
        };
        self.statements += 2;
        let (first, second) = open(link)?.query_both(first, second)?;
        Ok((made_of(&first)?, made_of(&second)?))
    }

    /// Writes, and says how many rows.
    pub fn run(&mut self, sql: &str, params: &[&dyn Param]) -> Result<u64> {
        self.statements += 1;
        match &mut self.link {
            Link::Sqlite(db) => {
                let mut statement = db.prepare_cached(sql)?;
                bind(&mut statement, params)?;
                Ok(statement.raw_execute()? as u64)
            }
            Link::Postgres(link) => {
                let params: Vec<_> = params.iter().map(|p| *p as _).collect();
                open(link)?.execute(sql, &params)
            }
        }
    }

    /// Adds a row, unless there is one like it; the number it got. Only for SQLite, which makes and
    /// drops a table for each `RETURNING`.
    pub(super) fn insert(&mut self, sql: &str, params: &[&dyn Param]) -> Result<Option<i64>> {
        let Link::Sqlite(db) = self.link else { return Err(Error::Closed) };
        Ok((self.run(sql, params)? == 1).then(|| db.last_insert_rowid()))
    }

    /// Writes exactly one row.
    pub fn run_one(&mut self, sql: &str, params: &[&dyn Param]) -> Result<()> {
        match self.run(sql, params)? {
            1 => Ok(()),
            rows => Err(Error::Rows(rows)),
        }
    }

    /// Writes, and says how many rows with each, in this order; on PostgreSQL in one round trip.
    pub(super) fn run_all(&mut self, writes: &[Query<'_>]) -> Result<Vec<u64>> {
        let Link::Postgres(link) = &mut self.link else {
            return writes.iter().map(|(sql, params)| self.run(sql, params)).collect();
        };
        self.statements += writes.len() as u64;
        open(link)?.execute_each(writes)
    }

    /// Writes exactly one row with each, in this order; on PostgreSQL in one round trip.
    pub(super) fn run_each(&mut self, writes: &[Query<'_>]) -> Result<()> {
        match self.run_all(writes)?.into_iter().find(|rows| *rows != 1) {
            None => Ok(()),
            Some(rows) => Err(Error::Rows(rows)),
        }
    }

    /// Runs several statements without parameters.
    pub(super) fn script(&mut self, sql: &str) -> Result<()> {
        self.statements += 1;
        match &mut self.link {
            Link::Sqlite(db) => Ok(db.execute_batch(sql)?),
            Link::Postgres(link) => open(link)?.script(sql),
        }
    }
}

fn open<'a>(link: &'a mut Option<&mut postgres::Link>) -> Result<&'a mut postgres::Link> {
    link.as_deref_mut().ok_or(Error::Closed)
}

/// What the rows become.
fn made_of<T: FromRow>(rows: &[tokio_postgres::Row]) -> Result<Vec<T>> {
    rows.iter().map(|row| T::from_row(&Row::postgres(row))).collect()
}

/// SQLite numbers `$2`, `$1` in the order they appear; PostgreSQL by their name.
fn bind(statement: &mut rusqlite::Statement<'_>, params: &[&dyn Param]) -> Result<()> {
    for at in 1..=statement.parameter_count() {
        let index = in_name(statement.parameter_name(at)).unwrap_or(at);
        let param = params
            .get(index - 1)
            .ok_or_else(|| Error::Corrupt(format!("no parameter ${index}")))?;
        statement.raw_bind_parameter(at, *param as &dyn rusqlite::ToSql)?;
    }
    Ok(())
}
