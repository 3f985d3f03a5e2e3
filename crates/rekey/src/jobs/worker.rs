//! The loop that claims password changes and carries them out.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tracing::{Instrument, field::Empty};

use super::change_password::{self, LEASE};
use crate::{
    App, proof,
    store::{self, Claimed, Tx},
};

/// Changes claimed in one transaction at most.
const BATCH: usize = 64;
/// How often to look when nothing wakes the loop: another node may have accepted something.
const POLL: Duration = Duration::from_millis(150);

/// Runs until `stop` says so, then waits for the changes under way.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    if app.config.changes.workers == 0 {
        // A node that only accepts: others carry out.
        let _ = stop.wait_for(|stopped| *stopped).await;
        return;
    }
    let capacity = Arc::new(Semaphore::new(app.config.changes.workers));
    let mut under_way = JoinSet::new();
    while !*stop.borrow() {
        while under_way.try_join_next().is_some() {}
        let free = capacity.available_permits().min(BATCH);
        let claimed =
            if free == 0 { 0 } else { round(&app, free, &capacity, &mut under_way).await };
        if claimed > 0 && claimed == free {
            continue;
        }
        tokio::select! {
            () = app.wake.notified() => {}
            () = tokio::time::sleep(POLL) => {}
            // Nobody who could say so any more: stopped, too.
            changed = stop.changed() => if changed.is_err() { break },
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// Claims what is due, so many changes at most.
pub async fn claim(app: &App, free: usize) -> Result<Vec<Claimed>, store::Error> {
    if !app.store.glance(|tx: &mut Tx<'_>| tx.anything_due()).await? {
        return Ok(vec![]);
    }
    let (node, busy) = (app.node.clone(), app.links.busy());
    let limit = i64::try_from(free).unwrap_or(1);
    let claiming = app.store.write(move |tx| tx.claim(&node, LEASE, limit, &busy));
    claiming.instrument(tracing::info_span!("claim")).await
}

/// Claims what is due and starts it; how many that was.
async fn round(
    app: &App,
    free: usize,
    capacity: &Arc<Semaphore>,
    under_way: &mut JoinSet<()>,
) -> usize {
    let claimed = match claim(app, free).await {
        Ok(claimed) => claimed,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "nothing can be claimed");
            return 0;
        }
    };
    let count = claimed.len();
    app.metrics().attempts.inc_by(u64::try_from(count).unwrap_or(0));
    if count > 0 {
        proof::crash_at("claim.committed");
    }
    for change in claimed {
        let Ok(permit) = capacity.clone().try_acquire_owned() else { break };
        let app = app.clone();
        under_way.spawn(async move {
            // Every line about it names it, whoever writes the line.
            let span = tracing::info_span!(
                "change",
                request_id = %change.id,
                attempt = change.attempt,
                state = Empty,
            );
            change_password::run(&app, change).instrument(span).await;
            drop(permit);
            app.wake.notify_one();
        });
    }
    count
}
