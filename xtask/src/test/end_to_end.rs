//! Real clients against the real binary, once for each kind of store.
//!
//! A script says one line for each of its checks: `ok NAME`, `not ok NAME: REASON` or
//! `skip NAME: REASON`. Whatever else it says is shown and not counted.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use super::clients;
use super::report::{Report, Row};
use super::run::Run;
use super::site::{Connected, Site, Store};
use super::suite::Suite;
use super::targets::Targets;
use crate::shell::{Result, root};

pub(crate) fn run(suite: Suite, targets: &Targets, run: &Run, report: &mut Report) {
    for (store, name) in [(Store::Sqlite, "SQLite"), (Store::Postgresql, "PostgreSQL")] {
        let title = format!("{} on {name}", suite.name());
        println!("\n== {title}");
        let (connected, script) = match connected(targets).and_then(|c| Ok((c, script(suite)?))) {
            Ok(ready) => ready,
            Err(reason) => {
                report.add(Row::of(title).skipping(reason));
                continue;
            }
        };
        // Everything rekey can say, where the search is for what it must not say.
        let log = if suite == Suite::Canary { "trace" } else { "info" };
        let folder = run.folder(&format!("{}-{name}", suite.name()));
        let started = folder.and_then(|folder| Site::start(folder, store, log, &connected));
        report.add(match started.and_then(|site| check(&site, &script, &title)) {
            Ok(row) => row,
            Err(reason) => Row::of(title).failing(reason),
        });
    }
}

/// Runs the script and counts what it says.
fn check(site: &Site, script: &Script, title: &str) -> Result<Row> {
    let mut command = site.command(&script.program);
    command.args(&script.arguments).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("cannot start the script: {e}"))?;
    let mut row = Row::of(title);
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let line = line.map_err(|e| format!("cannot read what the script says: {e}"))?;
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

/// What a suite runs.
struct Script {
    program: PathBuf,
    arguments: Vec<PathBuf>,
}

fn script(suite: Suite) -> Result<Script> {
    let ours = root().join("verify");
    let (program, script) = match suite {
        Suite::Canary => (clients::python(NEWEST)?, ours.join("secrets/canary.py")),
        Suite::Malformed => (clients::python(NEWEST)?, ours.join("clients/malformed.py")),
        Suite::Node => (PathBuf::from("node"), clients::node()?.join("flow.mjs")),
        Suite::OpenSsl => (PathBuf::from("bash"), ours.join("clients/openssl/flow.sh")),
        Suite::PythonNewest => (clients::python(NEWEST)?, ours.join("clients/python/flow.py")),
        Suite::PythonOlder => (clients::python(OLDER)?, ours.join("clients/python/flow.py")),
        Suite::Schemathesis => (clients::python(SCHEMATHESIS)?, ours.join("schemathesis/run.py")),
        Suite::Crash
        | Suite::Faults
        | Suite::Hostile
        | Suite::Order
        | Suite::Power
        | Suite::Fuzz
        | Suite::Store
        | Suite::Timing
        | Suite::Workspace => {
            return Err(format!("{} is not a script", suite.name()));
        }
    };
    Ok(Script { program, arguments: vec![script] })
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
