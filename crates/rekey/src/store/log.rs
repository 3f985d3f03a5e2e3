//! SQLite's write-ahead log, synced by a thread of its own: while one transaction is on its way to
//! the disk, the deeds of the next one are done.
//!
//! What was committed can be read before it is on stable storage. So who reads waits for that
//! ([`Log::durable`]), unless a write follows: the log keeps its order, and with what was written
//! later comes what was read before.
//!
//! What a sync fails to write, no later sync writes either
//! (<https://wiki.postgresql.org/wiki/Fsync_Errors>). So nothing counts as kept any more once a sync
//! has failed, until the store was opened anew: then SQLite takes from the log what is whole, and
//! that is written into the file before anything else.

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

/// How far the log is, for who writes and for who reads.
pub(super) struct Log {
    /// The number of the newest commit that was begun.
    begun: AtomicU64,
    synced: watch::Sender<Synced>,
    /// Of the thread that writes.
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Synced {
    /// The newest commit of which is known what became of it.
    upto: u64,
    /// Why nothing counts as kept.
    failed: Option<String>,
    /// How often the store was opened anew.
    opened: u64,
}

/// What a reader saw: at most this.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    commit: u64,
    opened: u64,
}

/// Deeds that are told when a commit was synced.
struct Given {
    number: u64,
    log: Arc<File>,
    deeds: Vec<Box<dyn Work>>,
    /// When the transaction began, if they are in that commit; else they were undone, but may tell of
    /// what they saw of it.
    kept: Option<Instant>,
}

/// The thread that syncs.
pub(super) struct Syncer {
    log: Arc<Log>,
    given: Option<mpsc::Sender<Given>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    pub(super) fn new(queue: Arc<Queue>) -> Arc<Self> {
        Arc::new(Self { begun: AtomicU64::new(0), synced: watch::Sender::default(), queue })
    }

    /// A commit begins: from now on it may be read.
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// The number of the newest commit that was begun.
    pub(super) fn newest(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Whether there is a commit of which is not known yet what became of it.
    pub(super) fn is_syncing(&self) -> bool {
        self.synced.borrow().upto < self.newest()
    }

    /// Waits until there is none, on the thread that writes.
    pub(super) fn wait_until_synced(&self) {
        self.queue.wait_while(|| self.is_syncing());
    }

    /// Nothing counts as kept from now on.
    pub(super) fn fail(&self, why: String) {
        tracing::error!(error = why, "the store could not be synced; it is opened anew");
        self.synced.send_modify(|synced| synced.failed = Some(why));
    }

    /// The log could not be moved into the file. A part that was moved, but not synced, may count as
    /// moved. Only where there is no room for it, SQLite counts nothing: then the log grows.
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

    /// The store was opened anew: what is in it is on stable storage.
    pub(super) fn is_whole(&self) {
        self.synced.send_modify(|synced| {
            synced.failed = None;
            synced.opened += 1;
        });
    }

    /// What who has just read may have seen. Taken while the reader is still held.
    pub(super) fn seen(&self) -> Seen {
        Seen { opened: self.synced.borrow().opened, commit: self.newest() }
    }

    /// Waits until what was seen is on stable storage.
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

    /// Syncs what was given, as much as waits at once, and tells it.
    fn sync(&self, first: Given, given: &mpsc::Receiver<Given>, metrics: &Metrics) {
        let mut all = vec![first];
        all.extend(given.try_iter());
        let Some(last) = all.last() else { return };
        let upto = last.number;
        // A store that promises what it does not keep, so that a proof can be seen to fail.
        let is_due = !self.has_failed() && !proof::asks_for("synchronous_normal");
        if is_due && let Err(error) = last.log.sync_data() {
            self.fail(error.to_string());
        }
        let is_kept = !self.has_failed();
        self.synced.send_modify(|synced| synced.upto = upto);
        // The next one may be committed before these are told.
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

    /// Has the log synced up to this commit, and the deeds told then.
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

    /// Ends it after what it was given.
    pub(super) fn end(&mut self) {
        self.given = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
