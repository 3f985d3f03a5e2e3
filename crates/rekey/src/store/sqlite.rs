//! SQLite: one connection that writes, beside those that read.

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

/// How long deeds are added to a transaction while the disk has nothing to do: each commit costs
/// what a dozen deeds do.
const PATIENCE: Duration = Duration::from_millis(2);

/// How long what another process does is waited for.
const BUSY: Duration = Duration::from_secs(10);

/// Pages in the log after which they are moved into the file.
const LONG_LOG: u64 = 16_000;

/// The thread that writes.
pub(super) struct Sqlite {
    syncer: Syncer,
    open: Option<Open>,
    path: PathBuf,
    clock: Clock,
    log: Arc<Log>,
    readers: Arc<Readers>,
}

/// The files, open for writing. They are closed in this order.
struct Open {
    mover: Option<Mover>,
    db: Connection,
    /// How many pages the log has.
    pages: Arc<AtomicU64>,
    /// The log, to be synced.
    file_of_log: Arc<File>,
    /// The database, to be synced.
    _file: Arc<File>,
    log: Arc<Log>,
}

impl Sqlite {
    /// Opens the file for writing. A deed is told when the log was synced after its commit.
    pub(super) fn open(
        path: &Path,
        clock: Clock,
        log: &Arc<Log>,
        readers: &Arc<Readers>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self> {
        if !proof::asks_for("trust_the_log") {
            match recovery::recover(path) {
                // Where another process has the store open, the log is that one's.
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

    /// After a sync that failed: as a new process would find the store. Nobody may have it open for
    /// that, else SQLite would trust what it remembers of the log.
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
        // `NORMAL`: a commit is not synced by SQLite, but by the log's own thread.
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             PRAGMA cache_size = -16384; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON;",
        )
        .map_err(|e| sentence(&e))?;
        // This stands in for SQLite's own checkpoints, which tell nobody when they fail.
        let pages = Arc::<AtomicU64>::default();
        let counted = pages.clone();
        db.wal_hook(Some(move |_: &mut Wal, pages| {
            counted.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        prepare_once(&db, 256)?;
        // The log is there from the first look on.
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
            .map_err(|e| sentence(&e))?;
        let [file, file_of_log] = [path, &log_of(path)]
            .map(|path| File::open(path).map(Arc::new).map_err(|e| sentence(&e)));
        let (file, file_of_log) = (file?, file_of_log?);
        let mover = Some(Mover::start(path, file.clone(), log.clone())?);
        Ok(Self { mover, db, pages, file_of_log, _file: file, log: log.clone() })
    }

    /// Moves what is left in the log into the file, so that the log begins anew.
    fn finish_moving(&self) -> rusqlite::Result<()> {
        self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }

    fn run(&self, sql: &str) -> Result<()> {
        let run = self.db.prepare_cached(sql).and_then(|mut sql| sql.execute([]));
        run.map(|_| ()).map_err(|error| Error::Commit(error.to_string()))
    }
}

/// The write-ahead log of a store.
pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Why a store cannot be opened.
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
        self.log.begin();
        let kept = open.run("COMMIT");
        if kept.is_err() {
            // Its number must come to an end, too.
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
        // What a sync of the log fails to write is told here, and not by SQLite to nobody.
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
            // If this fails the next transaction cannot begin, and says so.
            let _ = open.db.execute_batch("ROLLBACK");
        }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.syncer.end();
        // The writer is the last to close the store, so that SQLite tidies up after itself.
        let shut = self.readers.shut();
        self.open = None;
        drop(shut);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.mover = None;
        if self.log.has_failed() {
            // SQLite would move what it remembers of the log; whoever opens it next looks at it.
            let _ = self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
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
