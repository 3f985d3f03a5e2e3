//! The proofs with hostile connected systems, clients and networks.

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

/// The attacks of one family.
pub(crate) fn family(name: &str) -> Vec<Proof> {
    vec![Proof::plain("hostile").with("--only", Some(name))]
}

/// All attacks but those of families with a suite of their own.
pub(crate) fn others(families: &[&str]) -> Vec<Proof> {
    vec![Proof::plain("hostile").each("--except", families)]
}
