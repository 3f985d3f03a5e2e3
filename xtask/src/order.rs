//! The proof that several nodes keep one order of acceptance.

use clap::Args;

use crate::proof::{self, Proof};
use crate::shell::Result;

/// How many races, and on how many nodes.
#[derive(Args)]
pub(crate) struct Options {
    /// Racing pairs for each kind of system, at least [default: 500]
    #[arg(long)]
    pairs: Option<usize>,
    /// Nodes that serve the one store [default: 2]
    #[arg(long)]
    nodes: Option<u64>,
    /// Accounts of each kind that are raced for at once [default: 25]
    #[arg(long)]
    accounts: Option<usize>,
    /// Repeat the random choices of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// Run a negative control: an order that is broken on purpose must be found
    #[arg(long, value_parser = ["early-sequence"])]
    control: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result {
    let proof = Proof::switched("order")
        .with("--pairs", options.pairs)
        .with("--nodes", options.nodes)
        .with("--accounts", options.accounts)
        .with("--seed", options.seed)
        .with("--control", options.control.as_ref());
    proof::run("order", &[proof])
}

/// The proof on two nodes, until they have been through all stops, and its control: a broken order.
pub(crate) fn suite() -> Vec<Proof> {
    vec![
        Proof::switched("order --pairs 100"),
        Proof::switched("order --pairs 50 --accounts 15 --control early-sequence"),
    ]
}
