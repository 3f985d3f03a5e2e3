//! The proof with repeated power failures.

use clap::Args;

use crate::proof::{self, Proof};
use crate::shell::Result;

/// How often, and what fails beside the power.
#[derive(Args)]
pub(crate) struct Options {
    /// How often the power fails [default: 100]
    #[arg(long)]
    cycles: Option<usize>,
    /// Have syncs fail for a while in each cycle
    #[arg(long)]
    failing_syncs: bool,
    /// Run the negative control: a store that syncs too little must be found
    #[arg(long)]
    control: bool,
}

pub(crate) fn run(options: &Options) -> Result {
    let proof = Proof::switched("power")
        .with("--cycles", options.cycles)
        .flag("--failing-syncs", options.failing_syncs)
        .flag("--control", options.control);
    proof::run("power", &[proof])
}

/// The proof with this number of power failures, and its control: a store that does not sync its
/// log.
pub(crate) fn suite(cycles: usize) -> Vec<Proof> {
    vec![
        Proof::switched("power").with("--cycles", Some(cycles)),
        Proof::switched("power --cycles 6 --control"),
    ]
}

/// The proof with failing syncs, and its control: a store that relies on data whose sync failed.
pub(crate) fn failing_syncs(cycles: usize) -> Vec<Proof> {
    vec![
        Proof::switched("power --failing-syncs").with("--cycles", Some(cycles)),
        Proof::switched("power --cycles 24 --failing-syncs --control"),
    ]
}
