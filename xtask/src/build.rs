//! The builds for tests and proofs.
//!
//! All builds use the same flags, so that dependencies compile once: Cargo unifies features over
//! the selected packages, and `--package rekey` alone would select other features of tokio, hyper
//! and axum than the tests do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::shell::{self, Result, cargo, root, target};

const WORKSPACE: [&str; 2] = ["--workspace", "--all-features"];

/// Builds rekey, `rekey-proof` and the library that is preloaded into a server.
pub(crate) fn programs() -> Result {
    let mut cargo = cargo();
    cargo.arg("build").args(WORKSPACE).args(["--bin", "rekey", "--bin", "rekey-proof"]);
    shell::run(cargo.args(["--lib"]))
}

/// The path of the unoptimized rekey without proof switches.
pub(crate) fn rekey() -> PathBuf {
    target().join("debug/rekey")
}

/// Builds rekey with its proof switches (`--cfg rekey_proof`).
pub(crate) fn proof_build() -> Result {
    let mut cargo = cargo();
    cargo.arg("build").args(WORKSPACE).args(["--bin", "rekey"]);
    shell::run(switched(&mut cargo, "proof"))
}

/// The path of rekey with its proof switches.
pub(crate) fn proof_rekey() -> PathBuf {
    target().join("proof/debug/rekey")
}

/// Makes cargo compile this project's packages with `verify/proof/rustc` or
/// `verify/timing/rustc-leaky`. Dependencies are shared with all other builds; the binaries get a
/// folder of their own.
pub(crate) fn switched<'a>(cargo: &'a mut Command, name: &str) -> &'a mut Command {
    let wrapper = match name {
        "leaky" => root().join("verify/timing/rustc-leaky"),
        _ => root().join("verify/proof/rustc"),
    };
    cargo
        .env("RUSTC_WORKSPACE_WRAPPER", wrapper)
        .env("CARGO_BUILD_BUILD_DIR", target())
        .env("CARGO_TARGET_DIR", target().join(name))
}

/// A compiled test binary.
pub(crate) struct TestBinary {
    /// `it` for `crates/rekey/tests/it`; the crate's name for its unit tests.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    /// The working folder that `cargo test` would use.
    pub(crate) folder: PathBuf,
}

/// Builds all tests of the workspace, and writes the list of their binaries to `list`.
pub(crate) fn tests(list: &Path) -> Result {
    let mut cargo = cargo();
    cargo.arg("test").args(WORKSPACE).args(["--no-run", "--lib", "--bins", "--tests"]);
    cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let out = cargo.output().map_err(|e| format!("cannot start cargo: {e}"))?;
    if !out.status.success() {
        return Err(format!("the tests do not compile: {}", out.status));
    }
    let messages = String::from_utf8_lossy(&out.stdout);
    let binary = |line: &str| test_binary(&serde_json::from_str(line).ok()?);
    let binaries: Vec<_> = messages.lines().filter_map(binary).collect();
    shell::write(list, &Value::from(binaries).to_string())
}

/// Reads the list that [`tests`] wrote: suites run these binaries, whatever is edited meanwhile.
pub(crate) fn built_tests(list: &Path) -> Result<Vec<TestBinary>> {
    let text = shell::read(list)?;
    let binaries: Vec<Value> =
        serde_json::from_str(&text).map_err(|e| format!("the list of tests is broken: {e}"))?;
    let member = |binary: &Value, name| Some(binary.get(name)?.as_str()?.to_owned());
    let binary = |binary: &Value| {
        Some(TestBinary {
            name: member(binary, "name")?,
            file: member(binary, "file")?.into(),
            folder: member(binary, "folder")?.into(),
        })
    };
    Ok(binaries.iter().filter_map(binary).collect())
}

/// The test binary that a message of cargo reports, if any.
fn test_binary(message: &Value) -> Option<Value> {
    if message.pointer("/profile/test")?.as_bool() != Some(true) {
        return None;
    }
    let manifest = Path::new(message.get("manifest_path")?.as_str()?);
    Some(json!({
        "name": message.pointer("/target/name")?.as_str()?,
        "file": message.get("executable")?.as_str()?,
        "folder": manifest.parent()?.to_str()?,
    }))
}
