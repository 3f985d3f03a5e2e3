//! SQLite's read connections: a pool, beside the one connection that writes.

use std::{
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags};

use super::{
    Error, Result, Tx,
    crew::{Queue, Work},
    lists,
    sqlite::prepare_once,
};
use crate::model::time::Clock;

/// The maximum number of idle connections kept of each kind.
const KEPT: usize = 16;
/// The number of virtual machine instructions between two checks of the time limit: few, since
/// comparing two long texts is a single instruction.
const STEPS: i32 = 50;

pub(super) struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    changed: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    /// The idle connections for lists: on a common connection, the prepared statements of lists
    /// would displace those of all other reads.
    idle_lists: Vec<Connection>,
    /// How many connections are in use.
    lent: usize,
    /// Whether the pool is closed for now: no connection is lent.
    shut: bool,
}

/// A connection in use; it returns to the pool when dropped.
pub(super) struct Reader<'a> {
    db: Option<Connection>,
    is_for_list: bool,
    of: &'a Readers,
}

/// While this exists, no read connection is open.
pub(super) struct Shut<'a>(&'a Readers);

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), pool: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn take(&self) -> Result<Reader<'_>> {
        self.lend(false)
    }

    /// A connection whose queries are interrupted after the time limit of a list.
    fn take_for_list(&self) -> Result<Reader<'_>> {
        let mut reader = self.lend(true)?;
        let begun = Instant::now();
        if let Some(db) = &mut reader.db {
            db.progress_handler(STEPS, Some(move || begun.elapsed() > lists::TIME))?;
        }
        Ok(reader)
    }

    fn lend(&self, is_for_list: bool) -> Result<Reader<'_>> {
        let mut pool = self.pool();
        if pool.shut {
            return Err(Error::Commit("it is being opened anew".into()));
        }
        pool.lent += 1;
        let idle = pool.idle(is_for_list).pop();
        drop(pool);
        let mut reader = Reader { db: idle, is_for_list, of: self };
        if reader.db.is_none() {
            reader.db = Some(self.open()?);
        }
        Ok(reader)
    }

    /// Closes all connections, after waiting for those in use.
    pub(super) fn shut(&self) -> Shut<'_> {
        let mut pool = self.pool();
        pool.shut = true;
        pool.idle.clear();
        pool.idle_lists.clear();
        while pool.lent > 0 {
            pool = self.changed.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        Shut(self)
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&self.path, flags)?;
        db.busy_timeout(Duration::from_secs(10))?;
        db.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -4096;")?;
        prepare_once(&db, 64)?;
        Ok(db)
    }
}

impl Pool {
    fn idle(&mut self, is_for_list: bool) -> &mut Vec<Connection> {
        if is_for_list { &mut self.idle_lists } else { &mut self.idle }
    }
}

/// Runs queued lists, each on a connection that is interrupted at the time limit.
pub(super) fn look(
    (readers, clock): &mut (std::sync::Arc<Readers>, Clock),
    batch: &mut Vec<Box<dyn Work>>,
    _: &Queue,
) {
    for mut work in batch.drain(..) {
        let done = readers.take_for_list().and_then(|reader| {
            work.attempt(&mut Tx::sqlite(reader.db()?, clock));
            Ok(())
        });
        work.tell(done.err());
    }
}

impl Reader<'_> {
    pub(super) fn db(&self) -> Result<&Connection> {
        self.db.as_ref().ok_or(Error::Closed)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut pool = self.of.pool();
        pool.lent -= 1;
        let is_shut = pool.shut;
        let idle = pool.idle(self.is_for_list);
        if !is_shut && idle.len() < KEPT {
            idle.extend(self.db.take());
        }
        // The connection is closed before it counts as returned: `shut` must find none open.
        self.db = None;
        drop(pool);
        self.of.changed.notify_all();
    }
}

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        self.0.pool().shut = false;
    }
}
