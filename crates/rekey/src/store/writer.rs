//! Shared commits: deeds that wait together become one transaction with one sync, and are
//! answered when it is on stable storage.
//!
//! When a deed fails, the transaction is undone and each of its deeds is done again in one of
//! its own, so that no deed sees or spoils another's half work.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Error, Result, Tx, crew::Work};
use crate::{metrics::Metrics, proof};

/// How often a deed alone is done again at most, where the database asks for it.
const AGAIN: usize = 20;

/// A connection that transactions are done on.
pub(super) trait Session {
    /// Begins one; whether it is `shared` by several deeds, none of which may keep the others
    /// waiting.
    fn begin(&mut self, shared: bool) -> Result<()>;
    /// The way into it.
    fn tx(&mut self) -> Tx<'_>;
    /// Makes it durable; [`Error::Unanswered`] where that may have happened.
    fn commit(&mut self) -> Result<()>;
    /// Undoes it.
    fn rollback(&mut self);
    /// How long deeds are added to a transaction: what comes later has one of its own.
    fn patience(&self) -> Duration;
}

/// How a transaction ended.
enum End {
    /// It is on stable storage.
    Kept,
    /// It could not even begin, or whether it was kept is not known: none of its deeds may be done
    /// again.
    Lost(Error),
    /// It was undone, because of a deed or because of the commit.
    Undone(Option<Error>),
}

/// Does what is in a batch durably, tells it, and counts it.
pub(super) fn counted<S: Session>(
    metrics: &Arc<Metrics>,
) -> impl Fn(&mut S, &mut Vec<Box<dyn Work>>) + Clone + Send + use<S> {
    let metrics = metrics.clone();
    move |session, batch| {
        let (deeds, since) = (batch.len(), Instant::now());
        commit(session, batch);
        metrics.committed(deeds, since);
    }
}

/// Does what is in `batch` durably, and tells it.
fn commit(session: &mut impl Session, batch: &mut Vec<Box<dyn Work>>) {
    while !batch.is_empty() {
        let shared = batch.len() > 1;
        let (count, end) = transact(session, batch, shared);
        let later = batch.split_off(count);
        if shared && matches!(end, End::Undone(_)) {
            for work in batch.drain(..) {
                commit(session, &mut vec![work]);
            }
        }
        finish(session, batch, end);
        *batch = later;
    }
}

/// Tells those who took part in a transaction; one that was alone may be tried again before.
fn finish(session: &mut impl Session, batch: &mut Vec<Box<dyn Work>>, mut end: End) {
    for _ in 0..AGAIN {
        if matches!(end, End::Undone(None)) && batch.iter().any(|work| work.is_transient()) {
            (_, end) = transact(session, batch, false);
        }
    }
    for work in batch.drain(..) {
        work.tell(match &end {
            End::Kept | End::Undone(None) => None,
            End::Lost(error) | End::Undone(Some(error)) => Some(error.for_each()),
        });
    }
}

/// One transaction with the first of `batch`, as many as it has time for; how many that were.
fn transact(session: &mut impl Session, batch: &mut [Box<dyn Work>], shared: bool) -> (usize, End) {
    if let Err(error) = session.begin(shared) {
        return (batch.len(), End::Lost(error));
    }
    let (begun, patience) = (Instant::now(), session.patience());
    let mut count = 0;
    for work in batch {
        count += 1;
        if !work.attempt(&mut session.tx()) {
            session.rollback();
            return (count, End::Undone(None));
        }
        if begun.elapsed() > patience {
            break;
        }
    }
    proof::crash_at("store.before_commit");
    proof::crash_soon("store.commit_under_way");
    let committed = session.commit();
    proof::crash_at("store.committed");
    let end = match committed {
        Ok(()) => End::Kept,
        Err(error @ Error::Unanswered(_)) => End::Lost(error),
        Err(error) => {
            session.rollback();
            End::Undone(Some(error))
        }
    };
    (count, end)
}
