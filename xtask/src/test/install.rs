//! The Debian packages that the tests need. Only missing ones are installed, and only as root.

use std::path::Path;
use std::process::Command;

use super::postgres;
use crate::shell::{self, Result, which};

/// Installs the missing packages, or prints the command for it. Tests that lack one are skipped,
/// and the report names them.
pub(crate) fn debian_packages() {
    let missing: Vec<&str> = missing();
    if missing.is_empty() {
        return;
    }
    let install = format!("apt-get install {}", missing.join(" "));
    if !postgres::is_root() || which("apt-get").is_none() {
        println!("missing, and not ours to install: {install}");
        return;
    }
    println!("installing what is missing: {}", missing.join(" "));
    if let Err(reason) = apt(&["update", "-q"]).and_then(|()| {
        apt(&[&["install", "-q", "-y", "--no-install-recommends"], missing.as_slice()].concat())
    }) {
        println!("`{install}` did not work: {reason}");
    }
}

fn missing() -> Vec<&'static str> {
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(_, program)| which(program).is_none())
        .map(|(package, _)| *package)
        .collect();
    if postgres::programs().is_none() {
        missing.push("postgresql");
    }
    // Without these modules, Python can neither create a virtual environment nor install into one.
    if shell::output(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_err() {
        missing.push("python3-venv");
    }
    if !Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        missing.push("ca-certificates");
    }
    missing
}

/// Packages, each with a program whose presence shows that it is installed.
const PROGRAMS: &[(&str, &str)] = &[
    ("curl", "curl"),
    ("ldap-utils", "ldapwhoami"),
    ("nodejs", "node"),
    ("npm", "npm"),
    ("openssl", "openssl"),
    ("postgresql-client", "psql"),
    ("python3", "python3"),
    ("slapd", "slapd"),
    ("util-linux", "setpriv"),
];

fn apt(arguments: &[&str]) -> Result {
    let mut apt = Command::new("apt-get");
    // A `policy-rc.d` would keep packages from starting servers. It is not needed: our servers use
    // free ports, so others do no harm.
    apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    shell::run(&mut apt)
}
