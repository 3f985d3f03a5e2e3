//! Claims password changes and executes them.

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

/// Most free workers that one round claims changes for.
const BATCH: usize = 64;
/// Interval of polling the store when nothing wakes the loop: another node may have accepted a
/// change.
const POLL: Duration = Duration::from_millis(150);
/// Places for expired changes, in addition to the workers: sources that hang may occupy every
/// worker, and ending a change needs no source.
const ENDS: usize = 4;

/// Free capacity of this node.
#[derive(Clone, Copy)]
pub struct Free {
    /// Free workers.
    pub workers: usize,
    /// Free places for changes that end without their source.
    pub ends: usize,
}

/// Runs until `stop` is true or its sender is dropped, then waits for the changes under way.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    if app.config.changes.workers == 0 {
        // This node only accepts changes; other nodes execute them.
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
    // Without a free worker a round can only end expired changes: these wait for the poll, and do
    // not make every wake-up query the store.
    let mut is_time = false;
    while !*stop.borrow() {
        while under_way.try_join_next().is_some() {}
        let free = places.free();
        let may_claim = free.workers > 0 || (is_time && free.ends > 0);
        if may_claim {
            let is_cut = round(&app, free, &places, &mut under_way).await;
            // Without a worker only the expired changes can have been cut off: the next ones follow
            // in the next round.
            is_time = is_cut && free.workers == 0;
            if is_cut {
                continue;
            }
        }
        is_time |= tokio::select! {
            () = app.wake.notified() => false,
            _ = poll.tick() => true,
            // The sender was dropped: nothing can stop the loop later, so it stops now.
            changed = stop.changed() => if changed.is_err() { break } else { false },
        };
    }
    while under_way.join_next().await.is_some() {}
}

/// The places of this node in which changes are executed.
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

    /// Takes a worker or, if none is free, a place for an expired change.
    fn take(&self) -> Option<OwnedSemaphorePermit> {
        let take = |places: &Arc<Semaphore>| places.clone().try_acquire_owned().ok();
        take(&self.workers).or_else(|| take(&self.ends))
    }
}

/// The result of a claim.
#[derive(Default)]
pub struct Taken {
    /// The claimed changes with their permits; the ones that need a worker come first. An expired
    /// change may have no permit: it then ends without its source.
    pub changes: Vec<(Claimed, Option<Permit>)>,
    /// Whether the claim took as many changes as fit, so that more may be due.
    pub is_cut: bool,
}

/// Claims due changes: at most as many as `free` can execute, and of each source at most as many as
/// it has free permits.
pub async fn claim(app: &App, free: Free) -> Result<Taken, store::Error> {
    let (mut due, has_expired) = app.store.read_unsynced(|tx: &mut Tx<'_>| tx.due_queues()).await?;
    // Expired changes get at most half of the workers, so that changes that can still succeed keep
    // the others.
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
        // A change that is due may wait for an older change of its account. Workers that such a
        // queue did not use are divided among the other queues.
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
    // A recheck of an expired change observes its source, which takes a worker.
    let spare = free.workers.saturating_sub(changes.len());
    changes.extend(expired.into_iter().enumerate().map(|(at, change)| {
        let permit = (at < spare).then(|| app.handles.try_hold(&change.source_set, per_source));
        (change, permit.flatten())
    }));
    Ok(Taken { changes, is_cut })
}

/// Claims due changes and starts them. Returns whether more may be due.
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
            // The span adds the change's id to every log line below it.
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
