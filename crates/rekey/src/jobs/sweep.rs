//! Throwing away what has had its day.

use std::time::Duration;

use tokio::sync::watch;

use crate::{App, Error, keys, password::accept, source::aggregation};

/// How often.
const EVERY: Duration = Duration::from_mins(1);
/// How long the status of an ended change or task can be asked for.
const KEPT: Duration = Duration::from_hours(90 * 24);
/// Rows looked at in one transaction at most.
const BATCH: i64 = 1000;

/// Runs until `stop` says so.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let mut from = 0;
    while !*stop.borrow() {
        match sweep(&app, from).await {
            Ok(next) => from = next,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "nothing could be swept");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            changed = stop.changed() => if changed.is_err() { break },
        }
    }
}

/// Once: accounts that wait for an aggregation get one; keys that are old or ended, tasks that ended 90 days ago, and, among the next changes after `from`, those that ended
/// 90 days ago. Where to go on next time.
pub async fn sweep(app: &App, from: i64) -> Result<i64, Error> {
    keys::rotate_old(&app.keys).await?;
    keys::remove_ended(&app.keys).await?;
    aggregation::confirm_waiting(app).await?;
    app.store
        .write(move |tx| {
            let now = tx.now()?;
            tx.remove_idempotency_keys(now.minus(accept::RESEND))?;
            tx.remove_ended_jobs(now.minus(KEPT), BATCH)?;
            let next = tx.remove_ended_changes(now.minus(KEPT), from, BATCH)?;
            Ok(next.unwrap_or(0))
        })
        .await
}
