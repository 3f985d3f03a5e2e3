//! Several nodes, one order: what `rekey-proof order` says, and that it says it when the order is
//! broken.

use crate::proof::{self, Proof};
use crate::shell::Result;

/// Passes the options on.
pub(crate) fn run(options: &[&str]) -> Result {
    proof::run("order", &[Proof { words: &[&["order"], options].concat(), is_proof_build: true }])
}

/// Two nodes, until they have been through all stops.
pub(crate) fn quick() -> Result {
    let words = &["order", "--pairs", "300"];
    proof::run("order", &[Proof { words, is_proof_build: true }])
}
