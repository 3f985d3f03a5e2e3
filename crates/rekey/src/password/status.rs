//! The status of a password change, for the callers that may read it.

use std::time::Duration;

use crate::{
    App, Error,
    access::Caller,
    model::{
        change::State,
        id::{ChangeId, SourceId},
        level::Level,
    },
    waiters::Waiter,
};

/// The status of a password change.
#[derive(Clone, Debug)]
pub struct Status {
    /// The id of the change, `requestId` on the wire.
    pub id: ChangeId,
    /// The state of the change.
    pub state: State,
    /// One line for each target that failed or rule that was not met, beginning with the source's
    /// name.
    pub errors: Vec<String>,
    /// Every source of the change.
    pub source_ids: Vec<SourceId>,
}

/// Returns the status to the person whose password is changed, to the requester, to administrators,
/// to the help desk and to API clients. For any other caller the change does not exist.
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

/// Waits at most `patience` until a change has ended, and returns its state then. If `waiter` is
/// given, it must have been registered before the change was accepted, so that it cannot have
/// missed the end.
pub async fn wait(
    app: &App,
    id: &ChangeId,
    waiter: Option<Waiter<'_>>,
    patience: Duration,
) -> Result<State, Error> {
    let mut may_have_ended = waiter.is_none();
    let mut waiter = waiter.unwrap_or_else(|| app.waiters.register(id));
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
            // Another node may end the change, and nodes do not notify each other.
            match tokio::time::timeout(POLL, waiter.ended()).await {
                Ok(state) => return Ok(state),
                Err(_) => may_have_ended = true,
            }
        }
    };
    tokio::time::timeout(patience, look).await.unwrap_or(Ok(State::InProgress))
}

/// Interval of reading the state of a change that another node may end.
const POLL: Duration = Duration::from_millis(100);
