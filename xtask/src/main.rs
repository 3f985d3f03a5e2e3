//! The project's own commands.
//!
//! 1. `cargo xtask ci` is everything a change must pass: [`ci`], what may come in with a
//!    dependency checked by [`deny`].
//! 2. `cargo xtask test` starts real servers and runs every suite against them: [`mod@test`].
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks")]

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

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["deny"] => deny::check(),
        ["bench", options @ ..] => test::bench(options),
        ["ci"] => ci::run(),
        ["faults", options @ ..] => faults::run(options),
        ["order", options @ ..] => order::run(options),
        ["crash", options @ ..] => crash::run(options),
        ["power", options @ ..] => power::run(options),
        ["simulate", options @ ..] => simulate::run(options),
        ["fuzz", options @ ..] => fuzz::run(options),
        ["hostile", options @ ..] => hostile::run(options),
        ["targets"] => test::targets(),
        ["test", options @ ..] => test::run(options),
        ["timing", options @ ..] => timing::run(options),
        [] | ["help" | "--help" | "-h", ..] => {
            println!("{HELP}");
            Ok(())
        }
        [unknown, ..] => Err(format!("there is no command {unknown:?}\n\n{HELP}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}

const HELP: &str = "\
cargo xtask ci                  format, lints, documentation, dependencies, then every test
cargo xtask deny                only what may come in with a dependency: deny.toml
cargo xtask bench               how fast it is, beside what this machine allows, in about 7 minutes
cargo xtask bench --quick       the same in about 2, with fewer accounts and rougher figures
cargo xtask bench NAME…         only accept, changes, footprint, operations or postgres
cargo xtask faults              trouble on the wire, at every moment of a write; --each N, 2 by default
cargo xtask faults --store      faults of the store: full, read-only, away
cargo xtask order               races on several nodes that are stopped and killed; --pairs N, --nodes N
cargo xtask crash               kill -9 under load; --cycles N, --store sqlite|postgres, --control
cargo xtask power               the power goes, and what was not synced with it; --cycles N, --control
cargo xtask simulate            the pipeline in a world without time; --seeds N, --from S, --seed S to see one
cargo xtask fuzz                arbitrary bytes for everything that reads; --seconds N each, --target NAME
cargo xtask hostile             hostile systems, clients and networks; --only NAME
cargo xtask targets             only the target systems, for as long as you want them
cargo xtask test                the tests, against real servers it starts itself
cargo xtask test --all          those, too, that take minutes each
cargo xtask test --list         the suites
cargo xtask test --only NAME    one suite; may be given more than once
cargo xtask timing              whether time tells if a padding was right; --samples N, 100,000 by default
cargo xtask timing --http       the same over HTTP, and who exists; --only paddings|existence|sign-in";
