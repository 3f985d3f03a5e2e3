//! Connections to one target: opened when needed, signed in once, reused, bounded in number.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{Fault, FaultKind, net::OPERATION};

/// How one kind of target is reached.
pub(crate) trait Door: Send + Sync {
    /// What it opens. Dropped, it closes at once, and nothing that is still queued is sent.
    type Connection: Send;
    /// Said to the operator when no connection was free for [`OPERATION`].
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
    idle: Mutex<Vec<D::Connection>>,
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
        let idle = {
            let mut idle = self.idle();
            idle.retain_mut(|connection| !D::is_closed(connection));
            idle.pop()
        };
        match idle {
            Some(connection) => Ok(Lease { connection, slot, is_reused: true }),
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
        match timeout(OPERATION, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Fault::new(FaultKind::Throttled, D::BUSY)),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<D::Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Door> Lease<D> {
    /// Keeps the connection for the next caller; only for one that has answered all it was asked
    /// and is in no transaction.
    pub(crate) fn give_back(self, pool: &Pool<D>) {
        let Self { connection, slot, .. } = self;
        pool.idle().push(connection);
        drop(slot);
    }
}
