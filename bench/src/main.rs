//! How fast rekey is, beside what the machine allows, in one run.
//!
//! 1. [`accept`]: durable accepts per second, beside the same server answering `/healthz`.
//! 2. [`changes`]: changes per second from the `202` to verified on a real directory, beside a raw
//!    loop of the same connector that does the same work, and one that only writes.
//!
//! `rekey-bench accept` or `rekey-bench changes` runs one of them. Only the ratios of one run carry over to another machine. `REKEY_BENCH_SECONDS` sets the length
//! of each measurement (10 by default), `REKEY_BENCH_ACCOUNTS` the number of accounts (100,000),
//! `REKEY_BENCH_STORE` a `postgres://` URL instead of SQLite.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks")]

mod accept;
mod changes;

use std::{env, process::ExitCode, time::Duration};

use rekey_drive::{Place, Result};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let named: Vec<String> = env::args().skip(1).collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|one| one == name);
    println!("{:<58} {:>12} {:>8}", "figure", "per second", "ratio");
    if wanted("accept") {
        accept::run().await?;
    }
    if wanted("changes") {
        match env::var("REKEY_TEST_LDAP") {
            Ok(file) => changes::run(&file).await?,
            Err(_) => println!("changes on a directory: skipped, REKEY_TEST_LDAP is not set"),
        }
    }
    Ok(())
}

fn row(figure: &str, per_second: f64, of: Option<f64>) {
    let ratio = of.map_or_else(String::new, |whole| format!("{:.3}", per_second / whole));
    println!("{figure:<58} {per_second:>12.0} {ratio:>8}");
}

/// A new store, where `REKEY_BENCH_STORE` says.
fn place() -> Result<Place> {
    Place::new(env::var("REKEY_BENCH_STORE").ok())
}

fn seconds() -> Duration {
    Duration::from_secs(number("REKEY_BENCH_SECONDS", 10))
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
