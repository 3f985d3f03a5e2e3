//! A transaction, and how a query is run in it.

use deadpool_postgres::Object;
use tokio::runtime::Handle;

use super::{
    Error, FromRow, Param, Result, Row,
    audit::Scribe,
    row::{One, in_name},
};
use crate::clock::{Clock, Micros};

/// A transaction: every query is a method on it. Dropped, it rolls back.
pub struct Tx<'a> {
    link: Link<'a>,
    clock: &'a Clock,
    now: Option<Micros>,
    pub(super) scribe: Scribe,
}

enum Link<'a> {
    Sqlite(&'a rusqlite::Connection),
    Postgres { client: &'a Object, runtime: Handle, open: bool },
}

impl<'a> Tx<'a> {
    pub(super) fn sqlite(db: &'a rusqlite::Connection, clock: &'a Clock) -> Self {
        Self { link: Link::Sqlite(db), clock, now: None, scribe: Scribe::default() }
    }

    /// `open` says whether a `BEGIN` was sent.
    pub(super) fn postgres(
        client: &'a Object,
        runtime: Handle,
        clock: &'a Clock,
        open: bool,
    ) -> Self {
        Self {
            link: Link::Postgres { client, runtime, open },
            clock,
            now: None,
            scribe: Scribe::default(),
        }
    }

    /// The time of this deed, taken once: on PostgreSQL the server's, so that all nodes agree.
    pub fn now(&mut self) -> Result<Micros> {
        if let Some(now) = self.now {
            return Ok(now);
        }
        let now = match &self.link {
            Link::Sqlite(_) => self.clock.now(),
            Link::Postgres { .. } => {
                let sql =
                    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS value";
                let One(server) = self.one::<One<i64>>(sql, &[])?;
                Micros(server + self.clock.offset())
            }
        };
        self.now = Some(now);
        Ok(now)
    }

    /// Whether this is PostgreSQL: only accept, claim and finish may have a second text.
    pub fn is_postgres(&self) -> bool {
        matches!(self.link, Link::Postgres { .. })
    }

    /// All rows.
    pub fn all<T: FromRow>(&mut self, sql: &str, params: &[&dyn Param]) -> Result<Vec<T>> {
        match &self.link {
            Link::Sqlite(db) => {
                let mut statement = db.prepare_cached(sql)?;
                bind(&mut statement, params)?;
                let mut rows = statement.raw_query();
                let mut all = Vec::new();
                while let Some(row) = rows.next()? {
                    all.push(T::from_row(&Row::Sqlite(row))?);
                }
                Ok(all)
            }
            Link::Postgres { client, runtime, .. } => {
                let params: Vec<_> = params.iter().map(|p| *p as _).collect();
                let rows = runtime.block_on(async {
                    client.query(&client.prepare_cached(sql).await?, &params).await
                })?;
                rows.iter().map(|row| T::from_row(&Row::Postgres(row))).collect()
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

    /// Writes, and says how many rows.
    pub fn run(&mut self, sql: &str, params: &[&dyn Param]) -> Result<u64> {
        match &self.link {
            Link::Sqlite(db) => {
                let mut statement = db.prepare_cached(sql)?;
                bind(&mut statement, params)?;
                Ok(statement.raw_execute()? as u64)
            }
            Link::Postgres { client, runtime, .. } => {
                let params: Vec<_> = params.iter().map(|p| *p as _).collect();
                Ok(runtime.block_on(async {
                    client.execute(&client.prepare_cached(sql).await?, &params).await
                })?)
            }
        }
    }

    /// Writes exactly one row.
    pub fn run_one(&mut self, sql: &str, params: &[&dyn Param]) -> Result<()> {
        match self.run(sql, params)? {
            1 => Ok(()),
            rows => Err(Error::Rows(rows)),
        }
    }

    /// Runs several statements without parameters.
    pub(super) fn script(&mut self, sql: &str) -> Result<()> {
        match &self.link {
            Link::Sqlite(db) => Ok(db.execute_batch(sql)?),
            Link::Postgres { client, runtime, .. } => {
                Ok(runtime.block_on(client.batch_execute(sql))?)
            }
        }
    }

    pub(super) fn commit(&mut self) -> Result<()> {
        if let Link::Postgres { client, runtime, open } = &mut self.link {
            runtime.block_on(client.batch_execute("COMMIT"))?;
            *open = false;
        }
        Ok(())
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        if let Link::Postgres { client, runtime, open: true } = &self.link {
            // A connection that cannot roll back is closed by the pool's next check.
            let _ = runtime.block_on(client.batch_execute("ROLLBACK"));
        }
    }
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
