//! `kill -9` again and again: what `rekey-proof crash` says on each store, and that it says it when
//! the promise is broken.

use crate::proof::{self, Proof};
use crate::shell::Result;

/// On the store that `--store` names, or on both.
pub(crate) fn run(options: &[&str]) -> Result {
    if options.contains(&"--store") {
        return run_each(&[&[&["crash"], options].concat()]);
    }
    let [sqlite, postgres] =
        ["sqlite", "postgres"].map(|store| [&["crash", "--store", store], options].concat());
    run_each(&[&sqlite, &postgres])
}

/// Two hundred deaths on each store, and a server that answers before it commits.
pub(crate) fn quick() -> Result {
    run_each(&[
        &["crash", "--store", "sqlite", "--cycles", "200"],
        &["crash", "--store", "postgres", "--cycles", "200"],
        &["crash", "--store", "sqlite", "--cycles", "8", "--control"],
        &["crash", "--store", "postgres", "--cycles", "8", "--control"],
    ])
}

fn run_each(each: &[&[&str]]) -> Result {
    let proofs: Vec<_> = each.iter().map(|words| Proof { words, is_proof_build: true }).collect();
    proof::run("crash", &proofs)
}
