//! The power goes, again and again: what `rekey-proof power` says, and that it says it when the
//! store syncs too little.

use crate::proof::{self, Proof};
use crate::shell::{self, Result, cargo};

pub(crate) fn run(options: &[&str]) -> Result {
    run_each(&[&[&["power"], options].concat()])
}

/// A hundred power failures, and a few of a store that does not sync its log; then the same where
/// syncs fail, and with a store that builds on what they failed to write.
pub(crate) fn quick() -> Result {
    run_each(&[
        &["power", "--cycles", "100"],
        &["power", "--cycles", "6", "--control"],
        &["power", "--cycles", "40", "--failing-syncs"],
        &["power", "--cycles", "24", "--failing-syncs", "--control"],
    ])
}

/// What is preloaded into the server.
pub(crate) fn build_shim() -> Result {
    shell::run(cargo().args(["build", "--package", "powerloss-shim"]))
}

fn run_each(each: &[&[&str]]) -> Result {
    build_shim()?;
    let proofs: Vec<_> = each.iter().map(|words| Proof { words, is_proof_build: true }).collect();
    proof::run("power", &proofs)
}
