//! Every connector against a real server, as the project's test command starts them.
//!
//! `REKEY_TEST_LDAP` and `REKEY_TEST_POSTGRES_TARGET` name JSON files that say where the servers
//! are; without them there is nothing to test, and the tests say so.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test, though clippy does not see it: what fails is a panic; it says what it skips"
)]

use std::{env, fs, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;
use rekey_connectors::conformance::{Bench, CASES, Suite};
use serde_json::Value;

mod benches;

use benches::{ldap::Directory, postgresql::Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldap_behaves() {
    let Some(target) = target("REKEY_TEST_LDAP") else { return };
    run(&Directory::open(&target, "ldaps"), "dl").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldap_behaves_over_starttls() {
    let Some(target) = target("REKEY_TEST_LDAP") else { return };
    run(&Directory::open(&target, "starttls"), "ds").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_behaves() {
    let Some(target) = target("REKEY_TEST_POSTGRES_TARGET") else { return };
    run(&Server::open(&target, "user", "password").await, "ps").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_behaves_for_a_superuser() {
    let Some(target) = target("REKEY_TEST_POSTGRES_TARGET") else { return };
    if target.get("adminUser").is_none() {
        println!("skipped: the file in REKEY_TEST_POSTGRES_TARGET has no adminUser");
        return;
    }
    run(&Server::open(&target, "adminUser", "adminPassword").await, "pa").await;
}

fn target(variable: &str) -> Option<Value> {
    let Some(path) = env::var_os(variable) else {
        println!("skipped: {variable} is not set");
        return None;
    };
    Some(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
}

/// Runs all cases, and fails with the names of those that failed.
async fn run(bench: &dyn Bench, name: &str) {
    let suite = Suite::new(bench, &format!("{name}{}", std::process::id()));
    let only = env::var("REKEY_CASE").unwrap_or_default();
    let mut failed = Vec::new();
    for (case, run) in CASES.iter().filter(|(case, _)| case.contains(&only)) {
        let begin = std::time::Instant::now();
        let is_right = AssertUnwindSafe(run(&suite)).catch_unwind().await.is_ok();
        let verdict = if is_right { "ok" } else { "FAILED" };
        println!("{name} {case}: {verdict}, {} ms", begin.elapsed().as_millis());
        if !is_right {
            failed.push(case);
        }
    }
    assert!(failed.is_empty(), "{name}: {failed:?}");
}
