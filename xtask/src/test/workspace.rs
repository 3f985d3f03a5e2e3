//! Runs compiled tests, with the target systems described in their environment.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::report::Row;
use super::targets::Targets;
use crate::build::{self, TestBinary};
use crate::shell::Result;

/// A selection of the workspace's tests.
pub(crate) enum Tests {
    /// The test binary with this name.
    Named(&'static str),
    /// All test binaries but these.
    Others(&'static [&'static str]),
}

/// Parallel tests in a binary whose tests mostly wait; libtest's default is one for each processor.
const THREADS: &str = "3";

pub(crate) fn run(tests: &Tests, list: &Path, targets: &Targets, row: &mut Row) {
    for (system, missing) in
        [("OpenLDAP", targets.ldap.as_ref().err()), ("PostgreSQL", targets.postgres.as_ref().err())]
    {
        if let Some(reason) = missing {
            row.skips.push(format!("everything that needs {system}: {reason}"));
        }
    }
    let ran = build::built_tests(list).and_then(|binaries| {
        let is_wanted = |binary: &&TestBinary| match tests {
            Tests::Named(name) => binary.name == *name,
            Tests::Others(names) => !names.contains(&binary.name.as_str()),
        };
        for binary in binaries.iter().filter(is_wanted) {
            one(binary, matches!(tests, Tests::Named(_)), targets, row)?;
        }
        Ok(())
    });
    if let Err(reason) = ran {
        row.failures.push(reason);
    }
    if row.passed == 0 && row.failures.is_empty() {
        row.failures.push("no test ran".to_owned());
    }
}

fn one(binary: &TestBinary, waits: bool, targets: &Targets, row: &mut Row) -> Result {
    println!("\n-- {}", binary.name);
    let mut command = Command::new(&binary.file);
    command.current_dir(&binary.folder).env("CARGO_MANIFEST_DIR", &binary.folder);
    if waits {
        command.args(["--test-threads", THREADS]);
    }
    command.envs(targets.variables()?).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("cannot start {}: {e}", binary.name))?;
    let failed = row.failures.len();
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let line = line.map_err(|e| format!("cannot read the output of {}: {e}", binary.name))?;
        println!("{line}");
        count(&line, row);
    }
    let status = child.wait().map_err(|e| format!("{} is lost: {e}", binary.name))?;
    if !status.success() && row.failures.len() == failed {
        row.failures.push(format!("{}: {status}", binary.name));
    }
    Ok(())
}

/// Counts one line of libtest's output: the passed tests of a summary, or a failed or ignored test.
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
    fn the_output_of_libtest_is_counted() {
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
