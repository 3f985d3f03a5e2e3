//! Threads that do what waits, each with a connection of its own.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::{oneshot, watch};

use super::{Error, Fail, Result, Tx};

/// What waits for a thread: it is tried, then told.
pub(super) trait Work: Send {
    /// Does it; whether it succeeded.
    fn attempt(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Whether it failed for a reason that may be gone at once.
    fn is_transient(&self) -> bool;
    /// Tells the outcome to who waits, or `failed` when that came to nothing.
    fn tell(self: Box<Self>, failed: Option<Error>);
}

/// The way to the threads; cheap to clone. When the last one is dropped they end.
#[derive(Clone)]
pub(super) struct Crew(Arc<Owner>);

struct Owner {
    queue: Arc<Queue>,
    /// Every thread holds a receiver of it.
    alive: watch::Sender<()>,
}

/// What waits for a thread.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// Works taken at a time, at most.
    batch: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Box<dyn Work>>,
    closed: bool,
}

impl Crew {
    /// Starts a thread for each of `sessions`. It does with it what it takes from `queue`, and must
    /// leave nothing untold.
    pub(super) fn start<S: Send + 'static>(
        queue: Arc<Queue>,
        sessions: impl IntoIterator<Item = S>,
        work: impl Fn(&mut S, &mut Vec<Box<dyn Work>>, &Queue) + Clone + Send + 'static,
    ) -> Self {
        let owner = Owner { queue, alive: watch::Sender::new(()) };
        for mut session in sessions {
            let (queue, alive) = (owner.queue.clone(), owner.alive.subscribe());
            let work = work.clone();
            thread::spawn(move || {
                let mut taken = Vec::with_capacity(queue.batch);
                while queue.take(&mut taken, || true) {
                    work(&mut session, &mut taken, &queue);
                }
                drop(session);
                drop(alive);
            });
        }
        Self(Arc::new(owner))
    }

    /// Has a deed done, and waits for what became of it.
    pub(super) async fn told<T, E, F>(&self, deed: F) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Fail + Send + 'static,
        F: FnMut(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        self.send(Box::new(Deed { run: deed, done: None, tell }))?;
        told.await.map_err(|_| Error::Closed)?
    }

    fn send(&self, work: Box<dyn Work>) -> Result<()> {
        let mut state = self.0.queue.state();
        if state.closed {
            return Err(Error::Closed);
        }
        state.waiting.push_back(work);
        drop(state);
        self.0.queue.changed.notify_one();
        Ok(())
    }

    /// How many threads there are.
    pub(super) fn count(&self) -> usize {
        self.0.alive.receiver_count()
    }

    /// Takes no more, and waits until what was sent before is done.
    pub(super) async fn close(&self, at_most: Duration) {
        self.0.queue.close();
        let _ = tokio::time::timeout(at_most, self.0.alive.closed()).await;
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Queue {
    /// One whose threads take up to `batch` works at a time.
    pub(super) fn new(batch: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), batch })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what waits to `taken`. If nothing does, it waits for something to come, while that is
    /// `worth` it; false when nothing came, or no more can be taken.
    pub(super) fn take(&self, taken: &mut Vec<Box<dyn Work>>, worth: impl Fn() -> bool) -> bool {
        let mut state = self.state();
        while state.waiting.is_empty() && !state.closed && taken.len() < self.batch && worth() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let count = state.waiting.len().min(self.batch.saturating_sub(taken.len()));
        taken.extend(state.waiting.drain(..count));
        count > 0
    }

    /// Waits as long as `so` it is; who ends it says so with [`Queue::wake`].
    pub(super) fn wait_while(&self, so: impl Fn() -> bool) {
        let mut state = self.state();
        while so() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Has those who wait look again.
    pub(super) fn wake(&self) {
        drop(self.state());
        self.changed.notify_all();
    }

    fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }
}

/// A deed, and who waits for it.
struct Deed<T, E, F> {
    run: F,
    done: Option<std::result::Result<T, E>>,
    tell: oneshot::Sender<std::result::Result<T, E>>,
}

impl<T, E, F> Work for Deed<T, E, F>
where
    T: Send,
    E: Fail + Send,
    F: FnMut(&mut Tx<'_>) -> std::result::Result<T, E> + Send,
{
    fn attempt(&mut self, tx: &mut Tx<'_>) -> bool {
        self.done = None;
        // A deed that panics must not take the thread with it.
        self.done = catch_unwind(AssertUnwindSafe(|| (self.run)(tx))).ok();
        matches!(self.done, Some(Ok(_)))
    }

    fn is_transient(&self) -> bool {
        let Some(Err(error)) = &self.done else { return false };
        error.store().is_some_and(Error::is_transient)
    }

    fn tell(self: Box<Self>, failed: Option<Error>) {
        let Self { done, tell, .. } = *self;
        let done =
            failed.map_or_else(|| done.unwrap_or(Err(Error::Closed.into())), |e| Err(e.into()));
        let _ = tell.send(done);
    }
}
