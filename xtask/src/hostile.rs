//! Hostile connected systems, clients and networks.

use clap::Args;

use crate::proof::{self, Proof};
use crate::shell::Result;

/// Which attacks.
#[derive(Args)]
pub(crate) struct Options {
    /// Only the attacks whose name contains this; may be given more than once
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Leave out the attacks whose name contains this; may be given more than once
    #[arg(long, value_name = "TEXT")]
    except: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result {
    let proof = Proof::plain("hostile").each("--only", &options.only);
    proof::run("hostile", &[proof.each("--except", &options.except)])
}

/// One family of attacks.
pub(crate) fn family(name: &str) -> Vec<Proof> {
    vec![Proof::plain("hostile").with("--only", Some(name))]
}

/// Every attack of no family that has a suite of its own.
pub(crate) fn others(families: &[&str]) -> Vec<Proof> {
    vec![Proof::plain("hostile").each("--except", families)]
}
