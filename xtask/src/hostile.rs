//! Hostile connected systems, clients and networks.

use clap::Args;

use crate::proof::{self, Proof};
use crate::shell::Result;

/// Which attacks.
#[derive(Args)]
pub(crate) struct Options {
    /// Only the attacks whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result {
    proof::run("hostile", &[Proof::plain("hostile").with("--only", options.only.as_ref())])
}

/// The attacks whose names begin so.
pub(crate) fn suite(family: &str) -> Vec<Proof> {
    vec![Proof::plain("hostile").with("--only", Some(family))]
}
