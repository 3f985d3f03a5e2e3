//! Runs the conformance suite for every connector against a real server.
//!
//! `REKEY_TEST_LDAP` and `REKEY_TEST_POSTGRES_TARGET` name JSON files with the addresses of the
//! servers, which the project's test command starts. Without these files, the tests print that they
//! are skipped.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test, though clippy does not see it: what fails is a panic; it says what it skips"
)]

use std::{
    env, fs,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use rekey_connectors::{
    Account, Change, Egress, FaultKind, Outcome, Stamp,
    conformance::{Bench, CASES, Suite},
    kind,
};
use rekey_vault::Password;
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

/// One name has many spellings, but patterns and comparisons of texts recognize only one.
#[tokio::test]
async fn ldap_knows_itself_and_the_protected_by_every_spelling() {
    let Some(target) = target("REKEY_TEST_LDAP") else { return };
    let own = target["bindDn"].as_str().unwrap();
    let (relative, base) = own.split_once(',').unwrap();
    let (_, name) = relative.split_once('=').unwrap();
    let escaped = format!("cn=\\{:02x}{},{base}", name.as_bytes()[0], &name[1..]);
    let spellings = [
        own.to_owned(),
        own.to_uppercase(),
        format!("commonName={name},{base}"),
        format!("2.5.4.3={name},{base}"),
        escaped,
    ];
    let mut attributes = Directory::open(&target, "ldaps").attributes();
    attributes["baseDn"] = Value::from(base);
    attributes["accountFilter"] = Value::from("(objectClass=*)");
    for protected in [Value::Array(Vec::new()), Value::from(vec![own])] {
        attributes["protectedAccounts"] = protected;
        // First rekey's own account, then an account that is protected by a pattern only.
        let connector = kind("ldap").unwrap().open(attributes.clone(), &Egress::default());
        let connector = connector.unwrap();
        for name in &spellings {
            let account = Account { native_identity: name, stable_id: None, correlated_by: None };
            let fault = connector.observe(&account).await.unwrap_err();
            assert_eq!(fault.kind, FaultKind::NotPermitted, "{name}: {fault:?}");
            let password = Password::new("Of-no-use-1".to_owned());
            let change = Change { account, password: &password, salt: [0; 16] };
            let by = Instant::now() + Duration::from_secs(10);
            let outcome = connector.apply(&change, &Stamp::default(), by).await;
            assert!(
                matches!(&outcome, Outcome::NotApplied(f) if f.kind == FaultKind::NotPermitted),
                "{name}: {outcome:?}"
            );
        }
        connector.test().await.unwrap();
        attributes["bindDn"] = target["adminDn"].clone();
        attributes["bindPassword"] = target["adminPassword"].clone();
    }
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

/// Runs every case, and fails with the names of those that failed.
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
