//! A deterministic simulation of the pipeline, without real time.
//!
//! A seed decides everything: the number of nodes, when they stop and die, how the sources behave
//! and when they lose an answer, and which client requests what and when. The pipeline itself is
//! the real one: `rekey`'s own functions accept, claim and execute changes, with its own SQL, on a
//! store in memory. Only the judgement of passwords and the sources are models. Waiting takes no
//! real time: the runtime's clock is paused and advances to the next timer once every task is idle.
#![expect(clippy::indexing_slicing, reason = "a simulation that is wrong itself must stop")]

use std::{sync::atomic::Ordering, time::Duration};

use tokio::{runtime::Builder, time::sleep};

use crate::{node::Node, setup::Setup, world::World};

mod check;
mod client;
mod control;
mod history;
mod node;
mod seeded_rng;
mod setup;
mod source;
mod world;

pub use control::{CONTROLS, Control};

/// For up to this long after the last client has ended, nodes still misbehave.
const RESTLESS: Duration = Duration::from_mins(2);
/// A history is over when no change has been open for this long: no write arrives later than that.
const QUIET: Duration = Duration::from_secs(80);
/// The interval between two checks for open changes.
const STEP: Duration = Duration::from_secs(5);
/// The limit of a history: one that still has open changes by then is stuck.
const ENOUGH: Duration = Duration::from_hours(2);

/// The result of one seed.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The broken promises, in words.
    pub broken: Vec<String>,
    /// The narrated events, if they were requested.
    pub story: Vec<String>,
    /// The number of passwords that came into force.
    pub effects: usize,
}

/// A simulator that runs one seed after another on one store.
pub struct Simulator {
    setup: Setup,
}

impl Simulator {
    /// Creates the store and the data that all seeds share.
    pub fn new() -> Result<Self, Box<dyn std::error::Error>> {
        Ok(Self { setup: runtime()?.block_on(Setup::new())? })
    }

    /// Simulates the history of one seed; with `story`, narrates it.
    pub fn run(
        &self,
        seed: u64,
        control: Option<Control>,
        story: bool,
    ) -> Result<Outcome, Box<dyn std::error::Error>> {
        runtime()?.block_on(self.live(seed, control, story))
    }

    async fn live(
        &self,
        seed: u64,
        control: Option<Control>,
        story: bool,
    ) -> Result<Outcome, Box<dyn std::error::Error>> {
        let group = World::new(&self.setup, seed, control, false).mood.group;
        self.setup.renew(group, control.map_or(&[], Control::triggers)).await?;
        let world = World::new(&self.setup, seed, control, story);
        let nodes: Vec<_> =
            (0..world.mood.nodes).map(|n| tokio::spawn(Node::new(world.clone(), n))).collect();
        let mut others: Vec<_> =
            (0..world.mood.requests).map(|_| tokio::spawn(client::change(world.clone()))).collect();
        others.extend((0..2).map(|_| tokio::spawn(client::meddle(world.clone()))));
        others.push(tokio::spawn(client::cancel(world.clone())));
        others.push(tokio::spawn(client::reuse(world.clone())));
        for other in others {
            other.await?;
        }
        sleep(world.rng.up_to(RESTLESS)).await;
        world.calm.store(true, Ordering::Relaxed);
        // A node that resumes may still accept the request of a client that has given up.
        let mut quiet = Duration::ZERO;
        while quiet < QUIET && world.began.elapsed() < ENOUGH {
            sleep(STEP).await;
            let is_quiet = check::unfinished(&world).await == 0;
            quiet = if is_quiet { quiet + STEP } else { Duration::ZERO };
        }
        for node in &nodes {
            node.abort();
        }
        check::all(&world).await;
        let outcome = world.history(|history| Outcome {
            broken: history.broken.clone(),
            story: history.story.take().unwrap_or_default(),
            effects: history.effects.len(),
        });
        Ok(outcome)
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    Builder::new_current_thread().enable_time().start_paused(true).build()
}

/// Returns the broken promises of a seed, one a line.
pub fn describe(seed: u64, outcome: &Outcome) -> String {
    let lines = outcome.broken.iter().map(|what| format!("  {what}\n"));
    format!("seed {seed}:\n{}", lines.collect::<String>())
}
