//! Where a password change stands, and who may know.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::Notify;

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
                state: State::of(change.state),
                errors: change.errors.0,
                source_ids: tx.change_source_ids(&id)?,
                id: change.id,
            })
        })
        .await
}

/// Waits until a change has ended, at most `patience`; where it stands then.
pub async fn wait(app: &App, id: &ChangeId, patience: Duration) -> Result<State, Error> {
    let waiter = app.waiting.register(id);
    let look = async {
        loop {
            let told = waiter.ended.notified();
            let looked = id.clone();
            let status = app.store.read(move |tx| tx.change_status(&looked)).await?;
            let state = State::of(status.ok_or(Error::NotFound("password change"))?.state);
            if state != State::InProgress {
                return Ok(state);
            }
            // Another node may end it, and cannot tell this one.
            let _ = tokio::time::timeout(POLL, told).await;
        }
    };
    tokio::time::timeout(patience, look).await.unwrap_or(Ok(State::InProgress))
}

/// How often to look at a change that another node may end.
const POLL: Duration = Duration::from_millis(100);

/// Who on this node waits for the end of which change.
#[derive(Default)]
pub struct Waiting(Mutex<HashMap<ChangeId, Waiters>>);

struct Waiters {
    count: usize,
    ended: Arc<Notify>,
}

/// One who waits; dropped, it no longer does.
struct Waiter<'a> {
    waiting: &'a Waiting,
    id: ChangeId,
    ended: Arc<Notify>,
}

impl Waiting {
    /// Tells those who wait for this change that it may have ended.
    pub fn tell(&self, id: &ChangeId) {
        if let Ok(waiting) = self.0.lock()
            && let Some(waiters) = waiting.get(id)
        {
            waiters.ended.notify_waiters();
        }
    }

    fn register(&self, id: &ChangeId) -> Waiter<'_> {
        let mut ended = Arc::default();
        if let Ok(mut waiting) = self.0.lock() {
            let waiters = waiting
                .entry(id.clone())
                .or_insert_with(|| Waiters { count: 0, ended: Arc::default() });
            waiters.count += 1;
            ended = waiters.ended.clone();
        }
        Waiter { waiting: self, id: id.clone(), ended }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if let Ok(mut waiting) = self.waiting.0.lock()
            && let Some(waiters) = waiting.get_mut(&self.id)
        {
            waiters.count -= 1;
            if waiters.count == 0 {
                waiting.remove(&self.id);
            }
        }
    }
}
