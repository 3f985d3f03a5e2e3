//! The loop that claims password changes and carries them out.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tracing::{Instrument, field::Empty};

use super::change_password::{self, LEASE};
use crate::{
    App,
    password::permits::Permit,
    proof,
    store::{self, Claimed, Room, Tx},
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
        if free > 0 && round(&app, free, &capacity, &mut under_way).await {
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

/// What was claimed.
#[derive(Default)]
pub struct Taken {
    /// Each change with its permits; one whose deadline has come may have none.
    pub changes: Vec<(Claimed, Option<Permit>)>,
    /// Whether a queue had as many as could be taken from it, and so may have more.
    pub is_cut: bool,
}

/// Claims what is due, `free` changes at most, and of each source no more than it has permits for.
pub async fn claim(app: &App, free: usize) -> Result<Taken, store::Error> {
    let (due, expired) = app.store.glance(|tx: &mut Tx<'_>| tx.due_queues()).await?;
    // The ends of what has expired share the workers with what can still succeed.
    let ends = if expired { free.div_ceil(2) } else { 0 };
    let per_source = app.config.changes.per_source;
    let queues = app.links.room(&due, free.saturating_sub(ends), per_source);
    if queues.is_empty() && ends == 0 {
        return Ok(Taken::default());
    }
    let room = Room { queues, expired: i64::try_from(ends).unwrap_or(1) };
    let (node, room) = (app.node.clone(), Arc::new(room));
    let within = room.clone();
    let claiming = app.store.write(move |tx| tx.claim(&node, LEASE, &within));
    let (expired, claimed): (Vec<_>, Vec<_>) = claiming
        .instrument(tracing::info_span!("claim"))
        .await?
        .into_iter()
        .partition(|change| change.expired);
    let taken = |name: &String| claimed.iter().filter(|c| c.source_set == *name).count();
    let is_cut = |(name, most): &(String, i64)| i64::try_from(taken(name)).ok() == Some(*most);
    let is_cut = room.queues.iter().any(is_cut) || (ends > 0 && expired.len() >= ends);
    let hold = |change: Claimed| {
        let permit = app.links.hold(&change.source_set);
        (change, Some(permit))
    };
    let mut changes: Vec<_> = claimed.into_iter().map(hold).collect();
    changes.extend(expired.into_iter().map(|change| {
        let permit = app.links.try_hold(&change.source_set, per_source);
        (change, permit)
    }));
    Ok(Taken { changes, is_cut })
}

/// Claims what is due and starts it; whether there may be more.
async fn round(
    app: &App,
    free: usize,
    capacity: &Arc<Semaphore>,
    under_way: &mut JoinSet<()>,
) -> bool {
    let Taken { changes: claimed, is_cut } = match claim(app, free).await {
        Ok(taken) => taken,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "nothing can be claimed");
            return false;
        }
    };
    let count = claimed.len();
    app.metrics().attempts.inc_by(u64::try_from(count).unwrap_or(0));
    if count > 0 {
        proof::crash_at("claim.committed");
    }
    for (change, permit) in claimed {
        let Ok(worker) = capacity.clone().try_acquire_owned() else { break };
        let app = app.clone();
        under_way.spawn(async move {
            // Every line about it names it, whoever writes the line.
            let span = tracing::info_span!(
                "change",
                request_id = %change.id,
                attempt = change.attempt,
                state = Empty,
            );
            change_password::run(&app, change, permit).instrument(span).await;
            drop(worker);
            app.wake.notify_one();
        });
    }
    is_cut
}
