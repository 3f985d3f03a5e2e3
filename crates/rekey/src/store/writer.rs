//! Group commit: tasks that wait at the same time share one transaction with one sync, and their
//! callers get the results when it is on stable storage.
//!
//! When a task fails, the transaction is rolled back and each of its tasks runs again in a
//! transaction of its own, so that no task sees or spoils another task's partial work.

use std::time::Instant;

use super::{
    Error, Result,
    crew::{Queue, Work},
};
use crate::proof;

/// The maximum number of retries of a task in a transaction of its own, after transient errors.
const AGAIN: usize = 20;

/// A connection that runs transactions.
pub(super) trait Session {
    /// Whether tasks may join a transaction that has begun.
    const JOINED: bool;
    /// Begins a transaction. `shared` means that several tasks share it, so that none of them may
    /// wait long for a lock.
    fn begin(&mut self, shared: bool) -> Result<()>;
    /// Attempts a task in the transaction. Returns whether it succeeded.
    fn attempt(&mut self, work: &mut dyn Work) -> bool;
    /// Commits the transaction. [`Error::Unanswered`] means that the outcome is unknown.
    fn commit(&mut self) -> Result<()>;
    /// Completes the tasks as soon as all that they have read is on stable storage. `kept` is the
    /// start of the transaction if it was committed, and none if it was rolled back.
    fn tell(&mut self, deeds: Vec<Box<dyn Work>>, kept: Option<Instant>);
    /// Whether the sync of an earlier commit is under way. Until it ends, waiting for more tasks to
    /// join this transaction costs nothing.
    fn is_syncing(&self) -> bool {
        false
    }
    /// Rolls the transaction back.
    fn rollback(&mut self);
    /// Whether a transaction that began at `begun` has time for one more task. Later tasks get a
    /// transaction of their own.
    fn has_time(&self, begun: Instant) -> bool;
}

/// The outcome of a transaction.
enum End {
    /// It was committed; it began at this time.
    Kept(Instant),
    /// It could not begin, or its outcome is unknown: none of its tasks may be attempted again.
    Lost(Error),
    /// It was rolled back: because a task failed (none), or because the commit did (its error).
    Undone(Option<Error>),
}

/// Runs the tasks in `batch` durably and completes them. Tasks that arrive in `queue` meanwhile may
/// join their transaction.
pub(super) fn commit<S: Session>(session: &mut S, batch: &mut Vec<Box<dyn Work>>, queue: &Queue) {
    while !batch.is_empty() {
        // In a batch of several, a task that failed first may have failed because the transaction
        // was shared (its lock timeout is short): it is run again alone, too.
        let together = batch.len() > 1;
        let (count, end) = transact(session, batch, Some(queue));
        let later = batch.split_off(count);
        if (together || count > 1) && matches!(end, End::Undone(_)) {
            for work in batch.drain(..) {
                alone(session, work);
            }
        }
        finish(session, batch, end);
        *batch = later;
    }
}

/// Runs one task in a transaction of its own.
fn alone(session: &mut impl Session, work: Box<dyn Work>) {
    let mut batch = vec![work];
    let (_, end) = transact(session, &mut batch, None);
    finish(session, &mut batch, end);
}

/// Completes the tasks of a transaction. A task that was alone and failed with a transient error is
/// retried first.
fn finish(session: &mut impl Session, batch: &mut Vec<Box<dyn Work>>, mut end: End) {
    for _ in 0..AGAIN {
        if matches!(end, End::Undone(None)) && batch.iter().any(|work| work.is_transient()) {
            (_, end) = transact(session, batch, None);
        }
    }
    match end {
        End::Kept(begun) => session.tell(std::mem::take(batch), Some(begun)),
        End::Undone(None) => session.tell(std::mem::take(batch), None),
        End::Lost(error) | End::Undone(Some(error)) => {
            for work in batch.drain(..) {
                work.tell(Some(error.for_each()));
            }
        }
    }
}

/// Runs one transaction with the first tasks of `batch` and with tasks that arrive in `queue`, as
/// many as it has time for. Returns the number of tasks attempted, and the outcome.
fn transact<S: Session>(
    session: &mut S,
    batch: &mut Vec<Box<dyn Work>>,
    queue: Option<&Queue>,
) -> (usize, End) {
    let begun = Instant::now();
    if let Err(error) = session.begin(batch.len() > 1) {
        return (batch.len(), End::Lost(error));
    }
    let mut count = 0;
    loop {
        let Some(work) = batch.get_mut(count) else {
            let queue = queue.filter(|_| S::JOINED && session.has_time(begun));
            if queue.is_some_and(|queue| queue.take(batch, || session.is_syncing())) {
                continue;
            }
            break;
        };
        count += 1;
        if !session.attempt(work.as_mut()) {
            session.rollback();
            return (count, End::Undone(None));
        }
        if !session.has_time(begun) {
            break;
        }
    }
    proof::crash_at("store.before_commit");
    proof::crash_soon("store.commit_under_way");
    let end = match session.commit() {
        Ok(()) => End::Kept(begun),
        Err(error @ Error::Unanswered(_)) => End::Lost(error),
        Err(error) => {
            session.rollback();
            End::Undone(Some(error))
        }
    };
    (count, end)
}
