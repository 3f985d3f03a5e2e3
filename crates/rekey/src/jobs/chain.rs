//! Chains the audit trail: rows are written by the transactions that they describe, and get their
//! place and hash here, after the commit.

use std::{error::Error as StdError, time::Duration};

use tokio::sync::watch;

use crate::{
    App,
    audit::{self, chain::Chainer},
};

/// Pause between two rounds when no row waits.
const EVERY: Duration = Duration::from_secs(1);

/// Chains audit rows until `stop` is true or its sender is dropped.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let mut chainer = Chainer::default();
    while !*stop.borrow() {
        if let Err(error) = audit::report_missed(&app.audit).await {
            tracing::warn!(%error, "attempts beyond their budgets could not be recorded");
        }
        match chainer.round(&app.audit).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn StdError,
                    "the audit trail cannot be chained"
                );
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            changed = stop.changed() => if changed.is_err() { break },
        }
    }
}

/// Runs the last round, at shutdown: it must run after every other write of this node.
pub async fn finish(app: &App) {
    if let Err(error) = audit::finish_attempts(&app.audit).await {
        tracing::warn!(%error, "attempts beyond their budgets could not be recorded");
    }
    if let Err(error) = Chainer::default().finish(&app.audit).await {
        tracing::error!(
            error = &error as &dyn StdError,
            "the audit trail has an end without a checkpoint"
        );
    }
}
