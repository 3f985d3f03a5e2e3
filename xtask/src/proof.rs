//! Proofs by force: `rekey-proof` on the real binary, with the target systems at hand.

use std::path::PathBuf;
use std::process::Command;

use crate::shell::{self, Result, cargo};
use crate::test::with_targets;

/// A run of `rekey-proof`.
pub(crate) struct Proof<'a> {
    /// Its words.
    pub(crate) words: &'a [&'a str],
    /// Whether rekey must be a proof build: one that stops itself, or breaks a promise, when told.
    pub(crate) is_proof_build: bool,
}

/// Runs them one after the other, on the same target systems.
pub(crate) fn run(name: &str, proofs: &[Proof]) -> Result {
    shell::run(cargo().args(["build", "--package", "rekey", "--bin", "rekey"]))?;
    shell::run(cargo().args(["build", "--package", "rekey-proof"]))?;
    let plain = shell::target().join("debug/rekey");
    let is_wanted = proofs.iter().any(|proof| proof.is_proof_build);
    let proof_build = if is_wanted { Some(proof_build()?) } else { None };
    with_targets(name, |variables| {
        for Proof { words, is_proof_build } in proofs {
            println!("\n-- rekey-proof {}", words.join(" "));
            let binary = proof_build.as_ref().filter(|_| *is_proof_build).unwrap_or(&plain);
            let mut proof = Command::new(shell::target().join("debug/rekey-proof"));
            proof.args(*words).env("REKEY_BINARY", binary).envs(variables.iter().cloned());
            shell::run(&mut proof)?;
        }
        Ok(())
    })
}

/// Builds rekey with its proof switches, in a folder of its own: the flag is part of everything.
fn proof_build() -> Result<PathBuf> {
    let target = shell::target().join("proof");
    let mut cargo = cargo();
    cargo.args(["build", "--package", "rekey", "--bin", "rekey"]);
    shell::run(cargo.env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", "--cfg rekey_proof"))?;
    Ok(target.join("debug/rekey"))
}
