//! SQLite in memory: one connection, one transaction at a time, nothing durable.
//!
//! Each transaction runs on the calling thread, so that a simulation is deterministic. It yields to
//! other tasks before it begins and after its commit: at these points a node may stop or crash.

use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::task::yield_now;

use super::{Error, Fail, Result, Tx, sqlite::prepare_once};
use crate::model::time::Clock;

#[derive(Clone)]
pub(super) struct Memory(Arc<Mutex<Connection>>);

impl Memory {
    pub(super) fn open() -> Result<Self> {
        let db = Connection::open_in_memory()?;
        prepare_once(&db, 256)?;
        Ok(Self(Arc::new(Mutex::new(db))))
    }

    pub(super) async fn write<T, E: Fail>(
        &self,
        clock: &Clock,
        deed: impl Fn(&mut Tx<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        yield_now().await;
        let done = self.transact(clock, deed);
        yield_now().await;
        done
    }

    fn transact<T, E: Fail>(
        &self,
        clock: &Clock,
        deed: impl Fn(&mut Tx<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let db = self.0.lock().map_err(|_| Error::Closed)?;
        let run = |sql| db.prepare_cached(sql).and_then(|mut sql| sql.execute([]));
        run("BEGIN IMMEDIATE").map_err(Error::from)?;
        let done = deed(&mut Tx::sqlite(&db, clock));
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        run(end).map_err(Error::from)?;
        done
    }

    pub(super) fn read<T, E: Fail>(
        &self,
        clock: &Clock,
        look: impl FnOnce(&mut Tx<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let db = self.0.lock().map_err(|_| Error::Closed)?;
        look(&mut Tx::sqlite(&db, clock))
    }
}
