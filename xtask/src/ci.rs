//! All checks that a change must pass; those that fail fastest run first.

use crate::shell::{Result, cargo};
use crate::test::{Report, Stopwatch, run_usual};
use crate::{deny, shell};

pub(crate) fn run() -> Result {
    let stopwatch = Stopwatch::start();
    let mut report = Report::default();
    let done = steps(&mut report);
    report.print(&stopwatch);
    done
}

fn steps(report: &mut Report) -> Result {
    report.step("format", || shell::run(cargo().args(["fmt", "--all", "--check"])))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--all-features", "--"];
    report.step("lints", || shell::run(cargo().args(clippy).args(["-D", "warnings"])))?;
    // The features are the same as for the lints, so that dependencies are checked once.
    let doc = ["doc", "--workspace", "--all-features", "--no-deps"];
    report.step("documentation", || {
        shell::run(cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    report.step("dependencies", deny::check)?;
    run_usual(report)
}
