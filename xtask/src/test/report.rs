//! The report: passed, failed and skipped tests with reasons, and the time that they took.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::shell::{self, Result};

#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

/// The result of one suite, or of a step before the suites.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) suite: String,
    pub(crate) passed: usize,
    pub(crate) failures: Vec<String>,
    pub(crate) skips: Vec<String>,
    pub(crate) minutes: f64,
    /// Processor time in minutes, of all processes that the suite started.
    pub(crate) processor: f64,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Runs a step that is no test, and adds its time to the report.
    pub(crate) fn step(&mut self, name: &str, step: impl FnOnce() -> Result) -> Result {
        println!("\n== {name}");
        let stopwatch = Stopwatch::start();
        let done = step();
        let (minutes, processor) = (stopwatch.minutes(), stopwatch.processor_minutes());
        self.add(Row { minutes, processor, ..Row::of(name) });
        done
    }

    pub(crate) fn failed(&self) -> usize {
        self.rows.iter().map(|row| row.failures.len()).sum()
    }

    pub(crate) fn print(&self, stopwatch: &Stopwatch) {
        let width = self.rows.iter().map(|row| row.suite.chars().count()).max().unwrap_or(0);
        println!("\n{:<width$}  passed  failed  skipped  minutes  processor minutes", "suite");
        for Row { suite, passed, failures, skips, minutes, processor } in &self.rows {
            let (failed, skipped) = (failures.len(), skips.len());
            println!(
                "{suite:<width$}  {passed:>6}  {failed:>6}  {skipped:>7}  {minutes:>7.1}  {processor:>17.1}"
            );
        }
        let passed: usize = self.rows.iter().map(|row| row.passed).sum();
        let skipped: usize = self.rows.iter().map(|row| row.skips.len()).sum();
        let failed = self.failed();
        let (minutes, processor) = (stopwatch.minutes(), stopwatch.processor_minutes());
        println!(
            "{:<width$}  {passed:>6}  {failed:>6}  {skipped:>7}  {minutes:>7.1}  {processor:>17.1}",
            "together"
        );
        for row in &self.rows {
            for reason in &row.failures {
                println!("failed: {}: {reason}", row.suite);
            }
            for reason in &row.skips {
                println!("skipped: {}: {reason}", row.suite);
            }
        }
        println!("\n{passed} passed, {failed} failed, {skipped} skipped in {minutes:.1} minutes");
    }
}

impl Row {
    pub(crate) fn of(suite: impl Into<String>) -> Self {
        Self { suite: suite.into(), ..Self::default() }
    }

    pub(crate) fn failing(mut self, reason: impl Into<String>) -> Self {
        self.failures.push(reason.into());
        self
    }

    pub(crate) fn skipping(mut self, reason: impl Into<String>) -> Self {
        self.skips.push(reason.into());
        self
    }

    /// Adds the results of a part, whose name prefixes its reasons.
    pub(crate) fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        let named = |reason: String| format!("{}: {reason}", other.suite);
        self.failures.extend(other.failures.into_iter().map(named));
        self.skips.extend(other.skips.into_iter().map(named));
    }

    /// Writes the row to a file for another process, which will [`read`](Self::read) it.
    pub(crate) fn write(&self, folder: &Path) -> Result {
        let Self { passed, failures, skips, .. } = self;
        let row = json!({"passed": passed, "failures": failures, "skips": skips});
        shell::write(&folder.join(FILE), &row.to_string())
    }

    pub(crate) fn read(suite: &str, folder: &Path) -> Result<Self> {
        let row: Value = serde_json::from_str(&shell::read(&folder.join(FILE))?)
            .map_err(|e| format!("cannot read how it ended: {e}"))?;
        let reasons = |name| {
            let list = row.get(name).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|reason| reason.as_str().map(str::to_owned)).collect()
        };
        let passed = row.get("passed").and_then(Value::as_u64).unwrap_or(0);
        Ok(Self {
            passed: usize::try_from(passed).unwrap_or(0),
            failures: reasons("failures"),
            skips: reasons("skips"),
            ..Self::of(suite)
        })
    }
}

const FILE: &str = "result.json";

/// Elapsed time: wall-clock time and processor time.
pub(crate) struct Stopwatch {
    begun: Instant,
    processor: u64,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now(), processor: ticks() }
    }

    pub(crate) fn minutes(&self) -> f64 {
        self.begun.elapsed().as_secs_f64() / 60.0
    }

    /// Processor time of this process and of its children that have ended.
    pub(crate) fn processor_minutes(&self) -> f64 {
        let ticks = u32::try_from(ticks().saturating_sub(self.processor)).unwrap_or(u32::MAX);
        f64::from(ticks) / TICKS_PER_SECOND / 60.0
    }
}

/// The unit of processor times in `/proc`, on all architectures that rekey runs on (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// The sum of `utime`, `stime`, `cutime` and `cstime`: see `proc_pid_stat(5)`.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name, in parentheses, may contain spaces; field 3 follows it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum()
}
