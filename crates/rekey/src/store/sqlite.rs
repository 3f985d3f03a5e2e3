//! SQLite: one connection that writes, beside those that read.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{
    Connection,
    config::DbConfig,
    functions::{Context, FunctionFlags},
};

use super::{Error, Result, Tx, writer::Session};
use crate::{clock::Clock, proof};

/// How long deeds are added to a transaction at least, where a sync is fast.
const PATIENCE: Duration = Duration::from_millis(1);

/// How long what another process does is waited for.
const BUSY: Duration = Duration::from_secs(10);

/// The connection that writes.
pub(super) struct Sqlite {
    db: Connection,
    clock: Clock,
    /// How long the last commit took: most of it is the sync.
    sync: Duration,
}

impl Sqlite {
    /// Opens the file for writing. A commit is durable: write-ahead log, synced at every commit
    /// (`synchronous=NORMAL` would lose committed transactions with the power).
    pub(super) fn open(path: &Path, clock: Clock) -> Result<Self> {
        let sentence = |error: &dyn std::fmt::Display| {
            Error::Open(format!(
                "the store {} cannot be opened: {error}; check that the folder exists, is writable and on a local disk",
                path.display()
            ))
        };
        let db = Connection::open(path).map_err(|e| sentence(&e))?;
        if db.is_readonly("main").map_err(|e| sentence(&e))? {
            return Err(sentence(&"it may only be read"));
        }
        db.busy_timeout(BUSY)?;
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 16000;
             PRAGMA cache_size = -16384; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON;",
        )
        .map_err(|e| sentence(&e))?;
        if proof::asks_for("short_log") {
            db.execute_batch("PRAGMA wal_autocheckpoint = 100")?;
        }
        if proof::asks_for("synchronous_normal") {
            db.execute_batch("PRAGMA synchronous = NORMAL")?;
        }
        if !proof::asks_for("trust_the_log") {
            empty_the_log(&db).map_err(|e| sentence(&e))?;
        }
        prepare_once(&db, 256)?;
        Ok(Self { db, clock, sync: Duration::ZERO })
    }
}

/// Writes what an earlier process left in the log once more, into the file: what a sync failed to
/// write can be read after all, but no later sync writes it, and what follows it in the log would go
/// with it when the power does. (The process whose sync failed writes over it.)
fn empty_the_log(db: &Connection) -> rusqlite::Result<()> {
    // Where another process has the store open, the log is that one's, and there is nothing to do.
    db.busy_timeout(Duration::ZERO)?;
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    db.busy_timeout(BUSY)
}

impl Session for Sqlite {
    fn begin(&mut self, _: bool) -> Result<()> {
        let begun = self.db.prepare_cached("BEGIN IMMEDIATE").and_then(|mut sql| sql.execute([]));
        begun.map(|_| ()).map_err(not_kept)
    }

    fn tx(&mut self) -> Tx<'_> {
        Tx::sqlite(&self.db, &self.clock)
    }

    fn commit(&mut self) -> Result<()> {
        let begun = Instant::now();
        let kept = self.db.prepare_cached("COMMIT").and_then(|mut sql| sql.execute([]));
        self.sync = begun.elapsed();
        kept.map(|_| ()).map_err(not_kept)
    }

    /// While some are being committed, the others can be answered and the next ones gather; but a
    /// sync must not cost more than a third of what it is for.
    fn patience(&self) -> Duration {
        (3 * self.sync).max(PATIENCE)
    }

    fn rollback(&mut self) {
        if !self.db.is_autocommit() {
            // If this fails the next transaction cannot begin, and says so.
            let _ = self.db.execute_batch("ROLLBACK");
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over")]
fn not_kept(error: rusqlite::Error) -> Error {
    Error::Commit(error.to_string())
}

/// Keeps prepared statements, and keeps them prepared: without the planner's stability guarantee
/// SQLite would plan anew whenever a parameter changes, which costs more than the query.
pub(super) fn prepare_once(db: &Connection, statements: usize) -> Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.set_prepared_statement_cache_capacity(statements);
    lower_every_letter(db)
}

/// SQLite's own `lower` knows ASCII only.
fn lower_every_letter(db: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    let lower = |context: &Context<'_>| {
        let text = context.get::<Option<String>>(0)?;
        Ok(text.map(|text| text.to_lowercase()))
    };
    Ok(db.create_scalar_function("lower", 1, flags, lower)?)
}
