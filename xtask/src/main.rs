//! The project's own commands.
//!
//! 1. `cargo xtask ci` runs all checks that a change must pass: [`ci`]; [`deny`] checks the
//!    dependencies.
//! 2. `cargo xtask test` starts real servers and runs the suites in parallel: [`mod@test`].
//! 3. Each long-running proof has a command of its own, for larger sizes than in the tests.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints")]

mod bench;
mod build;
mod ci;
mod crash;
mod deny;
mod faults;
mod fuzz;
mod hostile;
mod order;
mod power;
mod proof;
mod shell;
mod simulate;
mod test;
mod timing;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

/// The commands of the project. Start with `cargo xtask test`.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
#[command(disable_help_subcommand = true, subcommand_help_heading = "Commands")]
enum Command {
    /// Run what every change must pass: format, lints, documentation, dependencies, tests
    Ci,
    /// Check which dependencies may come in, and under which licences: deny.toml
    Deny,
    /// Run the test suites against real servers that are started for them
    Test(test::Options),
    /// Start only the target systems, and print the variables by which `cargo test` finds them
    Targets,
    /// Measure speed, beside what the machine allows
    Bench(bench::Options),
    /// Prove: nothing accepted is lost when the server is killed under load
    Crash(crash::Options),
    /// Prove: nothing accepted is lost when the power fails
    Power(power::Options),
    /// Prove: the last accepted password is in force after races on nodes that stop and die
    Order(order::Options),
    /// Prove: no status is wrong whatever happens on the wire; with --store, to the store
    Faults(faults::Options),
    /// Prove: hostile systems, clients and networks neither stop rekey nor starve others
    Hostile(hostile::Options),
    /// Prove: thousands of simulated histories keep every promise
    Simulate(simulate::Options),
    /// Prove: response times do not reveal whether a padding was right, or who exists
    Timing(timing::Options),
    /// Prove: arbitrary bytes break no parser
    Fuzz(fuzz::Options),
    /// Run one suite in this process; `test` starts these
    #[command(hide = true)]
    Suite(test::SuiteOptions),
    /// Install the clients that the suites use; `test` starts this beside the build
    #[command(hide = true)]
    InstallClients,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask test --list           the suites, and what each proves
  cargo xtask test --only crash     one suite
  cargo xtask crash --cycles 2000   a proof in a larger size

`cargo xtask COMMAND --help` describes a command's options; verify/README.md has the table of all proofs.";

fn main() -> ExitCode {
    let matches = Command::command().arg_required_else_help(true).get_matches();
    let command = Command::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let done = match command {
        Command::Ci => ci::run(),
        Command::Deny => deny::check(),
        Command::Test(options) => test::run(&options),
        Command::Targets => test::targets(),
        Command::Bench(options) => bench::run(&options),
        Command::Crash(options) => crash::run(&options),
        Command::Power(options) => power::run(&options),
        Command::Order(options) => order::run(&options),
        Command::Faults(options) => faults::run(&options),
        Command::Hostile(options) => hostile::run(&options),
        Command::Simulate(options) => simulate::run(&options),
        Command::Timing(options) => timing::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Suite(options) => test::run_suite(&options),
        Command::InstallClients => {
            test::install_clients();
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_is_well_formed() {
        Command::command().debug_assert();
    }

    #[test]
    fn an_unknown_option_is_an_error_with_advice() {
        let error = Command::try_parse_from(["xtask", "test", "--onyl", "crash"]).err().unwrap();
        assert!(error.to_string().contains("a similar argument exists: '--only'"), "{error}");
    }
}
