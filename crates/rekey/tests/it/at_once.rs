//! Concurrent transactions that share a commit: none is affected by another.

use std::sync::{Arc, Mutex, mpsc};

use futures_util::future::join_all;
use rekey::{
    Error,
    model::{change::State, id::SourceId},
    password::accept,
    store::Tx,
};
use rekey_vault::Policy;
use serde_json::json;

use crate::quiet::{Quiet, api_client, quiet_on_both_stores};

quiet_on_both_stores!(
    changes_accepted_at_once_have_one_order_on_every_account,
    a_ciphertext_sent_many_times_at_once_is_one_change,
    a_deed_that_fails_spoils_no_other,
    what_failed_alone_is_told_alone,
);

/// Occupies every writer of the store until the sender is dropped: transactions submitted meanwhile
/// wait in the queue together.
async fn hold_up(site: &Quiet) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    for _ in 0..site.app.store.writers() {
        let (started, begun) = tokio::sync::oneshot::channel();
        let (started, held) = (Mutex::new(Some(started)), held.clone());
        let store = site.app.store.clone();
        tokio::spawn(async move {
            let deed = move |_: &mut Tx<'_>| {
                if let Some(started) = started.lock().unwrap().take() {
                    started.send(()).unwrap();
                    // One writer waits for the channel, the others for its mutex.
                    let _ = held.lock().unwrap().recv();
                }
                Ok::<_, Error>(())
            };
            store.write(deed).await.unwrap();
        });
        begun.await.unwrap();
    }
    release
}

/// Lets the pending transactions enter the queue, then frees the writers.
async fn release(held: mpsc::Sender<()>) {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    drop(held);
}

async fn changes_accepted_at_once_have_one_order_on_every_account(site: Quiet) {
    let other = site.source("Other", rekey::model::source::BUILT_IN, json!({})).await;
    let third = site.source("Third", rekey::model::source::BUILT_IN, json!({})).await;
    site.group(Policy::default(), &[&site.login, &other, &third]).await;
    let mut asks = Vec::new();
    for alias in ["abby", "bert", "cora"] {
        let who = site.person(alias, &[&site.login, &other, &third]).await;
        for number in 0..12 {
            let source = [&site.login, &other, &third][number % 3];
            asks.push(site.ask(&who, source, format!("number {number}").as_bytes()).await);
        }
    }
    let held = hold_up(&site).await;
    let count = asks.len();
    let accepting = join_all(asks.into_iter().map(|ask| {
        let (app, client) = (site.app.clone(), site.client.clone());
        tokio::spawn(async move { accept::accept(&app, &client, ask).await.unwrap() })
    }));
    release(held).await;
    let accepted: Vec<_> = accepting.await.into_iter().map(Result::unwrap).collect();

    assert_eq!(accepted.len(), count);
    let waiting = "SELECT count(*) AS value FROM password_change WHERE state = 0";
    assert_eq!(site.count(waiting).await, 3, "one of each person's is left");
    // On every account the same change is still open, and it is the last one.
    let left = "SELECT count(*) AS value FROM password_change_target t WHERE t.state = 0";
    assert_eq!(site.count(left).await, 9);
    let not_last = "SELECT count(*) AS value FROM password_change_target t WHERE t.state = 0 AND EXISTS (
        SELECT 1 FROM password_change_target o WHERE o.account_id = t.account_id AND o.change_seq > t.change_seq)";
    assert_eq!(site.count(not_last).await, 0);
    assert_eq!(site.work().await, 3);
    let mut finished = 0;
    for change in &accepted {
        finished += usize::from(site.status(change).await.state == State::Finished);
    }
    assert_eq!(finished, 3);
}

async fn a_ciphertext_sent_many_times_at_once_is_one_change(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let ask = site.ask(&abby, &site.login, b"correct horse").await;
    let held = hold_up(&site).await;
    let stranger = api_client();
    let sending = join_all((0..24).map(|number| {
        let (app, ask) = (site.app.clone(), ask.clone());
        let caller = if number == 20 { stranger.clone() } else { site.client.clone() };
        tokio::spawn(async move { (number, accept::accept(&app, &caller, ask).await) })
    }));
    release(held).await;
    let mut ids = Vec::new();
    let mut refused = Vec::new();
    for sent in sending.await {
        match sent.unwrap() {
            (_, Ok(accepted)) => ids.push(accepted.id),
            (number, Err(error)) => refused.push((number, error.to_string())),
        }
    }
    // One person's request was first, and all accepted resends have its id.
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert!(refused.iter().all(|(_, why)| why.contains("already used")), "{refused:?}");
    assert!(refused.len() == 1 || refused.len() == 23, "{refused:?}");
    assert_eq!(site.count("SELECT count(*) AS value FROM password_change").await, 1);
    let replays = "SELECT count(*) AS value FROM audit WHERE action = 'PASSWORD_REPLAY_REFUSED'";
    assert_eq!(site.count(replays).await, i64::try_from(refused.len()).unwrap());
}

async fn a_deed_that_fails_spoils_no_other(site: Quiet) {
    let held = hold_up(&site).await;
    let writing = join_all((0..40).map(|number| {
        let store = site.app.store.clone();
        tokio::spawn(async move {
            let deed = move |tx: &mut Tx<'_>| {
                let name = format!("number {number}");
                tx.settle_setting(&name, "here")?;
                match number % 10 {
                    // Failures by the transaction's own error, by a constraint of the database, and
                    // by a panic.
                    3 => Err(Error::Internal(name)),
                    5 => Ok(tx.set_source_health(&SourceId::new(), 1, true, "x").map(|_| ())?),
                    7 => Ok(tx.delete_client(&rekey::model::id::ClientId::new())?),
                    9 => panic!("{name}"),
                    _ => Ok(()),
                }
            };
            (number, store.write(deed).await)
        })
    }));
    release(held).await;
    let mut kept = 0;
    for written in writing.await {
        let (number, written) = written.unwrap();
        let fails = matches!(number % 10, 3 | 7 | 9);
        assert_eq!(written.is_err(), fails, "{number}: {written:?}");
        let name = format!("number {number}");
        let found: Result<_, Error> =
            site.app.store.read(move |tx| Ok(tx.setting(&name)?.is_some())).await;
        assert_eq!(found.unwrap(), !fails, "{number}");
        kept += usize::from(!fails);
    }
    assert_eq!(kept, 28);
}

async fn what_failed_alone_is_told_alone(site: Quiet) {
    let held = hold_up(&site).await;
    let writing = join_all((0..20).map(|number| {
        let store = site.app.store.clone();
        tokio::spawn(async move {
            let deed = move |tx: &mut Tx<'_>| -> Result<(), Error> {
                // Two transactions insert each id: the second of each pair fails.
                let id = format!("{}", number / 2);
                Ok(tx.insert_signing_key(&id, b"nothing")?)
            };
            store.write(deed).await
        })
    }));
    release(held).await;
    let told: Vec<_> = writing.await.into_iter().map(Result::unwrap).collect();
    assert_eq!(told.iter().filter(|told| told.is_ok()).count(), 10);
    for told in told.into_iter().filter_map(Result::err) {
        let Error::Store(why) = &told else { panic!("{told:?}") };
        assert!(why.is_unique_violation(), "{why:?}");
    }
}

/// Ended idle connections must be replaced without an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_have_ended_are_replaced() {
    let Some(url) = crate::site::postgres_url().await else { return };
    let site = Quiet::on(&url, tempfile::tempdir().unwrap()).await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for round in 0..3 {
        // Enough concurrent reads that every pooled connection is in use.
        let used = (0..32).map(|_| site.app.store.read(|tx| tx.setting("x")));
        for used in join_all(used).await {
            used.unwrap();
        }
        let others = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rekey'";
        let ended = client.query(&format!("SELECT pg_terminate_backend(pid) {others}"), &[]).await;
        assert!(!ended.unwrap().is_empty());
        while !client.query(&format!("SELECT 1 {others}"), &[]).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let reads = join_all((0..32).map(|_| site.app.store.read(|tx| tx.setting("x"))));
        let writes = join_all((0..32).map(|number| {
            let name = format!("{round} {number}");
            site.app.store.write(move |tx| tx.settle_setting(&name, "here"))
        }));
        let (reads, writes) = tokio::join!(reads, writes);
        for told in reads {
            told.unwrap();
        }
        for told in writes {
            told.unwrap();
        }
    }
}

/// In a shared transaction a lock is waited for briefly only; a transaction alone waits as long as
/// necessary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_held_elsewhere_is_waited_for() {
    let Some(url) = crate::site::postgres_url().await else { return };
    let site = Quiet::on(&url, tempfile::tempdir().unwrap()).await;
    let abby = site.person("abby", &[&site.login]).await;
    let bert = site.person("bert", &[&site.login]).await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let lock = "BEGIN; SELECT 1 FROM account WHERE native_identity = 'abby' FOR UPDATE";
    client.batch_execute(lock).await.unwrap();

    let mut asks = Vec::new();
    for number in 0..16 {
        let who = if number % 4 == 0 { &abby } else { &bert };
        asks.push(site.ask(who, &site.login, format!("number {number}").as_bytes()).await);
    }
    let held = hold_up(&site).await;
    let accepting = join_all(asks.into_iter().map(|ask| {
        let (app, client) = (site.app.clone(), site.client.clone());
        tokio::spawn(async move { accept::accept(&app, &client, ask).await.unwrap() })
    }));
    release(held).await;
    // Longer than the lock timeout of a shared transaction.
    let waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
        AND wait_event_type = 'Lock' AND query_start < clock_timestamp() - interval '400 ms'";
    while client.query(waits, &[]).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    client.batch_execute("COMMIT").await.unwrap();
    let accepted: Vec<_> = accepting.await.into_iter().map(Result::unwrap).collect();
    assert_eq!(accepted.len(), 16);
    assert_eq!(site.work().await, 2);
}
