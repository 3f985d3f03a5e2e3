//! The proofs with faults on the wire and of the store.

use clap::Args;

use crate::proof::{self, Proof};
use crate::shell::Result;

/// Which faults, and how often.
#[derive(Args)]
pub(crate) struct Options {
    /// Faults of the store instead of the wire: of both kinds of store, or of one
    #[arg(long, value_name = "STORE", num_args = 0..=1, default_missing_value = BOTH)]
    #[arg(value_parser = [BOTH, "sqlite", "postgres"], conflicts_with = "each")]
    store: Option<String>,
    /// How often each fault happens at each moment of a write [default: 2]
    #[arg(long)]
    each: Option<usize>,
    /// Run the negative control: a promise that is broken on purpose must be found
    #[arg(long, value_name = "CONTROL", num_args = 0..=1, default_missing_value = BLIND_RETRY)]
    #[arg(value_parser = [BLIND_RETRY])]
    control: Option<String>,
}

const BOTH: &str = "both";
const BLIND_RETRY: &str = "blind-retry";

pub(crate) fn run(options: &Options) -> Result {
    let is_control = options.control.is_some();
    let start = |words| if is_control { Proof::switched(words) } else { Proof::plain(words) };
    let proof = match &options.store {
        Some(store) => start("faults-of-the-store")
            .with("--store", Some(store).filter(|store| *store != BOTH))
            .flag("--control", is_control),
        None => {
            start("faults").with("--each", options.each).with("--control", options.control.as_ref())
        }
    };
    proof::run("faults", &[proof])
}

/// The proof with each fault once, and its control: a server that repeats a write whose answer was
/// lost.
pub(crate) fn wire() -> Vec<Proof> {
    vec![
        Proof::plain("faults --each 1"),
        Proof::switched("faults --each 1").with("--control", Some(BLIND_RETRY)),
    ]
}

/// The proof on one kind of store.
pub(crate) fn store(name: &str) -> Vec<Proof> {
    vec![Proof::plain("faults-of-the-store").with("--store", Some(name))]
}

/// The negative control: a server that answers before it commits.
pub(crate) fn store_control() -> Vec<Proof> {
    vec![Proof::switched("faults-of-the-store --control")]
}
