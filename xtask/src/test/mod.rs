//! Every test of the project, against real servers.
//!
//! 1. What the tests need and the machine lacks is installed: [`install`], [`clients`].
//! 2. Real target systems are started on free loopback ports: [`mod@targets`].
//! 3. `cargo test` runs with the way to them in its environment: [`workspace`].
//! 4. The real binary is started on each kind of store ([`site`]), and real clients talk to it:
//!    [`end_to_end`].
//! 5. What passed, failed and was skipped, and why, is said: [`report`].

mod ca;
mod chance;
pub(crate) mod clients;
mod end_to_end;
mod http;
mod install;
mod postgres;
mod report;
mod run;
mod server;
mod site;
mod slapd;
mod suite;
mod targets;
mod workspace;

use crate::shell::{self, Result, cargo};
use report::{Report, Row};
use run::Run;
use suite::{SUITES, Suite};
use targets::Targets;

pub(crate) fn run(options: &[&str]) -> Result {
    let Some(wanted) = wanted(options)? else {
        for suite in SUITES {
            let by_name = suite.left_out().map_or("", |_| " (by name, or --all)");
            println!("{:<16}{}{by_name}", suite.name(), suite.about());
        }
        return Ok(());
    };
    install::debian_packages();
    // With the features that the tests are built with, so that nothing is built twice.
    shell::run(cargo().args(["build", "--workspace", "--all-features"]))?;

    let run = Run::begin()?;
    let mut report = Report::default();
    if options.is_empty() {
        for suite in SUITES {
            if let Some(why) = suite.left_out() {
                let why = format!("{why}; run it with --only {0} or --all", suite.name());
                report.add(Row::of(suite.name()).skipping(why));
            }
        }
    }
    let (commands, wanted): (Vec<Suite>, Vec<Suite>) =
        wanted.into_iter().partition(|suite| suite.command().is_some());
    let (rust, scripts): (Vec<Suite>, Vec<Suite>) =
        wanted.into_iter().partition(|suite| matches!(suite, Suite::Workspace));
    if !rust.is_empty() {
        let targets = Targets::start(&run.folder("workspace")?);
        workspace::run(&targets, &mut report);
    }
    if !scripts.is_empty() {
        // Servers of their own: a test above may have left an account locked.
        let targets = Targets::start(&run.folder("end-to-end")?);
        for suite in scripts {
            end_to_end::run(suite, &targets, &run, &mut report);
        }
    }
    for suite in commands {
        println!("\n== {}", suite.name());
        let row = Row::of(suite.name());
        report.add(match suite.command().map_or(Ok(()), |command| command()) {
            Ok(()) => Row { passed: 1, ..row },
            Err(reason) => row.failing(reason),
        });
    }
    report.print();
    run.end(report.failed() == 0);
    match report.failed() {
        0 => Ok(()),
        failed => Err(format!("{failed} failed")),
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

/// Measures, with the systems at hand that some figures need. What `options` names, or everything;
/// with `--quick` in less time.
pub(crate) fn bench(options: &[&str]) -> Result {
    with_targets("bench", |variables| {
        let packages = ["--package", "rekey", "--package", "powerloss-shim"];
        shell::run(cargo().args(["build", "--release"]).args(packages))?;
        let mut cargo = cargo();
        cargo.args(["run", "--quiet", "--release", "--package", "rekey-bench", "--"]);
        cargo.env("REKEY_BENCH_SHIM", shell::target().join("release/libpowerloss_shim.so"));
        cargo.args(options.iter().filter(|option| **option != QUICK));
        cargo.envs(variables.iter().cloned());
        if options.contains(&QUICK) {
            let less = [("SECONDS", "2"), ("ACCOUNTS", "20000"), ("MOST_ACCOUNTS", "200000")];
            cargo.envs(less.map(|(name, value)| (format!("REKEY_BENCH_{name}"), value)));
        }
        shell::run(&mut cargo)
    })
}

const QUICK: &str = "--quick";

/// Runs something that finds the target systems by these variables.
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

/// The suites asked for; none if only their names are wanted.
fn wanted(options: &[&str]) -> Result<Option<Vec<Suite>>> {
    let mut wanted = Vec::new();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--all" => wanted.extend(SUITES),
            "--list" => return Ok(None),
            "--only" => {
                let name = options.next().copied().unwrap_or_default();
                let suite = SUITES.iter().find(|suite| suite.name() == name);
                wanted.push(*suite.ok_or_else(|| {
                    format!("there is no suite {name:?}; `cargo xtask test --list` names them")
                })?);
            }
            unknown => return Err(format!("there is no option {unknown:?}")),
        }
    }
    if wanted.is_empty() {
        wanted.extend(SUITES.iter().filter(|suite| suite.left_out().is_none()));
    }
    Ok(Some(wanted))
}
