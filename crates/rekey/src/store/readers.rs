//! SQLite's readers: a pool beside the one writer.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::{Error, Result, sqlite::prepare_once};

/// Idle connections kept.
const KEPT: usize = 16;

pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::new(Vec::new()) }
    }

    pub(super) fn take(&self) -> Result<Connection> {
        let idle = self.idle.lock().map_err(|_| Error::Closed)?.pop();
        idle.map_or_else(|| self.open(), Ok)
    }

    pub(super) fn put_back(&self, reader: Connection) {
        if let Ok(mut idle) = self.idle.lock()
            && idle.len() < KEPT
        {
            idle.push(reader);
        }
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
