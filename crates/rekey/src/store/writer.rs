//! SQLite's one writer, with shared commits: deeds that wait together become one transaction
//! with one sync, and are answered when it is on stable storage.
//!
//! When a deed fails, the transaction is undone and each of its deeds is done again in one of
//! its own, so that no deed sees or spoils another's half work.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    thread,
    time::Duration,
};

use rusqlite::{
    Connection,
    config::DbConfig,
    functions::{Context, FunctionFlags},
};
use tokio::sync::{mpsc, oneshot};

use super::{Error, Fail, Result, Tx};
use crate::{clock::Clock, proof};

/// At most this many deeds share a commit.
const BATCH: usize = 512;

/// A deed that waits: tries, then tells.
pub(super) trait Work: Send {
    /// Does it; whether it succeeded.
    fn attempt(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Tells the outcome to who waits, or `failed` when the commit did.
    fn tell(self: Box<Self>, failed: Option<Error>);
}

/// The way to the writer's thread; cheap to clone.
#[derive(Clone)]
pub(super) struct Writer(mpsc::UnboundedSender<Order>);

enum Order {
    Do(Box<dyn Work>),
    Close(oneshot::Sender<()>),
}

/// Opens the file for writing. A commit is durable: write-ahead log, synced at every commit
/// (`synchronous=NORMAL` would lose committed transactions with the power).
pub(super) fn open(path: &Path) -> Result<Connection> {
    let sentence = |error: &dyn std::fmt::Display| {
        Error::Open(format!(
            "the store {} cannot be opened: {error}; check that the folder exists, is writable and on a local disk",
            path.display()
        ))
    };
    let db = Connection::open(path).map_err(|e| sentence(&e))?;
    db.busy_timeout(Duration::from_secs(10))?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 16000;
         PRAGMA cache_size = -16384; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON;",
    )
    .map_err(|e| sentence(&e))?;
    if proof::asks_for("synchronous_normal") {
        db.execute_batch("PRAGMA synchronous = NORMAL")?;
    }
    prepare_once(&db, 256)?;
    Ok(db)
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

impl Writer {
    /// Takes over a connection.
    pub(super) fn start(db: Connection, clock: Clock) -> Self {
        let (sender, mut waiting) = mpsc::unbounded_channel();
        thread::spawn(move || {
            let mut orders = Vec::with_capacity(BATCH);
            let mut batch = Vec::with_capacity(BATCH);
            while waiting.blocking_recv_many(&mut orders, BATCH) > 0 {
                let mut close = None;
                for order in orders.drain(..) {
                    match order {
                        Order::Do(work) => batch.push(work),
                        Order::Close(tell) => close = Some(tell),
                    }
                }
                commit(&db, &clock, &mut batch);
                if let Some(tell) = close {
                    drop(db);
                    let _ = tell.send(());
                    return;
                }
            }
        });
        Self(sender)
    }

    pub(super) fn send(&self, work: Box<dyn Work>) -> Result<()> {
        self.0.send(Order::Do(work)).map_err(|_| Error::Closed)
    }

    /// Waits until what was sent before is done.
    pub(super) async fn close(&self, at_most: Duration) {
        let (tell, told) = oneshot::channel();
        if self.0.send(Order::Close(tell)).is_ok() {
            let _ = tokio::time::timeout(at_most, told).await;
        }
    }
}

fn commit(db: &Connection, clock: &Clock, batch: &mut Vec<Box<dyn Work>>) {
    if batch.is_empty() {
        return;
    }
    let all_well =
        db.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map_or_else(
            |error| Err((error, false)),
            |_| try_all(db, clock, batch).map_err(|e| (e, true)),
        );
    // Where not even a transaction can begin, none of them would fare better alone.
    let begun = !matches!(all_well, Err((_, false)));
    if begun && !matches!(all_well, Ok(true)) && batch.len() > 1 {
        for work in batch.drain(..) {
            commit(db, clock, &mut vec![work]);
        }
        return;
    }
    let failed = all_well.err().map(|(error, _)| error);
    for work in batch.drain(..) {
        work.tell(failed.as_ref().map(|error| Error::Commit(error.to_string())));
    }
}

fn try_all(db: &Connection, clock: &Clock, batch: &mut [Box<dyn Work>]) -> rusqlite::Result<bool> {
    let well = batch.iter_mut().all(|work| {
        // A deed that panics must not take the writer with it.
        catch_unwind(AssertUnwindSafe(|| work.attempt(&mut Tx::sqlite(db, clock)))).unwrap_or(false)
    });
    proof::crash_at("store.before_commit");
    proof::crash_soon("store.commit_under_way");
    let end = if well { db.prepare_cached("COMMIT")?.execute([]) } else { Ok(0) };
    proof::crash_at("store.committed");
    if !db.is_autocommit() {
        db.execute_batch("ROLLBACK")?;
    }
    end.map(|_| well)
}

struct Deed<T, E, F> {
    run: F,
    done: Option<std::result::Result<T, E>>,
    tell: oneshot::Sender<std::result::Result<T, E>>,
}

/// A deed as the writer takes it.
pub(super) fn work<T, E, F>(
    deed: F,
    tell: oneshot::Sender<std::result::Result<T, E>>,
) -> Box<dyn Work>
where
    T: Send + 'static,
    E: Fail + Send + 'static,
    F: Fn(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
{
    Box::new(Deed { run: deed, done: None, tell })
}

impl<T, E, F> Work for Deed<T, E, F>
where
    T: Send,
    E: Fail + Send,
    F: Fn(&mut Tx<'_>) -> std::result::Result<T, E> + Send,
{
    fn attempt(&mut self, tx: &mut Tx<'_>) -> bool {
        self.done = None;
        self.done.insert((self.run)(tx)).is_ok()
    }

    fn tell(self: Box<Self>, failed: Option<Error>) {
        let Self { done, tell, .. } = *self;
        let done =
            failed.map_or_else(|| done.unwrap_or(Err(Error::Closed.into())), |e| Err(e.into()));
        let _ = tell.send(done);
    }
}
