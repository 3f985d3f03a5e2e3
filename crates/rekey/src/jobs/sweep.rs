//! Periodic removal of expired rows, and other periodic maintenance.

use std::time::Duration;

use tokio::sync::watch;

use crate::{App, Error, keys, password::accept, source::aggregation};

/// Pause between two sweeps.
const EVERY: Duration = Duration::from_mins(1);
/// How long the status of an ended change or task remains available: 90 days.
const KEPT: Duration = Duration::from_hours(90 * 24);
/// Most rows of each kind that one transaction reads.
const BATCH: i64 = 1000;

/// Sweeps once a minute until `stop` is true or its sender is dropped.
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

/// Sweeps once: rotates old keys, removes ended ones, and enqueues aggregations of the sources
/// whose accounts wait for one. Removes expired idempotency keys, tasks that ended 90 days ago and,
/// among the next changes after the sequence number `from`, those that ended 90 days ago. Returns
/// where the next sweep continues; 0 is the beginning.
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
