//! Chains the audit trail behind the deeds.

use std::{error::Error as StdError, time::Duration};

use tokio::sync::watch;

use crate::{
    App,
    audit::{self, chain::Chainer},
};

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until `stop` says so.
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

/// The last round, when nothing else writes any more.
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
