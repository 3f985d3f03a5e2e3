//! The requests on this node that wait for the end of a change.

use std::{collections::HashMap, sync::Mutex};

use tokio::sync::watch;

use crate::model::{change::State, id::ChangeId};

/// The waiting requests, by change.
#[derive(Default)]
pub struct Waiters(Mutex<HashMap<ChangeId, watch::Sender<State>>>);

/// A waiting request; it stops waiting when dropped.
pub struct Waiter<'a> {
    waiters: &'a Waiters,
    /// The change that it waits for.
    pub id: ChangeId,
    state: watch::Receiver<State>,
}

impl Waiters {
    /// Reports the end of a change to the requests that wait for it.
    pub fn notify(&self, id: &ChangeId, state: State) {
        if let Ok(waiting) = self.0.lock()
            && let Some(waiters) = waiting.get(id)
        {
            waiters.send_replace(state);
        }
    }

    /// Adds a request that waits for this change.
    pub fn register(&self, id: &ChangeId) -> Waiter<'_> {
        let new = || watch::Sender::new(State::InProgress);
        let state = match self.0.lock() {
            Ok(mut waiting) => waiting.entry(id.clone()).or_insert_with(new).subscribe(),
            Err(_) => new().subscribe(),
        };
        Waiter { waiters: self, id: id.clone(), state }
    }
}

impl Waiter<'_> {
    /// Waits for the end of the change on this node, and returns its final state.
    pub async fn ended(&mut self) -> State {
        let ended = self.state.wait_for(|state| *state != State::InProgress).await;
        match ended.map(|state| *state) {
            Ok(state) => state,
            // The sender is gone, so no end can be reported.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let nothing = watch::Sender::new(State::InProgress).subscribe();
        let state = std::mem::replace(&mut self.state, nothing);
        if let Ok(mut waiting) = self.waiters.0.lock() {
            // The receiver is dropped under the lock, so that the last one observes a count of 0.
            drop(state);
            if waiting.get(&self.id).is_some_and(|waiters| waiters.receiver_count() == 0) {
                waiting.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn nothing_is_left_when_nobody_waits() {
        let waiting = Waiters::default();
        let id = ChangeId("1".into());
        for _ in 0..1000 {
            let two = [waiting.register(&id), waiting.register(&id)];
            thread::scope(|scope| {
                for waiter in two {
                    scope.spawn(move || drop(waiter));
                }
            });
            assert!(waiting.0.lock().unwrap().is_empty());
        }
    }
}
