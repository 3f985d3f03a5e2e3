//! Cases that list accounts, and a search of the server's log for passwords.

use std::{collections::BTreeSet, env, sync::PoisonError, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{INITIAL, Suite, succeeded};

/// The default number of accounts to create for the list; `REKEY_MANY` overrides it.
const MANY: usize = 100;

pub(super) async fn lists_every_account_once(suite: &Suite<'_>) {
    let many = env::var("REKEY_MANY").ok().and_then(|n| n.parse().ok()).unwrap_or(MANY);
    let mut made = BTreeSet::new();
    for _ in 0..many {
        made.insert(suite.account().await);
    }
    // With a channel of one account, the connector must wait for the reader.
    let (to, mut from) = mpsc::channel(1);
    let listing = suite.connector.accounts(to);
    let reading = async {
        let mut listed = Vec::new();
        while let Some(account) = from.recv().await {
            listed.push(account);
        }
        listed
    };
    let (result, listed) = tokio::join!(listing, reading);
    succeeded("accounts", result);
    let names: BTreeSet<_> = listed.iter().map(|account| account.native_identity.clone()).collect();
    assert_eq!(names.len(), listed.len(), "an account was listed twice");
    let missing: Vec<_> = made.difference(&names).collect();
    assert!(missing.is_empty(), "not listed: {missing:?}");
    for account in &listed {
        assert!(!account.name.is_empty(), "{account:?}: no name");
        assert!(!account.attributes.is_empty(), "{account:?}: nothing to correlate by");
        let text = format!("{account:?}");
        assert!(!text.contains("SCRAM-SHA-256") && !text.contains("{SSHA}"), "{text}: a verifier");
        assert!(!text.contains(INITIAL), "{text}: a password");
    }
    for account in &made {
        suite.bench.remove(account).await;
    }
}

pub(super) async fn stops_when_nobody_listens(suite: &Suite<'_>) {
    let (to, mut from) = mpsc::channel(1);
    let listing = suite.connector.accounts(to);
    let reading = async {
        from.recv().await;
        drop(from);
    };
    let both = async { tokio::join!(listing, reading) };
    let Ok((result, ())) = timeout(Duration::from_secs(20), both).await else {
        panic!("it went on without a reader");
    };
    succeeded("accounts", result);
    succeeded("test", suite.connector.test().await);
}

/// The shortest password to search for, in bytes: a log may contain shorter ones by chance.
const TELLING: usize = 9;

pub(super) async fn leaves_no_password_in_the_log(suite: &Suite<'_>) {
    let Some(path) = suite.bench.log() else { return };
    let account = suite.account().await;
    suite.set(&account, &suite.password()).await;
    // The server writes its log asynchronously.
    sleep(Duration::from_millis(300)).await;
    let log = suite.log_since_start();
    assert!(log.contains(account.as_str()), "{}: the wrong log", path.display());
    let sent = suite.sent.lock().unwrap_or_else(PoisonError::into_inner);
    let is_telling = |password: &&String| {
        password.len() >= TELLING && password.bytes().collect::<BTreeSet<_>>().len() > 3
    };
    for password in sent.iter().filter(is_telling) {
        let quoted = password.replace('\'', "''");
        let is_there = log.contains(password.as_str())
            || log.contains(&STANDARD.encode(password))
            || (quoted != *password && log.contains(&quoted));
        assert!(!is_there, "{password:?} is in {}", path.display());
    }
}
