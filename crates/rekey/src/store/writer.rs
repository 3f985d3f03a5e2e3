//! Shared commits: deeds that wait together become one transaction with one sync, and are
//! answered when it is on stable storage.
//!
//! When a deed fails, the transaction is undone and each of its deeds is done again in one of
//! its own, so that no deed sees or spoils another's half work.

use std::time::Instant;

use super::{
    Error, Result,
    crew::{Queue, Work},
};
use crate::proof;

/// How often a deed alone is done again at most, where the database asks for it.
const AGAIN: usize = 20;

/// A connection that transactions are done on.
pub(super) trait Session {
    /// Whether deeds may join a transaction that has begun.
    const JOINED: bool;
    /// Begins one; whether it is `shared` by several deeds, none of which may keep the others
    /// waiting.
    fn begin(&mut self, shared: bool) -> Result<()>;
    /// Tries a deed in it; whether that succeeded.
    fn attempt(&mut self, work: &mut dyn Work) -> bool;
    /// Keeps it; [`Error::Unanswered`] where that may have happened.
    fn commit(&mut self) -> Result<()>;
    /// Tells them as soon as what they know is on stable storage: that their transaction, begun then,
    /// was `kept`, or only what they saw before it was undone.
    fn tell(&mut self, deeds: Vec<Box<dyn Work>>, kept: Option<Instant>);
    /// Whether an earlier transaction is still on its way to stable storage: until it is there, it
    /// is worth waiting for more deeds to join this one.
    fn is_syncing(&self) -> bool {
        false
    }
    /// Undoes it.
    fn rollback(&mut self);
    /// Whether there is time for one more deed in a transaction that was `begun` then: what comes
    /// later has one of its own.
    fn has_time(&self, begun: Instant) -> bool;
}

/// How a transaction ended.
enum End {
    /// It was kept.
    Kept(Instant),
    /// It could not even begin, or whether it was kept is not known: none of its deeds may be done
    /// again.
    Lost(Error),
    /// It was undone, because of a deed or because of the commit.
    Undone(Option<Error>),
}

/// Does what is in `batch` durably, and tells it; what comes to `queue` meanwhile may join it.
pub(super) fn commit<S: Session>(session: &mut S, batch: &mut Vec<Box<dyn Work>>, queue: &Queue) {
    while !batch.is_empty() {
        // What began together is not done alone, even where the first of it failed.
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

/// Does one in a transaction of its own.
fn alone(session: &mut impl Session, work: Box<dyn Work>) {
    let mut batch = vec![work];
    let (_, end) = transact(session, &mut batch, None);
    finish(session, &mut batch, end);
}

/// Tells those who took part in a transaction; one that was alone may be tried again before.
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

/// One transaction with the first of `batch`, and with what comes to `queue`, as many as it has time
/// for; how many that were.
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
