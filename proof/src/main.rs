//! rekey's promises, tried by force on the real binary.
//!
//! One sub-command a proof, each in a folder of its own; this file is only their table. What they
//! need beside the binary, xtask starts: `cargo xtask crash` and the like.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks")]

mod crash;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(about, long_about = None)]
enum Proof {
    /// `kill -9` under load, again and again, with a model beside it.
    Crash(crash::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Proof::parse() {
        Proof::Crash(options) => crash::run(options).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proof: {error}");
            ExitCode::FAILURE
        }
    }
}
