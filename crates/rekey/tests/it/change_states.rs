//! The states of a change: those that the store may hold, and the faults that count as a failure of
//! a source.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use rekey::{connector::built_in::BuiltIn, model::change::State, password::status, store::Error};
use rekey_connectors::{
    Account, Change, Connector, Fault, FaultKind, Listed, Observed, Outcome, Stamp, Verdict,
    Verification,
};
use rekey_vault::Password;
use serde_json::json;
use tokio::sync::mpsc;

use crate::quiet::{Quiet, quiet_on_both_stores};

quiet_on_both_stores!(
    an_unknown_state_of_a_change_is_a_corrupted_store,
    an_unknown_state_of_an_account_ends_no_change,
    a_conflict_is_no_failure_of_the_source,
    a_password_changed_at_the_same_moment_is_a_conflict,
);

async fn an_unknown_state_of_a_change_is_a_corrupted_store(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let change = site.change(&abby, &site.login, "correct horse").await;
    let id = change.id.clone();
    site.write(move |tx| Ok(tx.run("UPDATE password_change SET state = 7 WHERE id = $1", &[&id])?))
        .await;
    let error = status::status(&site.app, &site.client, change.id.clone()).await.unwrap_err();
    let rekey::Error::Store(error @ Error::Corrupt(text)) = &error else { panic!("{error}") };
    assert_eq!(text, "state: `7` cannot be read");
    assert!(!error.is_unavailable(), "a client would try again");
}

async fn an_unknown_state_of_an_account_ends_no_change(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let change = site.change(&abby, &site.login, "correct horse").await;
    site.write(|tx| Ok(tx.run("UPDATE password_change_target SET state = 9", &[])?)).await;
    assert_eq!(site.work().await, 1);
    site.assert_ended(&change, State::InProgress).await;
    assert_eq!(site.count("SELECT state AS value FROM password_change_target").await, 9);
}

/// A system that answers every observation with a fault of this kind.
struct Refusing(FaultKind);

#[async_trait]
impl Connector for Refusing {
    async fn test(&self) -> Result<(), Fault> {
        Ok(())
    }

    async fn accounts(&self, _: mpsc::Sender<Listed>) -> Result<(), Fault> {
        Ok(())
    }

    async fn observe(&self, _: &Account<'_>) -> Result<Observed, Fault> {
        Err(Fault::new(self.0, "not now"))
    }

    async fn apply(&self, _: &Change<'_>, _: &Stamp, _: Instant) -> Outcome {
        Outcome::NotApplied(Fault::new(self.0, "not now"))
    }

    async fn verify(&self, _: &Change<'_>) -> Result<Verdict, Fault> {
        Ok(Verdict::No)
    }
}

async fn a_conflict_is_no_failure_of_the_source(site: Quiet) {
    for (name, kind, opens) in [
        ("Contended", FaultKind::Conflict, false),
        ("Busy", FaultKind::Throttled, true),
        ("Gone", FaultKind::Unreachable, true),
    ] {
        let source = site.source(name, "ldap", json!({ "host": "127.0.0.1", "port": 1 })).await;
        let connector = Arc::new(Refusing(kind));
        site.app.handles.plug(&source, Verification::Exact, connector);
        let mut changes = Vec::new();
        for n in 0..6 {
            let who = site.person(&format!("{name}-{n}"), &[&source]).await;
            changes.push(site.change(&who, &source, "correct horse").await);
        }
        site.work().await;
        for change in &changes {
            site.assert_ended(change, State::InProgress).await;
        }
        let breakers = site.app.handles.breakers();
        let (_, _, is_open) = breakers.iter().find(|(id, ..)| *id == source.0).unwrap();
        assert_eq!(*is_open, opens, "{name}");
    }
}

async fn a_password_changed_at_the_same_moment_is_a_conflict(site: Quiet) {
    site.person("abby", &[&site.login]).await;
    let connector = BuiltIn::new(site.app.store.clone(), site.login.clone());
    let account = Account { native_identity: "abby", stable_id: None, correlated_by: None };
    let before = connector.observe(&account).await.unwrap().stamp;
    let by = Instant::now() + std::time::Duration::from_mins(1);
    for (clear, conflicts) in [("the first one", false), ("the second one", true)] {
        let password = Password::new(clear.into());
        let change = Change { account, password: &password, salt: [7; 16] };
        let outcome = connector.apply(&change, &before, by).await;
        if let Outcome::NotApplied(fault) = &outcome {
            assert_eq!(fault.kind, FaultKind::Conflict);
            assert_eq!(fault.public(), "the password was changed at the same moment");
        }
        assert_eq!(matches!(outcome, Outcome::NotApplied(_)), conflicts, "{outcome:?}");
    }
}
