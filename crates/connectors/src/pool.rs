//! Connections to one target: opened when needed, signed in once, reused, bounded in number.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{Fault, FaultKind};

/// How long to wait for a free connection. Shorter than any call may take, so that it is this that
/// runs out, and not the time the source has to answer.
const FREE_WITHIN: Duration = Duration::from_secs(8);

/// How long a connection may be idle and be used again. Firewalls forget an idle connection after
/// some minutes without a word to either side: the next request on it would have no answer.
const IDLE: Duration = Duration::from_mins(1);

/// How one kind of target is reached.
pub(crate) trait Door: Send + Sync {
    /// What it opens. Dropped, it closes at once, and nothing that is still queued is sent.
    type Connection: Send;
    /// Said to the operator when no connection was free within [`FREE_WITHIN`].
    const BUSY: &'static str;

    /// Opens one, signed in with rekey's own account.
    fn open(&self) -> impl Future<Output = Result<Self::Connection, Fault>> + Send;

    /// Whether the other side has hung up.
    fn is_closed(connection: &mut Self::Connection) -> bool;
}

/// A door, and the connections that are idle.
pub(crate) struct Pool<D: Door> {
    pub(crate) door: D,
    /// Last in, first out: the one that worked most recently is used next.
    idle: Mutex<Vec<(Instant, D::Connection)>>,
    slots: Arc<Semaphore>,
}

/// A connection for one caller. Dropping it closes the connection; only [`Lease::give_back`] keeps
/// it for others.
pub(crate) struct Lease<D: Door> {
    pub(crate) connection: D::Connection,
    slot: OwnedSemaphorePermit,
    /// It may have died while nobody used it.
    pub(crate) is_reused: bool,
}

impl<D: Door> Pool<D> {
    /// `most` connections at once, idle ones included.
    pub(crate) fn new(door: D, most: usize) -> Self {
        Self { door, idle: Mutex::default(), slots: Arc::new(Semaphore::new(most)) }
    }

    /// One that is signed in.
    pub(crate) async fn take(&self) -> Result<Lease<D>, Fault> {
        let slot = self.slot().await?;
        let idle = self.idle().pop();
        match idle {
            Some((_, connection)) => Ok(Lease { connection, slot, is_reused: true }),
            None => Ok(Lease { connection: self.door.open().await?, slot, is_reused: false }),
        }
    }

    /// Replaces a broken connection by a new one; the idle ones are no better.
    pub(crate) async fn renew(&self, lease: Lease<D>) -> Result<Lease<D>, Fault> {
        let Lease { slot, .. } = lease;
        self.idle().clear();
        Ok(Lease { connection: self.door.open().await?, slot, is_reused: false })
    }

    /// The right to have one more connection open.
    pub(crate) async fn slot(&self) -> Result<OwnedSemaphorePermit, Fault> {
        match timeout(FREE_WITHIN, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Fault::new(FaultKind::Conflict, D::BUSY)),
        }
    }

    /// The idle connections and since when each is idle. Those that the other side has closed or
    /// that were idle for [`IDLE`] are dropped first.
    fn idle(&self) -> MutexGuard<'_, Vec<(Instant, D::Connection)>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(|(since, connection)| since.elapsed() < IDLE && !D::is_closed(connection));
        idle
    }
}

impl<D: Door> Lease<D> {
    /// Keeps the connection for the next caller; only for one that has answered all it was asked
    /// and is in no transaction.
    pub(crate) fn give_back(self, pool: &Pool<D>) {
        let Self { connection, slot, .. } = self;
        pool.idle().push((Instant::now(), connection));
        drop(slot);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts the connections that it opens and that are still open.
    #[derive(Default)]
    struct Counting {
        opened: AtomicUsize,
        open: Arc<()>,
    }

    impl Door for Counting {
        type Connection = Arc<()>;
        const BUSY: &'static str = "busy";

        async fn open(&self) -> Result<Arc<()>, Fault> {
            self.opened.fetch_add(1, Ordering::Relaxed);
            Ok(self.open.clone())
        }

        fn is_closed(_: &mut Arc<()>) -> bool {
            false
        }
    }

    impl Pool<Counting> {
        /// The numbers of connections that were opened and that are still open.
        fn counts(&self) -> (usize, usize) {
            (self.door.opened.load(Ordering::Relaxed), Arc::strong_count(&self.door.open) - 1)
        }

        /// Lets so much time pass for the idle connections.
        fn wait(&self, time: Duration) {
            for (since, _) in &mut *self.idle.lock().unwrap() {
                *since = since.checked_sub(time).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_idle_for_too_long_is_not_used_again() {
        let pool = Pool::new(Counting::default(), 4);
        pool.take().await.unwrap().give_back(&pool);
        pool.wait(IDLE / 2);
        let lease = pool.take().await.unwrap();
        assert!(lease.is_reused);
        lease.give_back(&pool);
        assert_eq!(pool.counts(), (1, 1));
        pool.wait(IDLE);
        let lease = pool.take().await.unwrap();
        assert!(!lease.is_reused);
        assert_eq!(pool.counts(), (2, 1), "the old one is closed");

        // A caller that gives a connection back closes those that nobody has taken for so long.
        pool.take().await.unwrap().give_back(&pool);
        assert_eq!(pool.counts(), (3, 2));
        pool.wait(IDLE);
        lease.give_back(&pool);
        assert_eq!(pool.counts(), (3, 1));
        assert!(pool.take().await.unwrap().is_reused);
    }

    #[tokio::test(start_paused = true)]
    async fn an_exhausted_pool_is_no_outage_of_its_source() {
        let pool = Pool::new(Counting::default(), 1);
        let held = pool.take().await.unwrap();
        let Err(fault) = pool.take().await else { panic!() };
        assert_eq!((fault.kind, fault.public()), (FaultKind::Conflict, Counting::BUSY));
        assert!(fault.is_transient() && !fault.is_outage());
        held.give_back(&pool);
        assert!(pool.take().await.is_ok());
    }
}
