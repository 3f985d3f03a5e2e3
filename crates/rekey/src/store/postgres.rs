//! PostgreSQL: one connection for each thread of the service that uses it.

use std::{
    collections::HashMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{try_join, try_join_all};
use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
};
use tokio_postgres::{Client, Row, SimpleQueryMessage, Statement, error::SqlState, types::ToSql};

use super::{
    Error, Result, Tx,
    crew::{Queue, Work},
    server::{CONNECT, Server},
    tx::Query,
    writer::Session,
};
use crate::{
    metrics::Metrics,
    model::{
        column::in_words,
        time::{Clock, Micros},
    },
    proof,
};

/// How long plans are reused. With plans made while the tables were empty, the service handled a
/// hundredth of the changes.
const PLANNED: Duration = Duration::from_secs(1);
/// How long tasks are added to a transaction.
const PATIENCE: Duration = Duration::from_millis(20);
/// The lock timeout of a task in a shared transaction. It is well above the time for which other
/// transactions hold a lock, unless they wait for this transaction.
const LOCK: Duration = Duration::from_millis(250);
/// The maximum number of prepared statements of a connection: listings have any number of SQL
/// texts.
const PREPARED: usize = 512;
/// The server's time, in microseconds.
pub(super) const NOW: &str =
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS value";

/// The session of a thread. It connects when needed, and again after the connection has ended.
pub(super) struct Postgres {
    server: Server,
    clock: Clock,
    link: Option<Link>,
    now: Option<Micros>,
    metrics: Arc<Metrics>,
}

/// An open connection. Its runtime runs only while its own thread waits for an answer: a round trip
/// then needs no switch between threads.
pub(super) struct Link {
    client: Client,
    statements: HashMap<String, Statement>,
    /// When the plans in use were last discarded.
    planned: Instant,
    /// Whether a statement has failed: PostgreSQL then rolls back this transaction.
    failed: bool,
    /// Whether the server has refused a write. The connection stays read-only even after the server
    /// accepts writes again, so it is replaced.
    may_only_read: bool,
    runtime: Runtime,
}

impl Postgres {
    pub(super) fn new(server: Server, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { server, clock, link: None, now: None, metrics }
    }

    /// Connects, unless a connection is open.
    fn connect(&mut self) -> Result<()> {
        if self.link.as_mut().is_some_and(Link::is_usable) {
            return Ok(());
        }
        self.link = None;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::Unreachable(e.to_string()))?;
        let client = runtime
            .block_on(async { tokio::time::timeout(CONNECT, self.server.connect()).await })
            .map_err(|_| Error::Unreachable("it does not answer".into()))?
            .map_err(|e| Error::Unreachable(in_words(&e)))?;
        self.link = Some(Link {
            client,
            statements: HashMap::new(),
            planned: Instant::now(),
            failed: false,
            may_only_read: false,
            runtime,
        });
        Ok(())
    }

    fn tx(&mut self) -> Tx<'_> {
        Tx::postgres(self.link.as_mut(), &self.clock, self.now)
    }

    fn link(&mut self) -> Result<&mut Link> {
        self.link.as_mut().ok_or(Error::Closed)
    }

    fn begin_once(&mut self, sql: &str) -> Result<()> {
        self.connect()?;
        let link = self.link()?;
        link.failed = false;
        let said = link.wait(|client| client.simple_query(sql))?;
        let now = said.iter().find_map(|message| {
            let SimpleQueryMessage::Row(row) = message else { return None };
            row.get("value")?.parse::<i64>().ok()
        });
        let now = now.ok_or_else(|| Error::Corrupt("the server's time is no number".into()))?;
        self.now = Some(Micros(now + self.clock.offset()));
        Ok(())
    }
}

/// Runs read-only tasks, without a transaction.
pub(super) fn look(session: &mut Postgres, batch: &mut Vec<Box<dyn Work>>, _: &Queue) {
    for mut work in batch.drain(..) {
        session.now = None;
        let failed = session.connect().err();
        if failed.is_none() {
            work.attempt(&mut session.tx());
        }
        work.tell(failed);
    }
}

impl Session for Postgres {
    /// A later task does not join: another thread takes it. A transaction that began with one task
    /// has no short lock timeout, so that a task that joined it could wait long for a lock.
    const JOINED: bool = false;

    fn begin(&mut self, shared: bool) -> Result<()> {
        // Two shared transactions may wait for each other's rows, because their tasks lock them in
        // no common order. A task alone locks its rows in order and needs no short timeout.
        let lock = if shared {
            format!("SET LOCAL lock_timeout = {};", LOCK.as_millis())
        } else {
            String::new()
        };
        let sql = format!("BEGIN;{lock}{NOW}");
        match self.begin_once(&sql) {
            // The connection had ended while it was idle, so no work is lost.
            Err(error) if error.is_lost_connection() => {
                self.link = None;
                self.begin_once(&sql)
            }
            begun => begun,
        }
    }

    fn attempt(&mut self, work: &mut dyn Work) -> bool {
        work.attempt(&mut self.tx())
    }

    fn commit(&mut self) -> Result<()> {
        let link = self.link()?;
        if link.failed {
            return Err(Error::Commit("a statement in it had failed".into()));
        }
        link.wait(|client| client.batch_execute("COMMIT")).map_err(|error| {
            if error.is_lost_connection() {
                return Error::Unanswered(error.to_string());
            }
            Error::Commit(error.to_string())
        })
    }

    fn tell(&mut self, deeds: Vec<Box<dyn Work>>, kept: Option<Instant>) {
        if let Some(begun) = kept {
            proof::crash_at("store.committed");
            self.metrics.committed(deeds.len(), begun);
        }
        for work in deeds {
            work.tell(None);
        }
    }

    /// Later tasks are run by other threads, and some of them may need a lock of this transaction.
    fn has_time(&self, begun: Instant) -> bool {
        begun.elapsed() < PATIENCE
    }

    fn rollback(&mut self) {
        let undone = self.link().and_then(|l| l.wait(|client| client.batch_execute("ROLLBACK")));
        if undone.is_err() {
            // The server rolls back the transaction of a closed connection.
            self.link = None;
        }
    }
}

impl Link {
    /// Whether the connection can still be used. Its task runs first, to observe whether the server
    /// has closed it.
    fn is_usable(&mut self) -> bool {
        self.runtime.block_on(async {
            // Yields let the spawned connection task poll its socket.
            for _ in 0..3 {
                yield_now().await;
            }
        });
        // Discarding the plans is also a round trip, which shows whether the connection works.
        if self.planned.elapsed() >= PLANNED {
            self.planned = Instant::now();
            return self.script("DISCARD PLANS").is_ok();
        }
        !self.client.is_closed() && !self.may_only_read
    }

    fn wait<'a, T, D>(&'a mut self, ask: impl FnOnce(&'a Client) -> D) -> Result<T>
    where
        D: Future<Output = std::result::Result<T, tokio_postgres::Error>> + 'a,
    {
        let answer = self.runtime.block_on(ask(&self.client));
        self.failed |= answer.is_err();
        self.may_only_read |= answer
            .as_ref()
            .is_err_and(|error| error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
        Ok(answer?)
    }

    fn statement(&mut self, sql: &str) -> Result<Statement> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.wait(|client| client.prepare(sql))?;
        if self.statements.len() >= PREPARED {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    pub(super) fn query(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let statement = self.statement(sql)?;
        self.wait(|client| async move { client.query(&statement, params).await })
    }

    pub(super) fn execute(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        let statement = self.statement(sql)?;
        self.wait(|client| async move { client.execute(&statement, params).await })
    }

    /// Sends both queries at once, then waits for the rows of each.
    pub(super) fn query_both(
        &mut self,
        first: &Query<'_>,
        second: &Query<'_>,
    ) -> Result<(Vec<Row>, Vec<Row>)> {
        let (first, second) = (self.prepared(first)?, self.prepared(second)?);
        self.wait(|client| async move {
            let first = client.query(&first.0, &first.1);
            let second = client.query(&second.0, &second.1);
            try_join(first, second).await
        })
    }

    /// Sends all statements at once, then waits for the number of rows of each.
    pub(super) fn execute_each(&mut self, writes: &[Query<'_>]) -> Result<Vec<u64>> {
        let prepared: Result<Vec<_>> = writes.iter().map(|query| self.prepared(query)).collect();
        let prepared = prepared?;
        self.wait(|client| async move {
            try_join_all(prepared.iter().map(|(sql, params)| client.execute(sql, params))).await
        })
    }

    fn prepared<'a>(
        &mut self,
        (sql, params): &Query<'a>,
    ) -> Result<(Statement, Vec<&'a (dyn ToSql + Sync)>)> {
        Ok((self.statement(sql)?, params.iter().map(|param| *param as _).collect()))
    }

    pub(super) fn script(&mut self, sql: &str) -> Result<()> {
        self.wait(|client| client.batch_execute(sql))
    }
}
