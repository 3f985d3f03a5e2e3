//! The loop that claims jobs and carries them out. A job may run twice; one whose claim was lost
//! can finish nothing.

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

/// How long a claim lasts unless it is renewed.
pub const LEASE: Duration = Duration::from_mins(1);
/// Jobs at once on this node. Most of them wait for what a source lists, and hold little meanwhile;
/// what each may hold at most times their number is what sources can make rekey use.
const AT_ONCE: usize = 16;
/// How often to look when nothing wakes the loop.
const POLL: Duration = Duration::from_millis(200);
/// A job that took a node with it this often has failed.
const ATTEMPTS: i64 = 3;

/// Runs until `stop` says so; a job under way is left to its lease.
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
            _ = stop.changed() => {}
        }
    }
    under_way.shutdown().await;
}

async fn claim(app: &App) -> Result<Option<Job>, crate::store::Error> {
    let node = app.node.clone();
    if !app.store.glance(move |tx: &mut Tx<'_>| tx.is_job_due(&node)).await? {
        return Ok(None);
    }
    let node = app.node.clone();
    app.store.write(move |tx| tx.claim_job(&node, LEASE)).await
}

/// Carries a job out and ends it. What fails on rekey's side is left to the lease.
pub async fn carry_out(app: &App, job: Job) {
    let (mut counts, mut messages) = (Map::new(), Vec::new());
    let done = match job.kind.as_str() {
        _ if job.attempt > ATTEMPTS => Ok(Some("it was tried three times and never ended".into())),
        AGGREGATION => aggregate::run(app, &job, &mut counts, &mut messages).await,
        other => Ok(Some(format!("this build knows no job of kind {other}").into())),
    };
    let done = match done {
        // It would be refused again.
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
