//! Reads tasks: the jobs about sources.

use super::seen;
use crate::{
    App, Error,
    access::Caller,
    model::{
        id::JobId,
        job::{Job, Message},
    },
    store::{Asked, Listing, Page},
};

/// Lists the tasks that a caller may see: those about the sources that they may see.
pub async fn tasks(app: &App, caller: &Caller, asked: &Asked) -> Result<Page<Job>, Error> {
    let mut listing = Listing::of_jobs(asked)?;
    if let Some(owner) = caller.only_own_sources() {
        listing = listing.only_owned(owner);
    }
    let (jobs, count) =
        app.store.list(caller.principal(), move |tx| tx.jobs_page(&listing)).await?;
    Ok((jobs.into_iter().map(|job| shown(job, caller)).collect(), count))
}

/// Returns a task, if the caller may see it.
pub async fn task(app: &App, caller: &Caller, id: JobId) -> Result<Job, Error> {
    let caller = caller.clone();
    app.store
        .read(move |tx| {
            let job = tx.job(&id)?.ok_or(Error::NotFound("task"))?;
            match &job.source_id {
                _ if caller.only_own_sources().is_none() => {}
                Some(source) => {
                    seen(tx, &caller, source).map_err(|_| Error::NotFound("task"))?;
                }
                None => return Err(Error::NotFound("task")),
            }
            Ok(shown(job, &caller))
        })
        .await
}

/// Returns a task without the endpoints in its messages if the caller may not know them.
fn shown(mut job: Job, caller: &Caller) -> Job {
    if !caller.may_know_endpoints() {
        job.messages.0 = job.messages.0.into_iter().map(Message::into_public).collect();
    }
    job
}
