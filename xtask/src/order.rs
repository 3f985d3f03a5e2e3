//! Several nodes, one order: what `rekey-proof order` says, and that it says it when the order is
//! broken.

use crate::proof::{self, Proof};
use crate::shell::Result;

/// Passes the options on.
pub(crate) fn run(options: &[&str]) -> Result {
    proof::run("order", &[Proof { words: &[&["order"], options].concat(), is_proof_build: true }])
}

/// Two nodes, until they have been through all stops, and an order that is broken.
pub(crate) fn quick() -> Result {
    let run = |words| Proof { words, is_proof_build: true };
    let broken = ["order", "--pairs", "50", "--accounts", "15", "--control", "early-sequence"];
    proof::run("order", &[run(&["order", "--pairs", "100"]), run(&broken)])
}
