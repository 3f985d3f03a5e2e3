//! Measures the speed of rekey and of the machine under it: see `verify/bench`.

use clap::Args;

use crate::shell::{self, Result, cargo, target};
use crate::test::with_targets;

/// What is measured, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Only these; everything without, in about 7 minutes
    #[arg(value_parser = ["accept", "changes", "footprint", "operations", "postgres"])]
    names: Vec<String>,
    /// Rougher figures in about 2 minutes, with fewer accounts
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(options: &Options) -> Result {
    with_targets("bench", |variables| {
        let packages = ["--package", "rekey", "--package", "powerloss-shim"];
        shell::run(cargo().args(["build", "--release"]).args(packages))?;
        let mut cargo = cargo();
        cargo.args(["run", "--quiet", "--release", "--package", "rekey-bench", "--"]);
        cargo.env("REKEY_BENCH_SHIM", target().join("release/libpowerloss_shim.so"));
        cargo.args(&options.names).envs(variables.iter().cloned());
        if options.quick {
            let less = [("SECONDS", "2"), ("ACCOUNTS", "20000"), ("MOST_ACCOUNTS", "200000")];
            cargo.envs(less.map(|(name, value)| (format!("REKEY_BENCH_{name}"), value)));
        }
        shell::run(&mut cargo)
    })
}
