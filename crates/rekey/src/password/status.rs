//! Where a password change stands, and who may know.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use tokio::sync::watch;

use super::State;
use crate::{
    App, Error,
    access::{Caller, Level},
    id::{ChangeId, SourceId},
};

/// What the status says.
#[derive(Clone, Debug)]
pub struct Status {
    /// The request's name.
    pub id: ChangeId,
    /// Where it stands.
    pub state: State,
    /// One line per target or rule that was not met, each beginning with the source's name.
    pub errors: Vec<String>,
    /// Every source it is for.
    pub source_ids: Vec<SourceId>,
}

/// The status, for the person it is about, who asked for it, an administrator, the help desk or
/// an API client; for anyone else it does not exist.
pub async fn status(app: &App, caller: &Caller, id: ChangeId) -> Result<Status, Error> {
    let caller = caller.clone();
    app.store
        .read(move |tx| {
            let change = if caller.is_api_authority()
                || caller.has_level(&[Level::Helpdesk, Level::OrgAdmin])
            {
                tx.change_status(&id)?
            } else {
                tx.own_change_status(&id, caller.principal())?
            };
            let change = change.ok_or(Error::NotFound("password change"))?;
            Ok(Status {
                state: change.state,
                errors: change.errors.0,
                source_ids: tx.change_source_ids(&id)?,
                id: change.id,
            })
        })
        .await
}

/// Waits until a change has ended, at most `patience`; where it stands then. `waiter` is one who
/// waits since before it was accepted, if there is one.
pub async fn wait(
    app: &App,
    id: &ChangeId,
    waiter: Option<Waiter<'_>>,
    patience: Duration,
) -> Result<State, Error> {
    let mut may_have_ended = waiter.is_none();
    let mut waiter = waiter.unwrap_or_else(|| app.waiting.register(id));
    let look = async {
        loop {
            if may_have_ended {
                let looked = id.clone();
                let status = app.store.read(move |tx| tx.change_status(&looked)).await?;
                let state = status.ok_or(Error::NotFound("password change"))?.state;
                if state != State::InProgress {
                    return Ok(state);
                }
            }
            // Another node may end it, and cannot tell this one.
            match tokio::time::timeout(POLL, waiter.ended()).await {
                Ok(state) => return Ok(state),
                Err(_) => may_have_ended = true,
            }
        }
    };
    tokio::time::timeout(patience, look).await.unwrap_or(Ok(State::InProgress))
}

/// How often to look at a change that another node may end.
const POLL: Duration = Duration::from_millis(100);

/// Who on this node waits for the end of which change.
#[derive(Default)]
pub struct Waiting(Mutex<HashMap<ChangeId, watch::Sender<State>>>);

/// One who waits; dropped, it no longer does.
pub struct Waiter<'a> {
    waiting: &'a Waiting,
    /// For which change.
    pub id: ChangeId,
    state: watch::Receiver<State>,
}

impl Waiting {
    /// Tells those who wait for this change how it has ended.
    pub fn tell(&self, id: &ChangeId, state: State) {
        if let Ok(waiting) = self.0.lock()
            && let Some(waiters) = waiting.get(id)
        {
            waiters.send_replace(state);
        }
    }

    /// Waits for this change from now on.
    pub fn register(&self, id: &ChangeId) -> Waiter<'_> {
        let new = || watch::Sender::new(State::InProgress);
        let state = match self.0.lock() {
            Ok(mut waiting) => waiting.entry(id.clone()).or_insert_with(new).subscribe(),
            Err(_) => new().subscribe(),
        };
        Waiter { waiting: self, id: id.clone(), state }
    }
}

impl Waiter<'_> {
    /// How it has ended on this node.
    async fn ended(&mut self) -> State {
        let ended = self.state.wait_for(|state| *state != State::InProgress).await;
        match ended.map(|state| *state) {
            Ok(state) => state,
            // Nobody is left who could tell.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let nothing = watch::Sender::new(State::InProgress).subscribe();
        let state = std::mem::replace(&mut self.state, nothing);
        if let Ok(mut waiting) = self.waiting.0.lock() {
            // It goes under the lock, so that the last one knows that it is.
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
        let waiting = Waiting::default();
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
