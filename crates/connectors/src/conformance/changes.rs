//! Cases that set passwords on a working server.

use std::{env, time::Instant};

use futures_util::future::join_all;
use rekey_vault::Password;

use super::{INITIAL, Suite, change, failed, named, passwords};
use crate::{FaultKind, Outcome, Stamp, Verdict};

/// The default number of nasty passwords to try; `REKEY_NASTY` overrides it.
const NASTY: usize = 200;

pub(super) async fn sets_exactly_the_password(suite: &Suite<'_>) {
    let account = suite.account().await;
    assert!(suite.bench.logs_in(&account, INITIAL).await, "the bench's own login fails");
    let is_initial = suite.verify(&*suite.connector, &account, INITIAL).await;
    assert_eq!(is_initial, Verdict::Yes, "a password that somebody else set is not recognized");
    let password = suite.password();
    suite.set(&account, &password).await;
    assert!(suite.bench.logs_in(&account, &password).await, "the new password does not log in");
    assert!(!suite.bench.logs_in(&account, INITIAL).await, "the old password still logs in");
    assert_eq!(suite.verify(&*suite.connector, &account, &password).await, Verdict::Yes);
    assert_ne!(suite.verify(&*suite.connector, &account, INITIAL).await, Verdict::Yes);
}

pub(super) async fn moves_the_stamp_with_every_change(suite: &Suite<'_>) {
    let account = suite.account().await;
    let mut before = suite.observe(&account).await;
    assert_eq!(suite.observe(&account).await, before, "the stamp moved by itself");
    // All within one second, which is the resolution of some servers' clocks.
    for _ in 0..3 {
        suite.set(&account, &suite.password()).await;
        let after = suite.observe(&account).await;
        assert_eq!(before.is_known(), after.is_known());
        assert!(!before.is_known() || before != after, "the stamp did not move");
        before = after;
    }
}

pub(super) async fn refuses_a_change_that_somebody_else_overtook(suite: &Suite<'_>) {
    let account = suite.account().await;
    let observed = suite.observe(&account).await;
    if !observed.is_known() {
        return;
    }
    let newer = suite.password();
    suite.set(&account, &newer).await;
    let outcome = suite.apply(&*suite.connector, &account, &suite.password(), &observed).await;
    let Outcome::NotApplied(fault) = outcome else { panic!("not refused: {outcome:?}") };
    assert!(fault.is_transient(), "worth observing again: {fault:?}");
    assert!(suite.bench.logs_in(&account, &newer).await, "the newer password was overwritten");
}

pub(super) async fn sends_nothing_after_the_deadline(suite: &Suite<'_>) {
    let account = suite.account().await;
    let observed = suite.observe(&account).await;
    let password = Password::new(suite.password());
    let past = Instant::now();
    let outcome = suite.connector.apply(&change(&account, &password), &observed, past).await;
    assert!(matches!(outcome, Outcome::NotApplied(_)), "sent all the same: {outcome:?}");
    assert!(suite.bench.logs_in(&account, INITIAL).await, "the password was changed");
}

pub(super) async fn names_the_rule_a_refused_password_breaks(suite: &Suite<'_>) {
    for (password, word) in suite.bench.refused() {
        let account = suite.account().await;
        let observed = suite.observe(&account).await;
        let outcome = suite.apply(&*suite.connector, &account, &password, &observed).await;
        let Outcome::Rejected(rejection) = outcome else { panic!("not refused: {outcome:?}") };
        assert!(rejection.message.contains(word), "{word}: {}", rejection.message);
        assert!(!rejection.message.contains(&password), "the message repeats the password");
        assert!(!rejection.reused);
        assert_eq!(suite.observe(&account).await, observed, "the stamp moved");
        assert!(suite.bench.logs_in(&account, INITIAL).await, "the password was changed");
    }
}

pub(super) async fn tells_a_password_it_had_before(suite: &Suite<'_>) {
    if !suite.bench.keeps_history() {
        return;
    }
    let account = suite.account().await;
    let (first, second) = (suite.password(), suite.password());
    suite.set(&account, &first).await;
    suite.set(&account, &second).await;
    for password in [&second, &first] {
        let observed = suite.observe(&account).await;
        let outcome = suite.apply(&*suite.connector, &account, password, &observed).await;
        let Outcome::Rejected(rejection) = outcome else { panic!("not refused: {outcome:?}") };
        assert!(rejection.reused, "not told from other refusals: {rejection:?}");
    }
}

pub(super) async fn knows_no_unknown_account(suite: &Suite<'_>) {
    let account = suite.bench.missing(&suite.name());
    let fault = failed("observe", suite.connector.observe(&named(&account)).await);
    assert_eq!(fault.kind, FaultKind::NoAccount, "{fault:?}");
    let password = suite.password();
    let outcome = suite.apply(&*suite.connector, &account, &password, &Stamp::default()).await;
    let Outcome::NotApplied(fault) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fault.kind, FaultKind::NoAccount, "{fault:?}");
    let password = Password::new(password);
    let fault = failed("verify", suite.connector.verify(&change(&account, &password)).await);
    assert_eq!(fault.kind, FaultKind::NoAccount, "{fault:?}");
    for odd in ["", "\0", "'", "\"", "*", "a=b", "\u{1f511}", &"x".repeat(5_000)] {
        let fault = failed(odd, suite.connector.observe(&named(odd)).await);
        assert!(!fault.is_transient(), "{odd:?}: {fault:?}");
    }
}

pub(super) async fn leaves_a_locked_account_alone(suite: &Suite<'_>) {
    let account = suite.account().await;
    let observed = suite.observe(&account).await;
    let kind = suite.bench.lock(&account).await;
    let fault = failed("observe", suite.connector.observe(&named(&account)).await);
    assert_eq!(fault.kind, kind, "{fault:?}");
    for observed in [observed, Stamp::default()] {
        let password = suite.password();
        let outcome = suite.apply(&*suite.connector, &account, &password, &observed).await;
        let Outcome::NotApplied(fault) = outcome else { panic!("not refused: {outcome:?}") };
        assert_eq!(fault.kind, kind, "{fault:?}");
        assert!(!suite.bench.logs_in(&account, &password).await, "the change unlocked it");
    }
}

pub(super) async fn never_changes_its_own_account(suite: &Suite<'_>) {
    let attributes = suite.bench.attributes();
    for name in ["bindDn", "user"] {
        let Some(own) = attributes.get(name).and_then(|own| own.as_str()) else { continue };
        let password = suite.password();
        let outcome = suite.apply(&*suite.connector, own, &password, &Stamp::default()).await;
        let Outcome::NotApplied(fault) = outcome else { panic!("changed itself: {outcome:?}") };
        assert_eq!(fault.kind, FaultKind::NotPermitted, "{fault:?}");
    }
}

pub(super) async fn sets_many_at_once(suite: &Suite<'_>) {
    let one = async || {
        let account = suite.account().await;
        let mut password = String::new();
        for _ in 0..5 {
            password = suite.password();
            suite.set(&account, &password).await;
        }
        assert!(suite.bench.logs_in(&account, &password).await, "{account}: the last one is lost");
    };
    join_all((0..16).map(|_| one())).await;
}

pub(super) async fn sets_nasty_passwords_or_refuses_them(suite: &Suite<'_>) {
    let count = env::var("REKEY_NASTY").ok().and_then(|n| n.parse().ok()).unwrap_or(NASTY);
    let account = suite.account().await;
    let mut current = INITIAL.to_owned();
    let mut accepted = 0;
    for password in passwords(count) {
        let observed = suite.observe(&account).await;
        let outcome = suite.apply(&*suite.connector, &account, &password, &observed).await;
        match outcome {
            Outcome::Applied => {
                accepted += 1;
                current.clone_from(&password);
            }
            Outcome::Rejected(rejection) => {
                assert!(
                    password.chars().count() < 2 || !rejection.message.contains(&password),
                    "the message repeats the password {password:?}"
                );
                assert_eq!(suite.observe(&account).await, observed, "{password:?}: written");
            }
            Outcome::NotApplied(_) | Outcome::Unknown(_) => panic!("{password:?}: {outcome:?}"),
        }
        assert!(suite.bench.logs_in(&account, &current).await, "{password:?} does not log in");
    }
    assert!(accepted * 2 > count, "only {accepted} of {count} were accepted");
}
