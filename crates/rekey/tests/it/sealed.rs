//! Sealed values are bound to their rows: write access to the store must not make rekey use a
//! secret in another place.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rekey::{
    App,
    config::Config,
    model::{change::State, column::Param, id::SourceId},
    source,
};
use serde_json::json;

use crate::quiet::{Quiet, quiet_on_both_stores};

quiet_on_both_stores!(
    swapped_ciphertexts_change_nothing,
    swapped_private_keys_change_nothing,
    swapped_credentials_reach_no_system,
    a_signing_key_is_none_under_another_name,
);

/// Copies a sealed column from one row to another.
async fn copy(quiet: &Quiet, table: &'static str, column: &'static str, from: &str, to: &str) {
    let (from, to) = (from.to_owned(), to.to_owned());
    quiet
        .write(move |tx| {
            let sql = format!(
                "UPDATE {table} SET {column} = (SELECT {column} FROM {table} WHERE id = $1) WHERE id = $2"
            );
            let params: [&dyn Param; 2] = [&from, &to];
            Ok(tx.run_one(&sql, &params)?)
        })
        .await;
}

async fn swapped_ciphertexts_change_nothing(quiet: Quiet) {
    let mut changes = Vec::new();
    for (name, clear) in [
        ("abby", "Attackers-1"),
        ("ben", "Victims-22"),
        ("spare", "Spare-333"),
        ("fine", "Fine-4444"),
    ] {
        let person = quiet.person(name, &[&quiet.login]).await;
        changes.push((name, clear, quiet.change(&person, &quiet.login, clear).await));
    }
    let id = |at: usize| changes[at].2.id.as_str();
    for (from, to) in [(0, 2), (1, 0), (2, 1)] {
        copy(&quiet, "password_change", "payload", id(from), id(to)).await;
    }
    all_but_the_last_fail(&quiet, &changes).await;
}

async fn swapped_private_keys_change_nothing(quiet: Quiet) {
    let mut changes = Vec::new();
    let mut keys = Vec::new();
    for (name, clear) in [
        ("abby", "Attackers-1"),
        ("ben", "Victims-22"),
        ("spare", "Spare-333"),
        ("fine", "Fine-4444"),
    ] {
        let source = if name == "fine" {
            quiet.login.clone()
        } else {
            quiet.source(name, rekey::model::source::BUILT_IN, json!({})).await
        };
        let person = quiet.person(name, &[&source]).await;
        let ask = quiet.ask(&person, &source, clear.as_bytes()).await;
        keys.push(ask.public_key_id.clone());
        let accepted =
            rekey::password::accept::accept(&quiet.app, &quiet.client, ask).await.unwrap();
        changes.push((name, clear, accepted));
    }
    for (from, to) in [(0, 2), (1, 0), (2, 1)] {
        copy(&quiet, "source_key", "sealed", keys[from].as_str(), keys[to].as_str()).await;
    }
    all_but_the_last_fail(&quiet, &changes).await;
}

/// Executes changes until every one has ended. The last one was not tampered with; its success
/// shows that the others would have succeeded, too.
async fn all_but_the_last_fail(
    quiet: &Quiet,
    changes: &[(&str, &str, rekey::password::accept::Accepted)],
) {
    quiet.work().await;
    quiet.app.clock.turn(Duration::from_hours(1));
    quiet.work().await;
    let (fine, others) = changes.split_last().unwrap();
    quiet.assert_ended(&fine.2, State::Finished).await;
    assert!(quiet.signs_in(&quiet.login, fine.0, fine.1).await);
    for (name, _, accepted) in others {
        quiet.assert_ended(accepted, State::Failed).await;
        for (_, clear, _) in changes {
            assert!(!quiet.signs_in(&quiet.login, name, clear).await, "{name}: {clear}");
        }
    }
    assert_eq!(quiet.count("SELECT count(*) AS value FROM builtin_password").await, 1);
}

async fn swapped_credentials_reach_no_system(quiet: Quiet) {
    let (port, calls) = listener();
    let owner = quiet.person("owner", &[&quiet.login]).await;
    let mut ids = Vec::new();
    for name in ["One", "Two"] {
        let attributes = json!({
            "host": "127.0.0.1", "port": port, "tls": "none", "allowInsecure": true,
            "bindDn": "cn=rekey", "bindPassword": format!("{name}-s3cret"), "baseDn": "dc=example",
        });
        let new = source::NewSource {
            name: name.into(),
            description: None,
            connector: "ldap".into(),
            owner_id: owner.clone(),
            features: vec!["PASSWORD".into()],
            connector_attributes: attributes.as_object().unwrap().clone(),
            extra: serde_json::Map::new(),
            policy_id: None,
            deadline: None,
        };
        ids.push(source::create(&quiet.app, new, "test").await.unwrap().id);
    }
    let check = async |id: &SourceId| source::check(&quiet.app, &quiet.client, id.clone()).await;
    // The listener accepts no credentials, but the connection shows that it was reached.
    assert!(check(&ids[0]).await.unwrap().failure.is_some());
    let called = calls.load(Ordering::SeqCst);
    assert!(called > 0);
    let (one, two) = (ids[0].clone(), ids[1].clone());
    quiet
        .write(move |tx| {
            let (mut one, mut two) = (tx.source(&one)?.unwrap(), tx.source(&two)?.unwrap());
            let (a, b) = (&mut one.connector_attributes.0, &mut two.connector_attributes.0);
            std::mem::swap(&mut a["bindPassword"], &mut b["bindPassword"]);
            (one.version, two.version) = (one.version + 1, two.version + 1);
            tx.update_source(&one)?;
            Ok(tx.update_source(&two)?)
        })
        .await;
    for id in &ids {
        assert!(check(id).await.is_err());
        let person = quiet.person(&format!("of {id}"), &[id]).await;
        quiet.change(&person, id, "Correct-horse-1").await;
    }
    quiet.work().await;
    assert_eq!(calls.load(Ordering::SeqCst), called, "a swapped credential was used");
}

/// Starts a system that closes every connection; returns its port and its counter of connections.
fn listener() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    (port, calls)
}

async fn a_signing_key_is_none_under_another_name(quiet: Quiet) {
    let start = async || {
        let app = &quiet.app;
        let (store, sealer) = (app.store.clone(), app.sealer.clone());
        App::new(Config::default(), store, sealer, app.clock.clone()).await
    };
    assert!(start().await.is_ok());
    quiet
        .write(|tx| {
            tx.run_one("UPDATE signing_key SET id = 'another'", &[])?;
            let sql = "UPDATE setting SET value = 'another' WHERE name = 'signing_key'";
            Ok(tx.run_one(sql, &[])?)
        })
        .await;
    assert!(start().await.is_err());
}
