//! Hostile connected systems, clients and networks.

use crate::proof::{self, Proof};
use crate::shell::Result;

/// Every attack, or those that the options name.
pub(crate) fn run(options: &[&str]) -> Result {
    let words = [&["hostile"], options].concat();
    proof::run("hostile", &[Proof { words: &words, is_proof_build: false }])
}

/// Every attack.
pub(crate) fn all() -> Result {
    run(&[])
}
