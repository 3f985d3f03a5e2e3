//! Installs the official clients, unmodified, from their registries, each into a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Result, root, target};

/// The interpreter of a virtual environment with the packages in the file `requirements`.
pub(crate) fn python(requirements: &str) -> Result<PathBuf> {
    let wanted = root().join(requirements);
    let name = wanted.file_stem().unwrap_or_default();
    let folder = tools().join(name);
    let python = folder.join("bin/python");
    once(&folder, &wanted, || {
        shell::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
        shell::output(pip.arg(&wanted)).map(drop)
    })?;
    Ok(python)
}

/// A folder with `node_modules` and a copy of our script: Node.js searches packages beside the
/// script.
pub(crate) fn node() -> Result<PathBuf> {
    let ours = root().join("verify/clients/node");
    let folder = tools().join("node");
    shell::make_folder(&folder)?;
    once(&folder, &ours.join("package.json"), || {
        copy(&ours, &folder, "package.json")?;
        let mut npm = Command::new("npm");
        npm.current_dir(&folder);
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]);
        shell::output(&mut npm).map(drop)
    })?;
    copy(&ours, &folder, "flow.mjs")?;
    Ok(folder)
}

/// Installs a client unless an earlier run has installed it from the same list.
fn once(folder: &Path, wanted: &Path, install: impl FnOnce() -> Result) -> Result {
    let wanted = shell::read(wanted)?;
    let done = folder.join("installed");
    if shell::read(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("installing into {}", folder.display());
    install()?;
    shell::write(&done, &wanted)
}

fn copy(from: &Path, to: &Path, name: &str) -> Result {
    let copied = std::fs::copy(from.join(name), to.join(name));
    copied.map(drop).map_err(|e| format!("cannot copy {name}: {e}"))
}

fn tools() -> PathBuf {
    target().join("test-tools")
}
