//! Cases about the ownership of accounts: reused names, correlation and protected accounts.

use rekey_vault::Password;
use serde_json::json;
use tokio::sync::mpsc;

use super::{INITIAL, Suite, change, failed, named, open, soon, succeeded};
use crate::{Account, Change, Connector, FaultKind, Listed, Outcome, Stamp};

pub(super) async fn changes_no_account_that_was_given_the_name(suite: &Suite<'_>) {
    if !suite.bench.kind().stable_id {
        return;
    }
    let name = suite.name();
    let account = suite.bench.create(&name, INITIAL).await;
    let first = succeeded("observe", suite.connector.observe(&named(&account)).await);
    let id = first.stable_id.unwrap_or_else(|| panic!("{account}: no stable id"));
    let listed = listed(suite, &account).await;
    assert_eq!(listed.stable_id.as_deref(), Some(id.as_str()), "listed with another id");
    let known = Account { stable_id: Some(&id), ..named(&account) };
    let password = suite.password();
    suite.note(&password);
    let clear = Password::new(password);
    let same = Change { account: known, ..change(&account, &clear) };
    let outcome = suite.connector.apply(&same, &first.stamp, soon()).await;
    assert!(matches!(outcome, Outcome::Applied), "the same account is refused: {outcome:?}");

    suite.bench.remove(&account).await;
    assert_eq!(suite.bench.create(&name, INITIAL).await, account);
    let second = succeeded("observe", suite.connector.observe(&known).await);
    assert_ne!(second.stable_id.as_deref(), Some(id.as_str()), "another account has the same id");
    for observed in [second.stamp, Stamp::default()] {
        let outcome = suite.connector.apply(&same, &observed, soon()).await;
        let Outcome::NotApplied(fault) = outcome else { panic!("not refused: {outcome:?}") };
        assert_eq!(fault.kind, FaultKind::NoAccount, "{fault:?}");
    }
    let fault = failed("verify", suite.connector.verify(&same).await);
    assert_eq!(fault.kind, FaultKind::NoAccount, "{fault:?}");
    assert!(suite.bench.logs_in(&account, INITIAL).await, "another one's password was changed");
}

pub(super) async fn returns_what_accounts_are_correlated_by(suite: &Suite<'_>) {
    let account = suite.account().await;
    let listed = listed(suite, &account).await;
    if !suite.bench.kind().stable_id {
        return;
    }
    assert_eq!(listed.values("name"), [listed.name.as_str()]);
    let others = ["name", "nativeIdentity", "NAME", "noSuchAttribute"];
    for attribute in listed.attributes.keys().map(String::as_str).chain(others) {
        let known = Account { correlated_by: Some(attribute), ..named(&account) };
        let observed = succeeded("observe", suite.connector.observe(&known).await);
        assert_eq!(observed.correlation, listed.values(attribute), "{attribute}");
    }
}

pub(super) async fn never_changes_a_protected_account(suite: &Suite<'_>) {
    let account = suite.account().await;
    let attributes = suite.attributes_with([("protectedAccounts", json!([account]))]);
    let connector = open(suite.bench.kind(), attributes);
    refuses(suite, &*connector, &account).await;
    let privileged = suite.bench.privileged(&suite.name()).await;
    for account in &privileged {
        refuses(suite, &*suite.connector, account).await;
    }
    for account in &privileged {
        suite.bench.remove(account).await;
    }
}

async fn refuses(suite: &Suite<'_>, connector: &dyn Connector, account: &str) {
    let fault = failed("observe", connector.observe(&named(account)).await);
    assert_eq!(fault.kind, FaultKind::NotPermitted, "{account}: {fault:?}");
    let outcome = suite.apply(connector, account, &suite.password(), &Stamp::default()).await;
    let Outcome::NotApplied(fault) = outcome else { panic!("{account}: not refused: {outcome:?}") };
    assert_eq!(fault.kind, FaultKind::NotPermitted, "{account}: {fault:?}");
}

/// Returns the account as the source lists it.
async fn listed(suite: &Suite<'_>, account: &str) -> Listed {
    let (to, mut from) = mpsc::channel(8);
    let connector = suite.connector.clone();
    let listing = tokio::spawn(async move { connector.accounts(to).await });
    let mut found = None;
    while let Some(listed) = from.recv().await {
        if listed.native_identity == account {
            found = Some(listed);
        }
    }
    assert!(matches!(listing.await, Ok(Ok(()))), "the listing failed");
    found.unwrap_or_else(|| panic!("{account} is not listed"))
}
