//! A transaction, and the execution of queries in it.

use super::{
    Error, Result,
    audit::Scribe,
    postgres::{self, NOW},
};
use crate::model::{
    column::{FromRow, One, Param, Row, in_name},
    time::{Clock, Micros},
};

/// A transaction; every query is a method of it.
pub struct Tx<'a> {
    link: Link<'a>,
    clock: &'a Clock,
    now: Option<Micros>,
    pub(super) scribe: Scribe,
    /// The number of statements executed.
    pub(super) statements: u64,
}

/// An SQL text and its parameters.
pub(super) type Query<'a> = (&'a str, Vec<&'a dyn Param>);

enum Link<'a> {
    Sqlite(&'a rusqlite::Connection),
    /// None after the connection was closed.
    Postgres(Option<&'a mut postgres::Link>),
}

impl<'a> Tx<'a> {
    pub(super) fn sqlite(db: &'a rusqlite::Connection, clock: &'a Clock) -> Self {
        Self { link: Link::Sqlite(db), clock, now: None, scribe: Scribe::default(), statements: 0 }
    }

    /// `now` is the server's time, if it is known already.
    pub(super) fn postgres(
        link: Option<&'a mut postgres::Link>,
        clock: &'a Clock,
        now: Option<Micros>,
    ) -> Self {
        Self { link: Link::Postgres(link), clock, now, scribe: Scribe::default(), statements: 0 }
    }

    /// The time of this transaction, read once: on PostgreSQL it is the server's, so that all nodes
    /// agree.
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

    /// Whether this is PostgreSQL. Only accept, claim and finish may have a second SQL text.
    pub fn is_postgres(&self) -> bool {
        matches!(self.link, Link::Postgres(_))
    }

    /// All rows of a query.
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

    /// The row, if there is one; the last one if there are several.
    pub fn maybe<T: FromRow>(&mut self, sql: &str, params: &[&dyn Param]) -> Result<Option<T>> {
        Ok(self.all(sql, params)?.pop())
    }

    /// The row that [`Tx::maybe`] returns; [`Error::Rows`] if there is none.
    pub fn one<T: FromRow>(&mut self, sql: &str, params: &[&dyn Param]) -> Result<T> {
        self.maybe(sql, params)?.ok_or(Error::Rows(0))
    }

    /// The number that a query returns as `value`: for tests and the operator's commands.
    pub fn count(&mut self, sql: &str) -> Result<i64> {
        let One(count) = self.one(sql, &[])?;
        Ok(count)
    }

    /// All rows of two queries, executed in this order; on PostgreSQL in one round trip.
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

    /// Executes a statement. Returns the number of affected rows.
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

    /// Inserts a row. Returns its row id, or none if a conflict kept it out. For SQLite only, which
    /// creates and drops a temporary table for each `RETURNING`.
    pub(super) fn insert(&mut self, sql: &str, params: &[&dyn Param]) -> Result<Option<i64>> {
        let Link::Sqlite(db) = self.link else { return Err(Error::Closed) };
        Ok((self.run(sql, params)? == 1).then(|| db.last_insert_rowid()))
    }

    /// Executes a statement that must affect exactly one row; else [`Error::Rows`].
    pub fn run_one(&mut self, sql: &str, params: &[&dyn Param]) -> Result<()> {
        match self.run(sql, params)? {
            1 => Ok(()),
            rows => Err(Error::Rows(rows)),
        }
    }

    /// Executes statements in this order, on PostgreSQL in one round trip. Returns the number of
    /// rows that each affected.
    pub(super) fn run_all(&mut self, writes: &[Query<'_>]) -> Result<Vec<u64>> {
        let Link::Postgres(link) = &mut self.link else {
            return writes.iter().map(|(sql, params)| self.run(sql, params)).collect();
        };
        self.statements += writes.len() as u64;
        open(link)?.execute_each(writes)
    }

    /// Executes statements in this order, each of which must affect exactly one row; on PostgreSQL
    /// in one round trip.
    pub(super) fn run_each(&mut self, writes: &[Query<'_>]) -> Result<()> {
        match self.run_all(writes)?.into_iter().find(|rows| *rows != 1) {
            None => Ok(()),
            Some(rows) => Err(Error::Rows(rows)),
        }
    }

    /// Executes several statements without parameters.
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

/// Converts rows.
fn made_of<T: FromRow>(rows: &[tokio_postgres::Row]) -> Result<Vec<T>> {
    rows.iter().map(|row| T::from_row(&Row::postgres(row))).collect()
}

/// Binds parameters by the number in their name: SQLite itself would number `$2`, `$1` in the order
/// in which they appear.
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
