//! The loop that claims password changes and carries them out.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::MissedTickBehavior,
};
use tracing::{Instrument, field::Empty};

use super::change_password::{self, LEASE};
use crate::{
    App,
    connector::Permit,
    proof,
    store::{self, Claimed, Room, Tx},
};

/// Changes claimed in one transaction at most.
const BATCH: usize = 64;
/// How often to look when nothing wakes the loop: another node may have accepted something.
const POLL: Duration = Duration::from_millis(150);
/// Places for changes whose deadline has come, beside the workers: sources that hang may hold every
/// worker, and ending a change needs no source.
const ENDS: usize = 4;

/// What has nothing to do.
#[derive(Clone, Copy)]
pub struct Free {
    /// Workers.
    pub workers: usize,
    /// Places in which changes end without a source.
    pub ends: usize,
}

/// Runs until `stop` says so, then waits for the changes under way.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    if app.config.changes.workers == 0 {
        // A node that only accepts: others carry out.
        let _ = stop.wait_for(|stopped| *stopped).await;
        return;
    }
    let places = Places {
        workers: Arc::new(Semaphore::new(app.config.changes.workers)),
        ends: Arc::new(Semaphore::new(ENDS)),
    };
    let mut under_way = JoinSet::new();
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Without a free worker the store is asked only for ends, and not whenever something wakes it.
    let mut is_time = false;
    while !*stop.borrow() {
        while under_way.try_join_next().is_some() {}
        let free = places.free();
        let may_claim = free.workers > 0 || (is_time && free.ends > 0);
        if may_claim {
            let is_cut = round(&app, free, &places, &mut under_way).await;
            // Without a worker only ends can be cut: the next ones follow when these are done.
            is_time = is_cut && free.workers == 0;
            if is_cut {
                continue;
            }
        }
        is_time |= tokio::select! {
            () = app.wake.notified() => false,
            _ = poll.tick() => true,
            // Nobody who could say so any more: stopped, too.
            changed = stop.changed() => if changed.is_err() { break } else { false },
        };
    }
    while under_way.join_next().await.is_some() {}
}

/// What changes are carried out in.
struct Places {
    workers: Arc<Semaphore>,
    ends: Arc<Semaphore>,
}

impl Places {
    fn free(&self) -> Free {
        Free {
            workers: self.workers.available_permits().min(BATCH),
            ends: self.ends.available_permits(),
        }
    }

    /// A worker, or a place for an end when there is none.
    fn take(&self) -> Option<OwnedSemaphorePermit> {
        let take = |places: &Arc<Semaphore>| places.clone().try_acquire_owned().ok();
        take(&self.workers).or_else(|| take(&self.ends))
    }
}

/// What was claimed.
#[derive(Default)]
pub struct Taken {
    /// Each change with its permits, those first that need a worker. One whose deadline has come
    /// may have no permit: then it is ended without its source.
    pub changes: Vec<(Claimed, Option<Permit>)>,
    /// Whether as many were taken as could be, so that there may be more.
    pub is_cut: bool,
}

/// Claims what is due, as much as `free` can carry out, and of each source no more than it has
/// permits for.
pub async fn claim(app: &App, free: Free) -> Result<Taken, store::Error> {
    let (mut due, has_expired) = app.store.glance(|tx: &mut Tx<'_>| tx.due_queues()).await?;
    // The ends of what has expired share the workers with what can still succeed.
    let shared = if has_expired { free.workers / 2 } else { 0 };
    let mut ends = if has_expired { shared + free.ends } else { 0 };
    let mut workers = free.workers - shared;
    let per_source = app.config.changes.per_source;
    let (mut changes, mut expired, mut is_cut) = (Vec::new(), Vec::new(), false);
    loop {
        let queues = app.handles.room(&due, workers, per_source);
        if queues.is_empty() && ends == 0 {
            break;
        }
        let room = Arc::new(Room { queues, expired: i64::try_from(ends).unwrap_or(1) });
        let (node, within) = (app.node.clone(), room.clone());
        let claiming = app.store.write(move |tx| tx.claim(&node, LEASE, &within));
        let claimed = claiming.instrument(tracing::info_span!("claim")).await?;
        // What is due in a queue may wait for an older change of its account. The workers that such
        // a queue did not need are divided among the others.
        due.retain(|queue| {
            let most = room.queues.iter().find(|(name, _)| *name == queue.source_set);
            let taken = claimed.iter().filter(|change| change.source_set == queue.source_set);
            most.is_none_or(|(_, most)| i64::try_from(taken.count()).is_ok_and(|n| n >= *most))
        });
        let (ended, begun): (Vec<_>, Vec<_>) =
            claimed.into_iter().partition(|change| change.expired);
        is_cut |= ends > 0 && ended.len() >= ends;
        workers = workers.saturating_sub(begun.len() + ended.len().saturating_sub(ends));
        ends = 0;
        expired.extend(ended);
        changes.extend(begun.into_iter().map(|change| {
            let permit = app.handles.hold(&change.source_set);
            (change, Some(permit))
        }));
    }
    is_cut |= workers == 0 && !changes.is_empty();
    // A last look at a source takes a worker.
    let spare = free.workers.saturating_sub(changes.len());
    changes.extend(expired.into_iter().enumerate().map(|(at, change)| {
        let permit = (at < spare).then(|| app.handles.try_hold(&change.source_set, per_source));
        (change, permit.flatten())
    }));
    Ok(Taken { changes, is_cut })
}

/// Claims what is due and starts it; whether there may be more.
async fn round(app: &App, free: Free, places: &Places, under_way: &mut JoinSet<()>) -> bool {
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
        let Some(place) = places.take() else { break };
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
            drop(place);
            app.wake.notify_one();
        });
    }
    is_cut
}
