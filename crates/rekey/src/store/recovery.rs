//! Makes SQLite's write-ahead log match the disk, and copies it into the database file.
//!
//! The pages of a failed sync can still be read, from the page cache, by the process whose sync
//! failed and by the next one, but no later sync writes them. A commit that follows them in the log
//! would be lost in a power cut, and a WAL checkpoint of them would leave a database file that does
//! not match the log.

use std::{fs::OpenOptions, io, os::unix::fs::FileExt, path::Path, time::Duration};

use rusqlite::{Connection, config::DbConfig};

use super::{
    Error, Result,
    sqlite::{log_of, unopened},
};

/// The size of one write, in bytes.
const PIECE: usize = 1 << 20;

/// Recovers the log of the store at `path`, if there is one.
///
/// Fails with a locked store ([`Error::is_locked`]) if any process, this one included, has it open:
/// SQLite would then use the index of the log in memory and not check its checksums.
pub(super) fn recover(path: &Path) -> Result<()> {
    let log = log_of(path);
    if log.metadata().map_or(0, |about| about.len()) == 0 {
        return Ok(());
    }
    // The log is rewritten and synced before SQLite reads it, so that SQLite recovers exactly what
    // is on the disk.
    let held = alone(path)?;
    write_again(&log).map_err(|error| unopened(path, &error))?;
    drop(held);
    let db = alone(path)?;
    let busy: bool = db
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(|error| unopened(path, &error))?;
    if busy { Err(unopened(path, &"its log is in use")) } else { Ok(()) }
}

/// Opens the store exclusively, so that no other connection can open it. Closing this connection
/// runs no WAL checkpoint.
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

/// Overwrites a file with its own readable content, so that the pages are dirty and a sync writes
/// them.
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
