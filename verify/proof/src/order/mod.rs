//! One order of acceptance on several nodes: clients race for the same account on different nodes
//! while nodes are stopped, continued and killed.
//!
//! 1. [`site`]: people with accounts on every kind of system, some in a sync group;
//! 2. [`account_race`]: repeated races for one person's account; after each race the password that
//!    was accepted last must be in force;
//! 3. [`nemesis`]: stops and kills nodes meanwhile;
//! 4. [`ledger`]: the order of acceptance, as the store holds it;
//! 5. [`writes`]: the writes in the systems' own logs, compared with those that rekey reports.

mod account_race;
mod ledger;
mod nemesis;
mod site;
mod writes;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use clap::{Args, ValueEnum};
use rekey_harness::{Result, Server};

use self::{ledger::Ledger, nemesis::Nemesis, site::Site, writes::Logs};
use crate::{seeded_rng::SeededRng, targets::Targets, violations::Violations};

/// How much, and what may be broken on purpose.
#[derive(Args)]
pub(crate) struct Options {
    /// Racing pairs for each kind of system, at least.
    #[arg(long, default_value_t = 500)]
    pairs: usize,
    /// How many nodes serve the one store.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(2..=8))]
    nodes: u64,
    /// Accounts of each kind that are raced for at once.
    #[arg(long, default_value_t = 25)]
    accounts: usize,
    /// Breaks a promise in the proof build: the checks must see it.
    #[arg(long)]
    control: Option<Control>,
    /// Where the random choices begin; another one each time without.
    #[arg(long)]
    seed: Option<u64>,
}

/// A way to break the order that must be found.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Control {
    /// The place in the order is drawn before the accounts are locked.
    EarlySequence,
}

/// The state that the races of all accounts share.
struct Race {
    site: Site,
    ledger: Ledger,
    /// The number of races so far, of each kind.
    done: [AtomicUsize; site::KINDS.len()],
    wanted: usize,
    /// Whether the nemesis has finished its programme.
    is_over: AtomicBool,
    violations: Violations,
}

impl Race {
    fn blame(&self, what: &str) {
        self.violations.blame(what);
    }

    /// Whether there were enough races of a kind.
    fn has_enough(&self, kind: usize) -> bool {
        self.done.get(kind).is_none_or(|done| done.load(Ordering::Relaxed) >= self.wanted)
    }

    fn goes_on(&self, kind: usize) -> bool {
        !self.has_enough(kind) || !self.is_over.load(Ordering::Relaxed)
    }
}

pub(crate) async fn run(options: Options) -> Result<()> {
    let seed = options.seed.unwrap_or_else(SeededRng::any_seed);
    println!("order: {} nodes, seed {seed}", options.nodes);
    let targets = Targets::find()?;
    let logs = Logs::from_now(&targets)?;
    let broken = options.control.map_or("", |Control::EarlySequence| "early_sequence");
    let started = Instant::now();
    let (place, nodes) = site::start(&targets, options.nodes, broken).await?;
    let addresses = nodes.iter().map(|node| node.address.clone()).collect();
    let (first, accounts) = (nodes.first().ok_or("no node")?, options.accounts);
    let (site, raced_accounts) = Site::fill(targets, &place, first, addresses, accounts).await?;
    let ledger = Ledger::open(&place.store_url()).await?;
    println!(
        "{} accounts are raced for, ready after {:.0?}",
        raced_accounts.len(),
        started.elapsed()
    );

    let race = Arc::new(Race {
        site,
        ledger,
        done: Default::default(),
        wanted: options.pairs,
        is_over: AtomicBool::new(false),
        violations: Violations::default(),
    });
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for (number, raced) in raced_accounts.into_iter().enumerate() {
        let rng = SeededRng::of(seed ^ (number as u64 + 1));
        tasks.push(tokio::spawn(account_race::run(race.clone(), raced, rng)));
    }
    let mut nemesis = Nemesis::new(nodes, place, SeededRng::of(seed));
    // A broken order shows without stopped nodes.
    if options.control.is_none() {
        nemesis.run(&race).await?;
    }
    race.is_over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    let took = begun.elapsed();
    race.ledger.check(&race).await?;
    logs.check(&race).await?;
    let deadlocks = race.ledger.deadlocks().await?;
    if deadlocks > 0 {
        race.blame(&format!("{deadlocks} deadlocks between transactions of the store"));
    }
    for (kind, done) in site::KINDS.iter().zip(&race.done) {
        println!("{kind}: {} pairs", done.load(Ordering::Relaxed));
    }
    println!("{}; {deadlocks} deadlocks; {took:.0?}", nemesis.said());
    drop(nemesis);
    let promise = "order: the password accepted last was in force after every race";
    race.violations.verdict(promise, options.control.is_some())
}

/// The nodes, each a process.
type Nodes = Vec<Server>;
