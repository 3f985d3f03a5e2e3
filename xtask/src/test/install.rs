//! The Debian packages the tests need. Only what is missing is installed, and only by root.

use std::path::Path;
use std::process::Command;

use super::postgres;
use crate::shell::{self, Result, which};

/// Installs what is missing, or says what to install: what then cannot run is skipped by name.
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
    // A Python without it can neither make an environment nor install into one.
    if shell::output(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_err() {
        missing.push("python3-venv");
    }
    if !Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        missing.push("ca-certificates");
    }
    missing
}

/// A package, and a program that shows whether it is there.
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
    // `policy-rc.d` would be the tidy way to keep packages from starting servers; ours use
    // free ports, so one that starts does no harm.
    apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    shell::run(&mut apt)
}
