//! Claims jobs and executes them. A job may be executed twice; a worker whose claim was lost cannot
//! complete the job.

use std::{error::Error as StdError, time::Duration};

use serde_json::Map;
use tokio::{sync::watch, task::JoinSet};

use super::aggregate;
use crate::{
    App, Error,
    model::job::Job,
    source::aggregation::AGGREGATION,
    store::{Tx, is_lost},
};

/// Duration of a claim unless it is renewed.
pub const LEASE: Duration = Duration::from_mins(1);
/// Most jobs at once on this node. Most of them wait for a source and hold little memory meanwhile.
/// The memory that sources can make rekey use is this number times the limit of one job.
const AT_ONCE: usize = 16;
/// Pause between two polls of the queue when no job is due.
const POLL: Duration = Duration::from_millis(200);
/// Most attempts of a job. A further claim fails it, since none of the attempts has ended it.
const ATTEMPTS: i64 = 3;

/// Runs until `stop` is true. Jobs under way are aborted then: their leases expire, and another
/// node repeats them.
pub async fn run_jobs(app: App, mut stop: watch::Receiver<bool>) {
    let mut under_way = JoinSet::new();
    while !*stop.borrow() {
        while under_way.try_join_next().is_some() {}
        if under_way.len() < AT_ONCE {
            match claim(&app).await {
                Ok(Some(job)) => {
                    let app = app.clone();
                    under_way.spawn(async move { carry_out(&app, job).await });
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(error = &error as &dyn StdError, "no job can be claimed");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            changed = stop.changed() => if changed.is_err() { break },
        }
    }
    under_way.shutdown().await;
}

async fn claim(app: &App) -> Result<Option<Job>, crate::store::Error> {
    let node = app.node.clone();
    // A read comes first, so that polling an empty queue begins no write transaction.
    if !app.store.read_unsynced(move |tx: &mut Tx<'_>| tx.is_job_due(&node)).await? {
        return Ok(None);
    }
    let node = app.node.clone();
    app.store.write(move |tx| tx.claim_job(&node, LEASE)).await
}

/// Executes a job and ends it. After a failure on rekey's side the job stays claimed until its
/// lease expires, and is then repeated.
pub async fn carry_out(app: &App, job: Job) {
    let (mut counts, mut messages) = (Map::new(), Vec::new());
    let done = match job.kind.as_str() {
        _ if job.attempt > ATTEMPTS => Ok(Some("it was tried three times and never ended".into())),
        AGGREGATION => aggregate::run(app, &job, &mut counts, &mut messages).await,
        other => Ok(Some(format!("this build knows no job of kind {other}").into())),
    };
    let done = match done {
        // A repetition would be refused, too.
        Err(Error::Store(error)) if error.refuses_value() => {
            tracing::error!(job.id = %job.id, error = &error as &dyn StdError, "the store cannot hold a value");
            Ok(Some("the store cannot hold something that the source lists: what was read before it is kept, and none was removed; the log has the store's error, with this task's id".into()))
        }
        done => done,
    };
    let ended = match done {
        Ok(failure) => {
            let status = match (&failure, messages.is_empty()) {
                (Some(_), _) => "ERROR",
                (None, false) => "WARNING",
                (None, true) => "SUCCESS",
            };
            messages.extend(failure);
            let job = job.clone();
            let end = move |tx: &mut Tx<'_>| tx.end_job(&job, status, &messages, &counts);
            app.store.write(end).await.map_err(Error::from)
        }
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => {}
        Err(Error::Store(error)) if is_lost(&error) => {
            tracing::warn!(job.id = %job.id, "the claim was lost: another worker has it");
        }
        Err(error) => {
            tracing::error!(job.id = %job.id, error = &error as &dyn StdError, "a job broke");
        }
    }
}
