//! Faults on the wire and faults of the store: the statuses that rekey reports must stay true.
//!
//! 1. [`wire`]: the project's own proxy between rekey and its targets causes every kind of fault
//!    before, during and after a write;
//! 2. [`down`]: a target that is unreachable, for less and for more than the time a change has;
//! 3. [`store`]: the store fails, and recovers;
//! 4. [`client`]: a client that requests a change and reads its status.

pub(crate) mod client;
mod down;
mod site;
pub(crate) mod store;
mod wire;

use std::sync::Arc;

use clap::{Args, ValueEnum};
use rekey_harness::Result;

use crate::{targets::Targets, violations::Violations};

/// How much, and what may be broken on purpose.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each trouble is made at each moment of a write.
    #[arg(long, default_value_t = 2)]
    each: usize,
    /// Breaks a promise in the proof build: the checks must see it.
    #[arg(long)]
    control: Option<Control>,
}

/// A way to break a promise that must be found.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Control {
    /// A write whose answer was lost is sent again without looking.
    BlindRetry,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    let targets = Arc::new(Targets::find()?);
    let broken = options.control.map_or("", |Control::BlindRetry| "blind_retry");
    let violations = Violations::default();
    let (site, cases, absences) = site::start(targets, options.each, broken).await?;
    let site = Arc::new(site);
    println!("every kind of trouble {} times, {} at once", options.each, cases.len());

    let mut tasks = Vec::new();
    for case in cases {
        tasks.push(tokio::spawn(wire::run(site.clone(), case, violations.clone())));
    }
    // An unreachable target says nothing about a blind repetition.
    let absences = if options.control.is_none() { absences } else { Vec::new() };
    let mut away = Vec::new();
    for absence in absences {
        away.push(tokio::spawn(down::run(site.clone(), absence, violations.clone())));
    }
    let mut rows = Vec::new();
    for task in tasks {
        rows.extend(task.await??);
    }
    for task in away {
        task.await??;
    }
    wire::print(rows);
    violations.verdict("faults on the wire: no verdict was wrong", options.control.is_some())
}
