//! Runs the test suites against real servers.
//!
//! 1. Missing Debian packages are installed; clients are installed during the build: [`install`],
//!    [`clients`].
//! 2. Everything is built once: [`crate::build`].
//! 3. The suites in [`suite`] run in parallel, each in a process of its own: [`schedule`].
//! 4. A suite starts target systems on free loopback ports ([`mod@targets`]) and runs compiled
//!    tests ([`workspace`]), a client against the real binary on each kind of store
//!    ([`end_to_end`], [`site`]), or proofs ([`crate::proof`]).
//! 5. [`report`] prints the passed, failed and skipped tests, and the minutes of each suite.

mod ca;
pub(crate) mod clients;
mod end_to_end;
mod http;
mod install;
mod postgres;
mod random;
mod report;
mod run;
mod schedule;
mod server;
mod site;
mod slapd;
mod suite;
mod targets;
mod workspace;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::shell::Result;
use crate::{build, proof};
use report::Row;
use run::Run;
use suite::{SUITES, Suite, Work};
use targets::Targets;

pub(crate) use end_to_end::install_clients;
pub(crate) use report::{Report, Stopwatch};

/// Which suites.
#[derive(Args)]
pub(crate) struct Options {
    /// Also the suites that take minutes each, and the proofs in their larger sizes
    #[arg(long)]
    all: bool,
    /// Print the suites and what each proves
    #[arg(long, conflicts_with_all = ["all", "only"])]
    list: bool,
    /// Only this suite, or this group of suites; may be given more than once
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

/// One suite, in a folder that its caller removes.
#[derive(Args)]
pub(crate) struct SuiteOptions {
    name: String,
    #[arg(long)]
    folder: PathBuf,
    /// The list of compiled tests.
    #[arg(long)]
    tests: PathBuf,
    #[arg(long)]
    large: bool,
}

impl SuiteOptions {
    /// The arguments of this program for one suite.
    fn words(name: &str, folder: &Path, run: &Run, size: Size) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["suite".into(), name.into()];
        words.extend(["--folder".into(), folder.into(), "--tests".into(), run.tests().into()]);
        if size == Size::Large {
            words.push("--large".into());
        }
        words
    }
}

/// The size of a proof.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// The size for the tests of every change.
    Usual,
    /// The size for a nightly run.
    Large,
}

impl Size {
    pub(crate) const fn pick(self, usual: usize, large: usize) -> usize {
        match self {
            Self::Usual => usual,
            Self::Large => large,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result {
    if options.list {
        for suite in SUITES {
            let by_name = suite.left_out.map_or("", |_| " (by name, or with --all)");
            println!("{:<23}{}{by_name}", suite.name, suite.promise);
        }
        return Ok(());
    }
    let stopwatch = Stopwatch::start();
    let mut report = Report::default();
    let done = run_into(options, &mut report);
    report.print(&stopwatch);
    done
}

/// Runs all suites of a plain run, and adds their results to `report`.
pub(crate) fn run_usual(report: &mut Report) -> Result {
    run_into(&Options { all: false, list: false, only: Vec::new() }, report)
}

fn run_into(options: &Options, report: &mut Report) -> Result {
    let wanted = wanted(options)?;
    let size = if options.all { Size::Large } else { Size::Usual };
    install::debian_packages();
    let run = Run::begin()?;
    build_for(&wanted, &run, report)?;
    if options.only.is_empty() && !options.all {
        for suite in SUITES {
            if let Some(why) = suite.left_out {
                let why = format!("{why}; run it with --only {} or --all", suite.name);
                report.add(Row::of(suite.name).skipping(why));
            }
        }
    }
    println!("\n== suites");
    schedule::run(&wanted, size, &run, report)?;
    let failed = report.failed();
    run.end(failed == 0);
    if failed == 0 { Ok(()) } else { Err(format!("{failed} failed")) }
}

/// Builds the programs that these suites need, and installs the clients meanwhile.
fn build_for(suites: &[&Suite], run: &Run, report: &mut Report) -> Result {
    let any = |is: fn(&Work) -> bool| suites.iter().any(|suite| is(&suite.work));
    let mut clients = if any(|work| matches!(work, Work::Client(_))) {
        let program = std::env::current_exe().map_err(|e| format!("cannot find xtask: {e}"))?;
        let install = Command::new(program).arg("install-clients").spawn();
        Some(install.map_err(|e| format!("cannot install the clients: {e}"))?)
    } else {
        None
    };
    report.step("build", || {
        build::programs()?;
        if any(|work| matches!(work, Work::Proofs(_))) {
            build::proof_build()?;
        }
        if any(|work| matches!(work, Work::Tests(_))) {
            build::tests(&run.tests())?;
        }
        Ok(())
    })?;
    if let Some(clients) = &mut clients {
        report.step("clients", || {
            clients.wait().map(drop).map_err(|e| format!("the clients are lost: {e}"))
        })?;
    }
    Ok(())
}

/// Runs one suite; its programs must have been built.
pub(crate) fn run_suite(options: &SuiteOptions) -> Result {
    let suite = Suite::named(&options.name)?;
    let size = if options.large { Size::Large } else { Size::Usual };
    let run = Run::part_of(&options.folder);
    let mut row = Row::of(suite.name);
    match &suite.work {
        Work::Client(client) => {
            end_to_end::run(*client, &Targets::start(&run.folder("targets")?), &run, &mut row);
        }
        Work::Tests(tests) => {
            let targets = Targets::start(&run.folder("targets")?);
            workspace::run(tests, &options.tests, &targets, &mut row);
        }
        Work::Command(command) => count(command(), &mut row),
        Work::Proofs(proofs) => {
            let targets = Targets::start(&run.folder("targets")?);
            let done = targets.variables().and_then(|found| proof::each(&proofs(size), &found));
            count(done, &mut row);
        }
    }
    row.write(&options.folder)?;
    if row.failures.is_empty() { Ok(()) } else { Err(format!("{} failed", row.failures.len())) }
}

/// Counts a command, which passes or fails as a whole.
fn count(done: Result, row: &mut Row) {
    match done {
        Ok(()) => row.passed += 1,
        Err(reason) => row.failures.push(reason),
    }
}

/// Starts the target systems and keeps them until Enter is pressed or the input ends.
pub(crate) fn targets() -> Result {
    install::debian_packages();
    let run = Run::begin()?;
    let targets = Targets::start(&run.folder("targets")?);
    for missing in [targets.ldap.as_ref().err(), targets.postgres.as_ref().err()] {
        missing.inspect(|reason| println!("# {reason}"));
    }
    for (name, value) in targets.variables()? {
        println!("export {name}='{value}'");
    }
    println!("# Enter stops them");
    let _ = std::io::stdin().read_line(&mut String::new());
    drop(targets);
    run.end(true);
    Ok(())
}

/// Starts the target systems, and runs `work` with the variables that describe them.
pub(crate) fn with_targets(
    name: &str,
    work: impl FnOnce(&[(&'static str, String)]) -> Result,
) -> Result {
    install::debian_packages();
    let run = Run::begin()?;
    let targets = Targets::start(&run.folder(name)?);
    let done = targets.variables().and_then(|variables| work(&variables));
    drop(targets);
    run.end(done.is_ok());
    done
}

/// The suites that the options select.
fn wanted(options: &Options) -> Result<Vec<&'static Suite>> {
    for word in &options.only {
        if !SUITES.iter().any(|suite| suite.answers_to(word)) {
            return Err(format!(
                "there is no suite {word:?}; `cargo xtask test --list` lists them"
            ));
        }
    }
    let is_wanted = |suite: &&Suite| {
        if options.only.is_empty() {
            options.all || suite.left_out.is_none()
        } else {
            options.only.iter().any(|word| suite.answers_to(word))
        }
    };
    Ok(SUITES.iter().filter(is_wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_names_a_suite_or_a_group() {
        let only = |word: &str| {
            wanted(&Options { all: false, list: false, only: vec![word.to_owned()] })
                .map(|suites| suites.iter().map(|suite| suite.name).collect::<Vec<_>>())
        };
        assert_eq!(only("crash").unwrap(), ["crash/sqlite", "crash/postgres"]);
        assert_eq!(only("crash/sqlite").unwrap(), ["crash/sqlite"]);
        assert!(only("crush").is_err());
    }
}
