//! A pool of connections to one target: opened on demand, signed in once, reused, bounded in
//! number.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{Fault, FaultKind};

/// The time to wait for a free connection. It is shorter than the time limit of any call, so that
/// an exhausted pool is not mistaken for a source that does not answer.
const FREE_WITHIN: Duration = Duration::from_secs(8);

/// The time for which an idle connection stays usable. Firewalls drop the state of a connection
/// after some minutes without traffic: a later request on it would get no answer.
const IDLE: Duration = Duration::from_mins(1);

/// Opens connections to one kind of target.
pub(crate) trait Door: Send + Sync {
    /// An open connection. Dropping it closes it at once, and queued requests are not sent.
    type Connection: Send;
    /// The message for the operator if no connection was free within [`FREE_WITHIN`].
    const BUSY: &'static str;

    /// Opens a connection that is signed in with rekey's own account.
    fn open(&self) -> impl Future<Output = Result<Self::Connection, Fault>> + Send;

    /// Whether the other side has closed the connection.
    fn is_closed(connection: &mut Self::Connection) -> bool;
}

/// A `Door` and its idle connections.
pub(crate) struct Pool<D: Door> {
    pub(crate) door: D,
    /// A stack: the connection that was used most recently is used next.
    idle: Mutex<Vec<(Instant, D::Connection)>>,
    slots: Arc<Semaphore>,
}

/// A connection for one caller. Dropping the lease closes the connection; only [`Lease::give_back`]
/// keeps it for others.
pub(crate) struct Lease<D: Door> {
    pub(crate) connection: D::Connection,
    slot: OwnedSemaphorePermit,
    /// Whether it comes from the idle connections: the server may have closed it since its last
    /// use.
    pub(crate) is_reused: bool,
}

impl<D: Door> Pool<D> {
    /// A pool of at most `most` connections, idle ones included.
    pub(crate) fn new(door: D, most: usize) -> Self {
        Self { door, idle: Mutex::default(), slots: Arc::new(Semaphore::new(most)) }
    }

    /// Returns a signed-in connection: an idle one, or a new one if none is idle.
    pub(crate) async fn take(&self) -> Result<Lease<D>, Fault> {
        let slot = self.slot().await?;
        let idle = self.idle().pop();
        match idle {
            Some((_, connection)) => Ok(Lease { connection, slot, is_reused: true }),
            None => Ok(Lease { connection: self.door.open().await?, slot, is_reused: false }),
        }
    }

    /// Replaces a broken connection by a new one, and closes the idle ones, which are probably
    /// broken as well.
    pub(crate) async fn renew(&self, lease: Lease<D>) -> Result<Lease<D>, Fault> {
        let Lease { slot, .. } = lease;
        self.idle().clear();
        Ok(Lease { connection: self.door.open().await?, slot, is_reused: false })
    }

    /// Reserves the right to have one more connection open.
    pub(crate) async fn slot(&self) -> Result<OwnedSemaphorePermit, Fault> {
        match timeout(FREE_WITHIN, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Fault::new(FaultKind::Conflict, D::BUSY)),
        }
    }

    /// The idle connections, each with the time at which it became idle. First drops those that the
    /// other side has closed or that were idle for [`IDLE`].
    fn idle(&self) -> MutexGuard<'_, Vec<(Instant, D::Connection)>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(|(since, connection)| since.elapsed() < IDLE && !D::is_closed(connection));
        idle
    }
}

impl<D: Door> Lease<D> {
    /// Returns the connection to the pool. It must have received every answer, and be in no
    /// transaction.
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

    /// Counts the connections that were opened and those that are still open.
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
        /// The number of connections that were opened, and the number that are still open.
        fn counts(&self) -> (usize, usize) {
            (self.door.opened.load(Ordering::Relaxed), Arc::strong_count(&self.door.open) - 1)
        }

        /// Makes every idle connection older by `time`.
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

        // Returning a connection closes those that have been idle for too long.
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
