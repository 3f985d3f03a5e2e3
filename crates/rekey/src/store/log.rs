//! SQLite's write-ahead log, synced by a thread of its own: while one transaction is being synced,
//! the tasks of the next one run.
//!
//! Committed rows can be read before they are on stable storage. Readers therefore wait until that
//! commit is durable ([`Log::durable`]), unless a write follows: the log keeps its order, so a
//! later commit becomes durable only after everything that was read before it.
//!
//! Data that one sync fails to write is not written by a later sync either
//! (<https://wiki.postgresql.org/wiki/Fsync_Errors>). After a failed sync no commit counts as
//! durable until the store has been reopened: then SQLite takes the valid part of the log from the
//! disk, and that is copied into the file before anything else.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use tokio::sync::watch;

use super::{
    Error, Result,
    crew::{Queue, Work},
};
use crate::{metrics::Metrics, proof};

/// The commit position and the durable position of the log, for the writer and the readers.
pub(super) struct Log {
    /// The number of the newest commit that was begun.
    begun: AtomicU64,
    synced: watch::Sender<Synced>,
    /// The queue of the writer thread, which is woken after each sync.
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Synced {
    /// The newest commit whose outcome is known.
    upto: u64,
    /// Why no commit counts as durable, after a failure.
    failed: Option<String>,
    /// How often the store was reopened.
    opened: u64,
}

/// The position up to which a reader may have read: the newest commit that it can have seen.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    commit: u64,
    opened: u64,
}

/// Tasks to complete when a commit has been synced.
struct Given {
    number: u64,
    log: Arc<File>,
    deeds: Vec<Box<dyn Work>>,
    /// The start of the transaction if the tasks are part of that commit. None if they were rolled
    /// back: their results may still depend on commits that they read.
    kept: Option<Instant>,
}

/// The handle of the sync thread.
pub(super) struct Syncer {
    log: Arc<Log>,
    given: Option<mpsc::Sender<Given>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    pub(super) fn new(queue: Arc<Queue>) -> Arc<Self> {
        Arc::new(Self { begun: AtomicU64::new(0), synced: watch::Sender::default(), queue })
    }

    /// Announces a commit: from now on readers may see it.
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// The number of the newest commit that was begun.
    pub(super) fn newest(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Whether the outcome of a commit is still unknown.
    pub(super) fn is_syncing(&self) -> bool {
        self.synced.borrow().upto < self.newest()
    }

    /// Waits on the writer thread until the outcome of every commit is known.
    pub(super) fn wait_until_synced(&self) {
        self.queue.wait_while(|| self.is_syncing());
    }

    /// Marks the store as failed: from now on no commit counts as durable.
    pub(super) fn fail(&self, why: String) {
        tracing::error!(error = why, "the store could not be synced; it is opened anew");
        self.synced.send_modify(|synced| synced.failed = Some(why));
    }

    /// Handles a failed WAL checkpoint. SQLite may count pages as copied that were not synced, so
    /// the store is marked as failed. Only if the disk is full, SQLite counts no page as copied:
    /// the log grows, and the next WAL checkpoint tries again.
    pub(super) fn not_moved(&self, error: &rusqlite::Error) {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            tracing::warn!(%error, "the log of the store cannot be moved into its file");
        } else {
            self.fail(error.to_string());
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.synced.borrow().failed.is_some()
    }

    /// Marks the store as reopened: everything in it is on stable storage.
    pub(super) fn is_whole(&self) {
        self.synced.send_modify(|synced| {
            synced.failed = None;
            synced.opened += 1;
        });
    }

    /// The position that a read may have seen. It must be taken while the connection is still held,
    /// so that the store cannot be reopened in between.
    pub(super) fn seen(&self) -> Seen {
        Seen { opened: self.synced.borrow().opened, commit: self.newest() }
    }

    /// Waits until the position is on stable storage. Fails with [`Error::Unanswered`] if that is
    /// not certain.
    pub(super) async fn durable(&self, seen: Seen) -> Result<()> {
        let known = |synced: &Synced| {
            seen.commit <= synced.upto || synced.failed.is_some() || seen.opened != synced.opened
        };
        let is_kept = |synced: &Synced| synced.failed.is_none() && seen.opened == synced.opened;
        if known(&self.synced.borrow()) {
            return is_kept(&self.synced.borrow()).then_some(()).ok_or_else(not_synced);
        }
        let mut synced = self.synced.subscribe();
        let synced = synced.wait_for(known).await.map_err(|_| Error::Closed)?;
        is_kept(&synced).then_some(()).ok_or_else(not_synced)
    }

    /// Syncs the log once for `first` and everything queued behind it, then completes their tasks.
    fn sync(&self, first: Given, given: &mpsc::Receiver<Given>, metrics: &Metrics) {
        let mut all = vec![first];
        all.extend(given.try_iter());
        let Some(last) = all.last() else { return };
        let upto = last.number;
        // This proof option breaks the promise of durability on purpose: a negative control.
        let is_due = !self.has_failed() && !proof::asks_for("synchronous_normal");
        if is_due && let Err(error) = last.log.sync_data() {
            self.fail(error.to_string());
        }
        let is_kept = !self.has_failed();
        self.synced.send_modify(|synced| synced.upto = upto);
        // The writer may commit the next transaction before the callers of this one get their
        // results.
        self.queue.wake();
        proof::crash_at("store.committed");
        for Given { deeds, kept, .. } in all {
            if let Some(begun) = kept.filter(|_| is_kept) {
                metrics.committed(deeds.len(), begun);
            }
            for deed in deeds {
                deed.tell((!is_kept).then(not_synced));
            }
        }
    }
}

fn not_synced() -> Error {
    Error::Unanswered("the disk did not take it".into())
}

impl Syncer {
    pub(super) fn start(log: Arc<Log>, metrics: Arc<Metrics>) -> Self {
        let (give, given) = mpsc::channel();
        let of_thread = log.clone();
        let thread = thread::spawn(move || {
            while let Ok(first) = given.recv() {
                of_thread.sync(first, &given, &metrics);
            }
        });
        Self { log, given: Some(give), thread: Some(thread) }
    }

    /// Queues a sync of the log up to commit `number`, and completes the tasks after it.
    pub(super) fn give(
        &self,
        number: u64,
        log: &Arc<File>,
        deeds: Vec<Box<dyn Work>>,
        kept: Option<Instant>,
    ) {
        let given = Given { number, log: log.clone(), deeds, kept };
        if self.given.as_ref().is_none_or(|to| to.send(given).is_err()) {
            self.log.fail("the thread that syncs has ended".into());
            self.log.synced.send_modify(|synced| synced.upto = number);
        }
    }

    /// Stops the thread after the syncs already queued.
    pub(super) fn end(&mut self) {
        self.given = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
