//! `cargo test`, with the way to the targets in its environment.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::report::{Report, Row};
use super::targets::Targets;
use crate::shell::{Result, cargo};

pub(crate) fn run(targets: &Targets, report: &mut Report) {
    let mut row = match cargo_test(targets) {
        Ok(row) => row,
        Err(reason) => Row::of("workspace").failing(reason),
    };
    for (system, missing) in
        [("OpenLDAP", targets.ldap.as_ref().err()), ("PostgreSQL", targets.postgres.as_ref().err())]
    {
        if let Some(reason) = missing {
            row = row.skipping(format!("everything that needs {system}: {reason}"));
        }
    }
    report.add(row);
}

fn cargo_test(targets: &Targets) -> Result<Row> {
    let mut cargo = cargo();
    cargo.args(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    cargo.envs(targets.variables()?).stdout(Stdio::piped());
    let mut child = cargo.spawn().map_err(|e| format!("cannot start cargo: {e}"))?;
    let mut row = Row::of("workspace");
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let line = line.map_err(|e| format!("cannot read what cargo says: {e}"))?;
        println!("{line}");
        count(&line, &mut row);
    }
    let status = child.wait().map_err(|e| format!("cargo is lost: {e}"))?;
    if !status.success() && row.failures.is_empty() {
        row.failures.push(format!("cargo test: {status}"));
    }
    Ok(row)
}

/// Takes over what one line says: a summary's passed tests, or one that failed or was ignored.
fn count(line: &str, row: &mut Row) {
    if let Some(summary) = line.strip_prefix("test result: ") {
        let passed = summary.split_once(". ").and_then(|(_, counts)| counts.split_once(" passed"));
        row.passed += passed.and_then(|(number, _)| number.parse::<usize>().ok()).unwrap_or(0);
    } else if let Some((name, outcome)) =
        line.strip_prefix("test ").and_then(|test| test.rsplit_once(" ... "))
    {
        if outcome == "FAILED" {
            row.failures.push(name.to_owned());
        } else if outcome.starts_with("ignored") {
            row.skips.push(format!("{name}: {outcome}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says_is_counted() {
        let mut row = Row::default();
        for line in [
            "test a::works ... ok",
            "test a::breaks ... FAILED",
            "test b::waits ... ignored, needs a tenant",
            "test result: FAILED. 12 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out",
            "test result: ok. 30 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            count(line, &mut row);
        }
        assert_eq!(row.passed, 42);
        assert_eq!(row.failures, ["a::breaks"]);
        assert_eq!(row.skips, ["b::waits: ignored, needs a tenant"]);
    }
}
