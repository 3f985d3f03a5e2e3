//! Runs suites in parallel, as many as the processors can carry.
//!
//! Each suite is a process of its own with its own target systems, so that a suite that locks an
//! account does not disturb another one, and the kernel counts each suite's processor time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::{available_parallelism, sleep};
use std::time::Duration;

use super::report::{Report, Row, Stopwatch};
use super::run::Run;
use super::server;
use super::suite::Suite;
use super::{Size, SuiteOptions};
use crate::shell::{self, Result};

struct Running {
    suite: &'static Suite,
    child: Child,
    stopwatch: Stopwatch,
    folder: PathBuf,
}

/// Runs all suites. A suite starts when the loads of the running ones leave room for it.
pub(crate) fn run(suites: &[&'static Suite], size: Size, run: &Run, report: &mut Report) -> Result {
    let processors = available_parallelism().map_or(1, std::num::NonZero::get);
    let capacity = u32::try_from(processors).unwrap_or(1).saturating_mul(100);
    // The output of a single suite is shown directly.
    let is_shown = suites.len() == 1;
    let mut waiting = suites.to_vec();
    let mut running: Vec<Running> = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        let busy: u32 = running.iter().map(|one| one.suite.load).sum();
        let fits =
            |suite: &&Suite| running.is_empty() || busy.saturating_add(suite.load) <= capacity;
        if let Some(next) = waiting.iter().position(fits) {
            running.push(start(waiting.remove(next), size, run, is_shown)?);
            continue;
        }
        sleep(Duration::from_millis(100));
        for index in (0..running.len()).rev() {
            // Reaping a child adds its processor time to this process's, so the difference is the
            // child's.
            let before = Stopwatch::start();
            let ended = running.get_mut(index).map(|one| one.child.try_wait());
            let Some(Ok(Some(status))) = ended else { continue };
            let one = running.swap_remove(index);
            let mut row = Row::read(one.suite.name, &one.folder).unwrap_or_else(|reason| {
                Row::of(one.suite.name).failing(format!("it ended with {status}: {reason}"))
            });
            row.minutes = one.stopwatch.minutes();
            row.processor = before.processor_minutes();
            finish(&row, &one.folder, is_shown);
            report.add(row);
        }
    }
    Ok(())
}

/// Starts this program again for one suite. Its output goes to a file unless it `is_shown`.
fn start(suite: &'static Suite, size: Size, run: &Run, is_shown: bool) -> Result<Running> {
    let folder = run.folder(&suite.name.replace('/', "-"))?;
    let program = std::env::current_exe().map_err(|e| format!("cannot find xtask: {e}"))?;
    // If this process dies, the suite gets SIGTERM and stops its servers.
    let mut command = server::command(&program, "TERM", None);
    command.args(SuiteOptions::words(suite.name, &folder, run, size));
    if !is_shown {
        println!("{:<22} starts: {}", suite.name, suite.promise);
        let file = File::create(log(&folder)).map_err(|e| format!("cannot open a log: {e}"))?;
        let errors = file.try_clone().map_err(|e| format!("cannot open a log twice: {e}"))?;
        command.stdout(file).stderr(errors);
    }
    let stopwatch = Stopwatch::start();
    let child = command.spawn().map_err(|e| format!("cannot start {}: {e}", suite.name))?;
    Ok(Running { suite, child, stopwatch, folder })
}

/// Prints the result of a suite and, if it failed, the end of its output.
fn finish(row: &Row, folder: &Path, is_shown: bool) {
    if is_shown {
        return;
    }
    let outcome = if row.failures.is_empty() { "passed" } else { "FAILED" };
    println!(
        "{:<22} {outcome} in {:.1} min, {:.1} of a processor",
        row.suite, row.minutes, row.processor
    );
    if !row.failures.is_empty() {
        let text = shell::read(&log(folder)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(80)..).unwrap_or_default();
        println!("{}\nits whole output: {}", last.join("\n"), log(folder).display());
    }
}

fn log(folder: &Path) -> PathBuf {
    folder.join("output.log")
}
