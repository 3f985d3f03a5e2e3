//! Throwing away what has had its day.

use std::time::Duration;

use tokio::sync::watch;

use crate::{App, Error, keys, password::accept};

/// How often.
const EVERY: Duration = Duration::from_mins(1);
/// How long the status of an ended change can be asked for.
const STATUS_KEPT: Duration = Duration::from_hours(90 * 24);
/// Rows removed in one transaction at most.
const BATCH: i64 = 1000;

/// Runs until `stop` says so.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if let Err(error) = sweep(&app).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "nothing could be swept");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Once: keys whose grace has passed, and changes that ended 90 days ago.
pub async fn sweep(app: &App) -> Result<(), Error> {
    keys::remove_ended(app).await?;
    app.store
        .write(|tx| {
            let now = tx.now()?;
            tx.remove_idempotency_keys(now.minus(accept::RESEND))?;
            Ok::<_, Error>(tx.remove_ended_changes(now.minus(STATUS_KEPT), BATCH)?)
        })
        .await
}
