//! The performance of rekey, compared with the machine's limits in the same run.
//!
//! 1. [`mod@accept`]: durable accepts, compared with a server that answers the same request without
//!    a store; with slow syncs, at half load, and with a thousand times as many accounts.
//! 2. [`changes`]: changes from the `202` until verified on a real directory, compared with a bare
//!    loop of the same connector that does the same work, and one that only writes.
//! 3. [`operations`]: private-key operations on one core, compared with AWS-LC alone.
//! 4. [`postgres`]: accepts and whole changes with the store in PostgreSQL, on one node and on two.
//! 5. [`footprint`]: start-up time, memory and the size of the binary.
//!
//! `rekey-bench NAME…` runs some of them. Only the ratios of one run are comparable between
//! machines. `REKEY_BENCH_SECONDS` sets the length of each measurement (10 by default),
//! `REKEY_BENCH_ACCOUNTS` the number of accounts (100,000), `REKEY_BENCH_MOST_ACCOUNTS` that of the
//! largest store (1,000,000). `REKEY_TEST_LDAP` and `REKEY_TEST_POSTGRES` name the systems that
//! some of them need; `cargo xtask bench` sets them. `REKEY_BENCH_SHIM` names a library that,
//! preloaded, delays each sync by `REKEY_FSYNC_DELAY_MS`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks")]

mod accept;
mod answering;
mod changes;
mod fill;
mod footprint;
mod load;
mod null_ldap;
mod operations;
mod postgres;
mod table;

use std::{env, process::ExitCode, time::Duration};

use rekey_harness::Result;

/// The allocator of rekey itself, so that the compared servers are not slower for another one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MEASUREMENTS: [&str; 5] = ["accept", "changes", "footprint", "operations", "postgres"];

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
    if let [answering::WORD, address] = named.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return answering::serve(address).await;
    }
    if let Some(unknown) = named.iter().find(|name| !MEASUREMENTS.contains(&name.as_str())) {
        let there_are = MEASUREMENTS.join(", ");
        return Err(format!("there is no measurement {unknown:?}: there are {there_are}").into());
    }
    let wanted = |name: &str| named.is_empty() || named.iter().any(|one| one == name);
    table::title();
    if wanted("accept") {
        accept::run().await?;
    }
    if wanted("changes") {
        match env::var("REKEY_TEST_LDAP") {
            Ok(file) => changes::run(&file).await?,
            Err(_) => table::skip("changes on a directory", "REKEY_TEST_LDAP is not set"),
        }
    }
    if wanted("operations") {
        operations::run()?;
    }
    if wanted("postgres") {
        match env::var("REKEY_TEST_POSTGRES") {
            Ok(server) => postgres::run(&server).await?,
            Err(_) => table::skip("the store in PostgreSQL", "REKEY_TEST_POSTGRES is not set"),
        }
    }
    if wanted("footprint") {
        footprint::run().await?;
    }
    Ok(())
}

fn seconds() -> Duration {
    Duration::from_secs(number("REKEY_BENCH_SECONDS", 10))
}

fn accounts() -> u64 {
    number("REKEY_BENCH_ACCOUNTS", 100_000)
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
