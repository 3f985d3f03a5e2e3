//! Where a password change stands, and who may know.

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
