//! Clients: each sends a request, waits for the answer, and retries at another node.

use rekey::password::state::cancelled;
use std::{sync::Arc, time::Duration};

use rekey::{model::id::ChangeId, store::Tx};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::{
    history::Number,
    setup::{PEOPLE, SOURCES, Setup},
    world::{World, locked},
};

/// How long a client waits for its `202`.
const PATIENCE: Duration = Duration::from_secs(5);
/// The number of times that a client sends its request.
const TRIES: usize = 4;

/// A request on its way to a node.
pub(crate) struct Asked {
    pub(crate) person: usize,
    pub(crate) source: usize,
    pub(crate) number: Number,
    pub(crate) tell: oneshot::Sender<ChangeId>,
}

/// Runs one client with one new password.
pub(crate) async fn change(world: Arc<World>) {
    let rng = &world.rng;
    sleep(rng.up_to(world.mood.spread)).await;
    // 70 % of the requests meet on one person and one source, so that changes of one account
    // conflict.
    let person = if rng.chance(700) { 0 } else { rng.below(PEOPLE) };
    let source = if rng.chance(700) { 0 } else { rng.below(SOURCES) };
    let number = world.request(person, source);
    for _ in 0..TRIES {
        let node = rng.below(world.mood.nodes);
        let (tell, told) = oneshot::channel();
        let way_in = locked(&world.ways_in).get(&node).cloned();
        let is_sent = way_in
            .is_some_and(|way_in| way_in.send(Asked { person, source, number, tell }).is_ok());
        if is_sent && let Ok(Ok(id)) = timeout(PATIENCE, told).await {
            let step = world.history(|history| {
                let step = history.next();
                history.requests[number].promised = Some((step, id));
                step
            });
            world.tell(|| {
                format!("p{number} is promised for n{person} on source {source} (step {step})")
            });
            return;
        }
        sleep(rng.up_to(Duration::from_secs(2))).await;
    }
}

/// Runs an operator who may repoint one source, once in a history: its pending changes are
/// cancelled.
pub(crate) async fn cancel(world: Arc<World>) {
    let rng = &world.rng;
    sleep(rng.up_to(world.mood.spread)).await;
    if !rng.chance(world.mood.cancels) {
        return;
    }
    let source = rng.below(SOURCES);
    world.tell(|| format!("what waits for source {source} is cancelled"));
    let id = Setup::source_id(source);
    let deed = move |tx: &mut Tx<'_>| tx.cancel_changes(&id, "the source was moved", cancelled);
    if let Err(error) = world.store().write(deed).await {
        world.broke(format!("nothing can be cancelled: {error}"));
    }
    world.changed.notify_waiters();
}

/// Runs an operator of a source who gives the name of an account to an account of a stranger.
pub(crate) async fn reuse(world: Arc<World>) {
    let Some(rng) = &world.reuse else { return };
    sleep(rng.up_to(world.mood.spread)).await;
    let source = rng.below(SOURCES);
    let person = if rng.chance(700) { 0 } else { rng.below(PEOPLE) };
    world.tell(|| format!("the name n{person} is given to a stranger on source {source}"));
    world.source(source, |source| source.give_away(person));
}

/// Runs somebody who changes passwords on a source without rekey.
pub(crate) async fn meddle(world: Arc<World>) {
    let rng = &world.rng;
    sleep(rng.up_to(world.mood.spread)).await;
    if rng.chance(world.mood.meddles) {
        world.meddle(rng.below(SOURCES), if rng.chance(700) { 0 } else { rng.below(PEOPLE) });
    }
}
