//! A node: the real pipeline, polled step by step, so that it can stop or die between any two
//! steps.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use rekey::{
    App, Error,
    jobs::{
        change_password::{ChangeContext, run_with},
        worker::{Free, claim},
    },
    password::accept::accept,
    store::{Claimed, Tx},
};
use rekey_vault::{Judgement, Password, Purpose};
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep, sleep_until},
};

use crate::{
    check::Due,
    client::Asked,
    setup::Setup,
    world::{World, locked},
};

/// The number of changes that a node executes concurrently, and of further slots for ending
/// changes.
const AT_ONCE: usize = 8;
const ENDS: usize = 2;
/// A real worker polls at the first interval. A claim that found nothing claimable is repeated at
/// the second one, which is longer only to make the simulation faster.
const POLL: Duration = Duration::from_millis(150);
const POLL_IN_VAIN: Duration = Duration::from_millis(500);

type Life = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A node across its restarts.
pub(crate) struct Node {
    world: Arc<World>,
    number: usize,
    life: Option<Life>,
    /// The timer until which the node stands still, if it does.
    still: Option<Pin<Box<Sleep>>>,
}

impl Node {
    pub(crate) fn new(world: Arc<World>, number: usize) -> Self {
        Self { world, number, life: None, still: None }
    }

    /// Decides whether the node stops or dies before the next step, and for how long.
    fn whim(&mut self) -> Option<Duration> {
        let (world, rng) = (&self.world, &self.world.rng);
        if let Some(span) = world.must_stop(self.number) {
            world.tell(|| format!("node {} stops at the worst moment", self.number));
            return Some(span);
        }
        if world.calm.load(Ordering::Relaxed) {
            return None;
        }
        if rng.chance(world.mood.dies) {
            world.tell(|| format!("node {} dies", self.number));
            self.life = None;
            locked(&world.ways_in).remove(&self.number);
            return Some(rng.up_to(Duration::from_secs(20)));
        }
        if rng.chance(world.mood.stops) {
            let most = rng.one_of(&[1, 30, 49]).map(Duration::from_secs).unwrap_or_default();
            world.tell(|| format!("node {} stops", self.number));
            return Some(rng.up_to(most));
        }
        if rng.chance(3) {
            world.jump(self.number);
        }
        None
    }
}

impl Future for Node {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(still) = &mut self.still {
                if still.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.still = None;
                self.world.runs(true);
                self.world.tell(|| format!("node {} goes on", self.number));
            } else if let Some(span) = self.whim() {
                self.world.runs(false);
                self.still = Some(Box::pin(sleep(span)));
                continue;
            }
            let (world, number) = (self.world.clone(), self.number);
            let life = self.life.get_or_insert_with(|| Box::pin(live(world, number)));
            return life.as_mut().poll(context);
        }
    }
}

/// Runs a node until it dies: it accepts the requests of clients and executes the changes that are
/// due.
async fn live(world: Arc<World>, number: usize) {
    let (front, back) = match world.start(number).await {
        Ok(apps) => apps,
        Err(error) => return world.broke(format!("node {number} cannot start: {error}")),
    };
    let (way_in, mut asks) = mpsc::unbounded_channel();
    locked(&world.ways_in).insert(number, way_in);
    let mut serving: FuturesUnordered<Life> = FuturesUnordered::new();
    let mut working: FuturesUnordered<Life> = FuturesUnordered::new();
    loop {
        let free = Free {
            workers: AT_ONCE.saturating_sub(working.len()),
            ends: (AT_ONCE + ENDS).saturating_sub(working.len()).min(ENDS),
        };
        if free.ends > 0 {
            match claim(&back, free).await {
                Ok(taken) => {
                    for (change, permit) in taken.changes {
                        let (seq, attempt) = (change.seq, change.attempt);
                        world.tell(|| format!("node {number} claims {seq}, attempt {attempt}"));
                        let (world, app) = (world.clone(), back.clone());
                        working.push(Box::pin(async move {
                            run_with(&app, change, permit, judge).await;
                            world.changed.notify_waiters();
                        }));
                    }
                }
                Err(error) => world.broke(format!("nothing can be claimed: {error}")),
            }
        }
        let changed = world.changed.notified();
        let next = next_look(&world, &back).await;
        tokio::select! {
            biased;
            Some(()) = working.next() => {}
            Some(()) = serving.next() => {}
            Some(asked) = asks.recv() => {
                serving.push(Box::pin(serve(world.clone(), front.clone(), number, asked)));
            }
            () = changed => {}
            () = sleep_until(next) => {}
        }
    }
}

/// Returns when a worker that polls every [`POLL`] would next find a change, unless something
/// changes before. Earlier polls would find nothing and only slow the simulation down.
async fn next_look(world: &World, app: &App) -> Instant {
    let sql = "SELECT MIN(due) AS due FROM password_change WHERE state = 0";
    let due = app.store.read(move |tx: &mut Tx<'_>| tx.one::<Due>(sql, &[])).await;
    let now = world.now();
    let wait = match due.ok().and_then(|Due(due)| due) {
        Some(due) => u64::try_from(due.0 - now.0).map_or(POLL_IN_VAIN, Duration::from_micros),
        None => Duration::from_mins(1),
    };
    Instant::now() + wait + world.rng.up_to(POLL)
}

async fn serve(world: Arc<World>, app: App, number: usize, asked: Asked) {
    let ask = Setup::ask(asked.person, asked.source, asked.number);
    match accept(&app, &Setup::caller(), ask).await {
        Ok(accepted) => {
            world.tell(|| format!("node {number} accepted p{}", asked.number));
            let _ = asked.tell.send(accepted.id);
            world.changed.notify_waiters();
        }
        Err(error) => world.broke(format!("p{} was refused: {error}", asked.number)),
    }
}

/// Replaces the vault's judgement: the payload encodes the number of a password without encryption.
async fn judge(app: &App, change: &Claimed, _: &ChangeContext) -> Result<Judgement, Error> {
    let payload = change.payload.as_ref().ok_or_else(|| Error::Internal("no payload".into()))?;
    let clear = app.sealer.open(Purpose::PasswordChange, &change.bound_to(), payload)?;
    sleep(Duration::from_millis(1)).await;
    Ok(match Setup::number_in(&clear) {
        Some(number) => Judgement::Accepted(Password::new(format!("p{number}"))),
        None => Judgement::PayloadInvalid,
    })
}
