//! Long-running proofs: `rekey-proof` drives the real binary and the target systems.

use std::fmt::Display;
use std::process::Command;

use crate::build;
use crate::shell::{self, Result, target};
use crate::test::with_targets;

/// A run of `rekey-proof`.
pub(crate) struct Proof {
    words: Vec<String>,
    /// Whether the proof needs a proof build: one that can stop itself or break a promise on
    /// purpose.
    is_proof_build: bool,
}

impl Proof {
    /// A proof on a binary without proof switches.
    pub(crate) fn plain(words: &str) -> Self {
        Self { words: words.split(' ').map(str::to_owned).collect(), is_proof_build: false }
    }

    /// A proof that needs the switches of a proof build.
    pub(crate) fn switched(words: &str) -> Self {
        Self { is_proof_build: true, ..Self::plain(words) }
    }

    /// Passes an option on if it has a value.
    pub(crate) fn with(mut self, option: &str, value: Option<impl Display>) -> Self {
        if let Some(value) = value {
            self.words.extend([option.to_owned(), value.to_string()]);
        }
        self
    }

    /// Passes an option on once for each value.
    pub(crate) fn each(mut self, option: &str, values: &[impl Display]) -> Self {
        for value in values {
            self.words.extend([option.to_owned(), value.to_string()]);
        }
        self
    }

    /// Passes a flag on if it is set.
    pub(crate) fn flag(mut self, option: &str, is_set: bool) -> Self {
        self.words.extend(is_set.then(|| option.to_owned()));
        self
    }
}

/// Builds the programs that the proofs need, then runs the proofs one after another on the same
/// target systems.
pub(crate) fn run(name: &str, proofs: &[Proof]) -> Result {
    build::programs()?;
    if proofs.iter().any(|proof| proof.is_proof_build) {
        build::proof_build()?;
    }
    with_targets(name, |variables| each(proofs, variables))
}

/// Runs proofs whose programs have been built.
pub(crate) fn each(proofs: &[Proof], variables: &[(&'static str, String)]) -> Result {
    for Proof { words, is_proof_build } in proofs {
        println!("\n-- rekey-proof {}", words.join(" "));
        let rekey = if *is_proof_build { build::proof_rekey() } else { build::rekey() };
        let mut proof = Command::new(target().join("debug/rekey-proof"));
        proof.args(words).env("REKEY_BINARY", rekey).envs(variables.iter().cloned());
        shell::run(&mut proof)?;
    }
    Ok(())
}
