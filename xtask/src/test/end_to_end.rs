//! Tests with real clients against the real binary, on each kind of store.
//!
//! A script prints a line for each of its checks: `ok NAME`, `not ok NAME: REASON`, or
//! `skip NAME: REASON`. All other lines are shown but not counted.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use super::clients;
use super::report::Row;
use super::run::Run;
use super::site::{Connected, Site, Store};
use super::targets::Targets;
use crate::shell::{Result, root};

/// A program that uses rekey as its clients do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Canary,
    Malformed,
    Node,
    OpenSsl,
    PythonNewest,
    PythonOlder,
    Schemathesis,
}

pub(crate) fn run(client: Client, targets: &Targets, run: &Run, row: &mut Row) {
    for (store, name) in [(Store::Sqlite, "SQLite"), (Store::Postgresql, "PostgreSQL")] {
        println!("\n-- on {name}");
        let (connected, script) = match connected(targets).and_then(|c| Ok((c, script(client)?))) {
            Ok(ready) => ready,
            Err(reason) => {
                row.merge(Row::of(name).skipping(reason));
                continue;
            }
        };
        // The canary searches everything that rekey can log.
        let log = if client == Client::Canary { "trace" } else { "info" };
        let started =
            run.folder(name).and_then(|folder| Site::start(folder, store, log, &connected));
        row.merge(match started.and_then(|site| check(&site, &script, name)) {
            Ok(row) => row,
            Err(reason) => Row::of(name).failing(reason),
        });
    }
}

/// Runs the script and counts its checks.
fn check(site: &Site, script: &Script, title: &str) -> Result<Row> {
    let mut command = site.command(&script.program);
    command.args(&script.arguments).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("cannot start the script: {e}"))?;
    let mut row = Row::of(title);
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let line = line.map_err(|e| format!("cannot read the output of the script: {e}"))?;
        println!("{line}");
        count(&line, &mut row);
    }
    let status = child.wait().map_err(|e| format!("the script is lost: {e}"))?;
    if !status.success() && row.failures.is_empty() {
        row.failures.push(format!("the script ended with {status}"));
    }
    if row.passed + row.failures.len() + row.skips.len() == 0 {
        row.failures.push("the script checked nothing".to_owned());
    }
    Ok(row)
}

fn count(line: &str, row: &mut Row) {
    if line.starts_with("ok ") {
        row.passed += 1;
    } else if let Some(reason) = line.strip_prefix("not ok ") {
        row.failures.push(reason.to_owned());
    } else if let Some(reason) = line.strip_prefix("skip ") {
        row.skips.push(reason.to_owned());
    }
}

/// The program and the script of a client.
struct Script {
    program: PathBuf,
    arguments: Vec<PathBuf>,
}

fn script(client: Client) -> Result<Script> {
    let ours = root().join("verify");
    let (program, script) = match client {
        Client::Canary => (clients::python(NEWEST)?, ours.join("secrets/canary.py")),
        Client::Malformed => (clients::python(NEWEST)?, ours.join("clients/malformed.py")),
        Client::Node => (PathBuf::from("node"), clients::node()?.join("flow.mjs")),
        Client::OpenSsl => (PathBuf::from("bash"), ours.join("clients/openssl/flow.sh")),
        Client::PythonNewest => (clients::python(NEWEST)?, ours.join("clients/python/flow.py")),
        Client::PythonOlder => (clients::python(OLDER)?, ours.join("clients/python/flow.py")),
        Client::Schemathesis => (clients::python(SCHEMATHESIS)?, ours.join("schemathesis/run.py")),
    };
    Ok(Script { program, arguments: vec![script] })
}

/// Installs all clients, so that suites in parallel do not install the same one at once. A suite
/// whose client cannot be installed is skipped and reports why.
pub(crate) fn install_clients() {
    for requirements in [NEWEST, OLDER, SCHEMATHESIS] {
        if let Err(reason) = clients::python(requirements) {
            println!("{reason}");
        }
    }
    if let Err(reason) = clients::node() {
        println!("{reason}");
    }
}

const NEWEST: &str = "verify/clients/python/newest.txt";
const OLDER: &str = "verify/clients/python/older.txt";
const SCHEMATHESIS: &str = "verify/schemathesis/schemathesis.txt";

fn connected(targets: &Targets) -> Result<Connected<'_>> {
    Ok(Connected {
        ldap: targets.ldap.as_ref().map_err(Clone::clone)?,
        postgres: targets.postgres.as_ref().map_err(Clone::clone)?,
        certificate: targets.certificate(),
    })
}
