//! Threads that run queued tasks, each on its own connection.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::{oneshot, watch};

use super::{Error, Fail, Result, Tx};

/// A task in the queue of an executor thread: it is attempted, then its outcome is reported.
pub(super) trait Work: Send {
    /// Runs the task in `tx`. Returns whether it succeeded.
    fn attempt(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Whether the task failed with an error that a retry may resolve, such as a deadlock.
    fn is_transient(&self) -> bool;
    /// Reports the task's result to its caller, or `failed` if the transaction itself failed.
    fn tell(self: Box<Self>, failed: Option<Error>);
}

/// A handle to the executor threads; cheap to clone. They end when the last handle is dropped.
#[derive(Clone)]
pub(super) struct Crew(Arc<Owner>);

struct Owner {
    queue: Arc<Queue>,
    /// Each thread holds a receiver, so that the sender sees when the last thread has ended.
    alive: watch::Sender<()>,
}

/// The tasks that wait for a thread.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// The maximum number of tasks that a thread takes at a time.
    batch: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Box<dyn Work>>,
    closed: bool,
}

impl Crew {
    /// Starts a thread for each of `sessions`. The thread passes the tasks that it takes from
    /// `queue` to `work`, which must report an outcome for every one of them.
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

    /// Queues a task and waits for its outcome.
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

    /// The number of threads that still run.
    pub(super) fn count(&self) -> usize {
        self.0.alive.receiver_count()
    }

    /// Refuses further tasks and waits, for at most `at_most`, until the queued ones are done.
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
    /// A queue whose threads take up to `batch` tasks at a time.
    pub(super) fn new(batch: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), batch })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves queued tasks to `taken`, up to the batch limit. If none is queued, it waits for one as
    /// long as `worth` returns true. Returns false if no task was added: none came, the queue was
    /// closed, or `taken` is full.
    pub(super) fn take(&self, taken: &mut Vec<Box<dyn Work>>, worth: impl Fn() -> bool) -> bool {
        let mut state = self.state();
        while state.waiting.is_empty() && !state.closed && taken.len() < self.batch && worth() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let count = state.waiting.len().min(self.batch.saturating_sub(taken.len()));
        taken.extend(state.waiting.drain(..count));
        count > 0
    }

    /// Waits while `so` returns true. Code that changes its value must call [`Queue::wake`].
    pub(super) fn wait_while(&self, so: impl Fn() -> bool) {
        let mut state = self.state();
        while so() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes all waiting threads evaluate their conditions again.
    pub(super) fn wake(&self) {
        // The lock is taken and released so that a thread between its check and its wait is not
        // missed.
        drop(self.state());
        self.changed.notify_all();
    }

    fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }
}

/// A task and the channel to its caller.
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
        // A panic in a task must not end the thread.
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
