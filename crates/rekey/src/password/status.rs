//! Where a password change stands, and who may know.

use std::time::Duration;

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
            let change = tx.change_status(&id)?.filter(|change| {
                caller.is_api_authority()
                    || caller.is(&change.identity_id)
                    || change.caller == caller.principal()
                    || caller.has_level(&[Level::Helpdesk, Level::OrgAdmin])
            });
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
    let look = async {
        let mut pause = Duration::from_millis(2);
        loop {
            let looked = id.clone();
            let status = app
                .store
                .read(move |tx| tx.change_status(&looked))
                .await?
                .ok_or(Error::NotFound("password change"))?;
            let state = State::of(status.state);
            if state != State::InProgress {
                return Ok(state);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    };
    tokio::time::timeout(patience, look).await.unwrap_or(Ok(State::InProgress))
}
