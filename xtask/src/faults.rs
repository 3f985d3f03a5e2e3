//! Faults on the wire and of the store.

use crate::power::build_shim;
use crate::proof::{self, Proof};
use crate::shell::Result;

/// `--store` tries the store; everything else is passed on to the trouble on the wire.
pub(crate) fn run(options: &[&str]) -> Result {
    if let ["--store", options @ ..] = options {
        build_shim()?;
        let (words, is_proof_build) =
            ([&["faults-of-the-store"], options].concat(), options.contains(&"--control"));
        return proof::run("store", &[Proof { words: &words, is_proof_build }]);
    }
    let is_proof_build = options.contains(&"--control");
    proof::run("faults", &[Proof { words: &[&["faults"], options].concat(), is_proof_build }])
}

/// Each trouble once, and once where a lost answer is taken for leave to send again.
pub(crate) fn wire() -> Result {
    proof::run(
        "faults",
        &[
            Proof { words: &["faults", "--each", "1"], is_proof_build: false },
            Proof {
                words: &["faults", "--each", "1", "--control", "blind-retry"],
                is_proof_build: true,
            },
        ],
    )
}

/// Both kinds of store, and a server that answers before it commits.
pub(crate) fn store() -> Result {
    build_shim()?;
    proof::run(
        "store",
        &[
            Proof { words: &["faults-of-the-store"], is_proof_build: false },
            Proof { words: &["faults-of-the-store", "--control"], is_proof_build: true },
        ],
    )
}
