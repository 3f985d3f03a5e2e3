//! The pipeline in a world without time.
//!
//! A seed decides everything: how many nodes there are, when they stop and die, what the sources
//! are like and when they lose an answer, who asks for what and when. The pipeline itself is the
//! real one: `rekey`'s own functions accept, claim and carry out, on its own SQL in a store in
//! memory. Only the vault's judgement and the sources are modelled. A second of a history costs
//! nothing, because the runtime's clock leaps where everybody waits.
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

/// How long nodes misbehave after the last client has come.
const RESTLESS: Duration = Duration::from_mins(2);
/// No write is later than this.
const QUIET: Duration = Duration::from_secs(80);
/// How often that is looked at.
const STEP: Duration = Duration::from_secs(5);
/// A history that is not quiet by then never will be.
const ENOUGH: Duration = Duration::from_hours(2);

/// What became of one seed.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The promises that were broken, in words.
    pub broken: Vec<String>,
    /// What happened, where it was asked for.
    pub story: Vec<String>,
    /// How many passwords came into force.
    pub effects: usize,
}

/// Simulates one seed after another.
pub struct Simulator {
    setup: Setup,
}

impl Simulator {
    /// Makes what all seeds share.
    pub fn new() -> Result<Self, Box<dyn std::error::Error>> {
        Ok(Self { setup: runtime()?.block_on(Setup::new())? })
    }

    /// One seed.
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
        // A node that goes on may still accept what a client asked it for.
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

/// The broken promises of a seed, in lines.
pub fn describe(seed: u64, outcome: &Outcome) -> String {
    let lines = outcome.broken.iter().map(|what| format!("  {what}\n"));
    format!("seed {seed}:\n{}", lines.collect::<String>())
}
