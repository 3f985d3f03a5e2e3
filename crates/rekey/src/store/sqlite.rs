//! SQLite: one connection that writes, beside the pool of connections that read.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{
    Connection,
    config::DbConfig,
    functions::{Context, FunctionFlags},
    hooks::Wal,
};

use super::{
    Error, Result, Tx,
    crew::Work,
    log::{Log, Syncer},
    mover::Mover,
    readers::Readers,
    recovery,
    writer::Session,
};
use crate::{metrics::Metrics, model::time::Clock, proof};

/// How long tasks are added to a transaction while no sync is under way: a commit costs as much as
/// a dozen tasks.
const PATIENCE: Duration = Duration::from_millis(2);

/// How long a statement waits for a lock of another process.
const BUSY: Duration = Duration::from_secs(10);

/// The length of the write-ahead log, in pages, at which a WAL checkpoint is requested.
const LONG_LOG: u64 = 16_000;

/// The session of the writer thread.
pub(super) struct Sqlite {
    syncer: Syncer,
    open: Option<Open>,
    path: PathBuf,
    clock: Clock,
    log: Arc<Log>,
    readers: Arc<Readers>,
}

/// The files, open for writing. The fields are dropped in this order, which matters: `_file` must
/// be closed after the connections (see `Mover::start`).
struct Open {
    mover: Option<Mover>,
    db: Connection,
    /// The length of the log, in pages, after the latest commit.
    pages: Arc<AtomicU64>,
    /// The write-ahead log file, for its syncs.
    file_of_log: Arc<File>,
    /// The database file, for its syncs.
    _file: Arc<File>,
    log: Arc<Log>,
}

impl Sqlite {
    /// Opens the file for writing. The result of a task is returned to its caller when the log has
    /// been synced after the commit.
    pub(super) fn open(
        path: &Path,
        clock: Clock,
        log: &Arc<Log>,
        readers: &Arc<Readers>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self> {
        if !proof::asks_for("trust_the_log") {
            match recovery::recover(path) {
                // If another process has the store open, the log belongs to that process.
                Err(error) if error.is_locked() => {}
                recovered => recovered?,
            }
        }
        Ok(Self {
            open: Some(Open::new(path, log)?),
            syncer: Syncer::start(log.clone(), metrics.clone()),
            path: path.to_owned(),
            clock,
            log: log.clone(),
            readers: readers.clone(),
        })
    }

    /// Reopens the store after a failed sync, as a new process would open it. All connections must
    /// be closed for that: SQLite would otherwise use the index of the log that it holds in memory
    /// instead of reading the log.
    fn open_anew(&mut self) -> Result<()> {
        self.log.wait_until_synced();
        let shut = self.readers.shut();
        self.open = None;
        if !proof::asks_for("trust_the_log") {
            recovery::recover(&self.path)?;
        }
        self.open = Some(Open::new(&self.path, &self.log)?);
        self.log.is_whole();
        drop(shut);
        tracing::info!("the store can be used again");
        Ok(())
    }

    fn opened(&self) -> Result<&Open> {
        self.open.as_ref().ok_or(Error::Closed)
    }
}

impl Open {
    fn new(path: &Path, log: &Arc<Log>) -> Result<Self> {
        let sentence = |error: &dyn std::fmt::Display| unopened(path, error);
        let mut db = Connection::open(path).map_err(|e| sentence(&e))?;
        if db.is_readonly("main").map_err(|e| sentence(&e))? {
            return Err(sentence(&"it may only be read"));
        }
        db.busy_timeout(BUSY)?;
        // With `NORMAL`, SQLite does not sync the log at a commit: the thread of `Syncer` does.
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             PRAGMA cache_size = -16384; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON;",
        )
        .map_err(|e| sentence(&e))?;
        // This hook replaces SQLite's automatic WAL checkpoints, whose errors are reported nowhere.
        let pages = Arc::<AtomicU64>::default();
        let counted = pages.clone();
        db.wal_hook(Some(move |_: &mut Wal, pages| {
            counted.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        prepare_once(&db, 256)?;
        // The first query creates the log file, which is opened below.
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
            .map_err(|e| sentence(&e))?;
        let [file, file_of_log] = [path, &log_of(path)]
            .map(|path| File::open(path).map(Arc::new).map_err(|e| sentence(&e)));
        let (file, file_of_log) = (file?, file_of_log?);
        let mover = Some(Mover::start(path, file.clone(), log.clone())?);
        Ok(Self { mover, db, pages, file_of_log, _file: file, log: log.clone() })
    }

    /// Runs a WAL checkpoint for the pages that are left in the log, so that the log restarts from
    /// its beginning.
    fn finish_moving(&self) -> rusqlite::Result<()> {
        self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }

    fn run(&self, sql: &str) -> Result<()> {
        let run = self.db.prepare_cached(sql).and_then(|mut sql| sql.execute([]));
        run.map(|_| ()).map_err(|error| Error::Commit(error.to_string()))
    }
}

/// The path of the write-ahead log of a store.
pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// The error for a store that cannot be opened.
pub(super) fn unopened(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Open(format!(
        "the store {} cannot be opened: {error}; check that the folder exists, is writable and on a local disk",
        path.display()
    ))
}

impl Session for Sqlite {
    const JOINED: bool = true;

    fn begin(&mut self, _: bool) -> Result<()> {
        if self.log.has_failed() || self.open.is_none() {
            self.open_anew()?;
        }
        self.opened()?.run("BEGIN IMMEDIATE")
    }

    fn attempt(&mut self, work: &mut dyn Work) -> bool {
        self.opened().is_ok_and(|open| work.attempt(&mut Tx::sqlite(&open.db, &self.clock)))
    }

    fn commit(&mut self) -> Result<()> {
        let open = self.opened()?;
        // The number is drawn before the commit, so that the read point of every reader that sees
        // the commit covers it.
        self.log.begin();
        let kept = open.run("COMMIT");
        if kept.is_err() {
            // The number of a failed commit must be completed, too, or readers would wait for it
            // forever.
            self.syncer.give(self.log.newest(), &open.file_of_log, vec![], None);
        }
        kept
    }

    fn tell(&mut self, deeds: Vec<Box<dyn Work>>, kept: Option<Instant>) {
        let Some(open) = &mut self.open else { return };
        self.syncer.give(self.log.newest(), &open.file_of_log, deeds, kept);
        let long = if proof::asks_for("short_log") { 100 } else { LONG_LOG };
        let is_long = open.pages.load(Ordering::Relaxed) >= long;
        if !is_long || !open.mover.as_mut().is_some_and(Mover::has_moved) {
            return;
        }
        // The WAL checkpoint below must find a synced log: if SQLite synced it and failed, nothing
        // would report that.
        self.log.wait_until_synced();
        if !self.log.has_failed()
            && let Err(error) = open.finish_moving()
        {
            self.log.not_moved(&error);
        }
    }

    fn is_syncing(&self) -> bool {
        self.log.is_syncing()
    }

    fn has_time(&self, begun: Instant) -> bool {
        self.log.is_syncing() || begun.elapsed() < PATIENCE
    }

    fn rollback(&mut self) {
        if let Ok(open) = self.opened()
            && !open.db.is_autocommit()
        {
            // If this fails, the next transaction cannot begin, and its error is reported.
            let _ = open.db.execute_batch("ROLLBACK");
        }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.syncer.end();
        // The writer's connection is the last one to be closed, so that SQLite removes the log.
        let shut = self.readers.shut();
        self.open = None;
        drop(shut);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.mover = None;
        if self.log.has_failed() {
            // SQLite would copy the log as it sees it into the file, but that may not be on the
            // disk. The next process that opens the store recovers the log instead.
            let _ = self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
}

/// Caches prepared statements and keeps their plans. Without the planner's stability guarantee,
/// SQLite would plan a statement again whenever a parameter changes, which costs more than the
/// query.
pub(super) fn prepare_once(db: &Connection, statements: usize) -> Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.set_prepared_statement_cache_capacity(statements);
    lower_every_letter(db)
}

/// Replaces SQLite's own `lower`, which handles ASCII letters only.
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
