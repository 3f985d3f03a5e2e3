//! Proofs of rekey's promises, by load, faults and attacks on the real binary.
//!
//! Each proof is one sub-command in a folder of its own; this file is only their table.
//! `cargo xtask crash` and its siblings start what a proof needs beside the binary.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks")]

mod crash;
mod faults;
mod hostile;
mod model;
mod order;
mod power;
mod seeded_rng;
mod site;
mod targets;
mod timing;
mod violations;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(about, long_about = None)]
enum Proof {
    /// `kill -9` under load, again and again, with a model beside it.
    Crash(crash::Options),
    /// Trouble between rekey and its targets, at every moment of a write.
    Faults(faults::Options),
    /// A full disk, a store that is away: nothing accepted is lost, and rekey recovers by itself.
    FaultsOfTheStore(faults::store::Options),
    /// Hostile connected systems, clients and networks.
    Hostile(hostile::Options),
    /// Clients that race for the same account on several nodes, which are stopped and killed.
    Order(order::Options),
    /// The power goes while the server works, again and again.
    Power(power::Options),
    /// Whether time tells if a padding was right, or who exists.
    Timing(timing::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Proof::parse() {
        Proof::Crash(options) => crash::run(options).await,
        Proof::Faults(options) => faults::run(options).await,
        Proof::FaultsOfTheStore(options) => faults::store::run(options).await,
        Proof::Hostile(options) => hostile::run(options).await,
        Proof::Order(options) => order::run(options).await,
        Proof::Power(options) => power::run(options).await,
        Proof::Timing(options) => timing::run(options).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proof: {error}");
            ExitCode::FAILURE
        }
    }
}
