//! Makes SQLite's write-ahead log the one that is on the disk, and writes it into the file.
//!
//! What a sync failed to write can be read after all, by the process whose sync failed and by the
//! next one, but no later sync writes it. Whoever built on it would lose what follows it with the
//! power, and whoever moved it into the file would leave a file that does not fit the log.

use std::{fs::OpenOptions, io, os::unix::fs::FileExt, path::Path, time::Duration};

use rusqlite::{Connection, config::DbConfig};

use super::{
    Error, Result,
    sqlite::{log_of, unopened},
};

/// What is written at once, in bytes.
const PIECE: usize = 1 << 20;

/// Does it, if there is a log.
///
/// Fails with a locked store ([`Error::is_locked`]) where anybody has it open, this process
/// included: then SQLite would trust what they remember of the log, and not its checksums.
pub(super) fn recover(path: &Path) -> Result<()> {
    let log = log_of(path);
    if log.metadata().map_or(0, |about| about.len()) == 0 {
        return Ok(());
    }
    // What SQLite makes of the log it must make of what is on the disk.
    let held = alone(path)?;
    write_again(&log).map_err(|error| unopened(path, &error))?;
    drop(held);
    let db = alone(path)?;
    let busy: bool = db
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(|error| unopened(path, &error))?;
    if busy { Err(unopened(path, &"its log is in use")) } else { Ok(()) }
}

/// The store, held so that nobody else has it open. Closing it moves nothing.
fn alone(path: &Path) -> Result<Connection> {
    let hold = || {
        let db = Connection::open(path)?;
        if db.is_readonly("main")? {
            return Err(Error::Open("it may only be read".into()));
        }
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        db.busy_timeout(Duration::ZERO)?;
        db.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))?;
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(db)
    };
    hold().map_err(|error: Error| if error.is_locked() { error } else { unopened(path, &error) })
}

/// Writes a file over with what can be read of it, so that a sync has it to write.
fn write_again(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        let count = file.read_at(&mut piece, at)?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        file.write_all_at(bytes, at)?;
        at += count as u64;
    }
    file.sync_data()
}
