//! Runs the pipeline in simulated time: see `verify/simulation`.

use clap::Args;

use crate::shell::{self, Result, cargo};

/// Which histories.
#[derive(Args)]
pub(crate) struct Options {
    /// How many seeds [default: 2000]
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed [default: 0]
    #[arg(long, value_name = "SEED")]
    from: Option<u64>,
    /// Only this seed, printed step by step
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Only this pipeline that is wrong on purpose
    #[arg(long, value_name = "NAME")]
    control: Option<String>,
    /// Leave out the pipelines that are wrong on purpose
    #[arg(long, conflicts_with = "control")]
    no_controls: bool,
    /// Threads [default: one a processor]
    #[arg(long)]
    threads: Option<usize>,
}

pub(crate) fn run(options: &Options) -> Result {
    let mut cargo = cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "rekey-simulation", "--"]);
    for (name, value) in
        [("--seeds", options.seeds), ("--from", options.from), ("--seed", options.seed)]
    {
        cargo.args(value.map(|value| format!("{name}={value}")));
    }
    cargo.args(options.control.iter().map(|name| format!("--control={name}")));
    cargo.args(options.threads.map(|threads| format!("--threads={threads}")));
    cargo.args(options.no_controls.then_some("--no-controls"));
    shell::run(&mut cargo)
}
