//! Lists: answered by an index, bounded, and without delay for other requests.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use hyper::StatusCode;
use rekey::{
    model::{column::Json, id::IdentityId, identity::Identity},
    store::{Error, Tx},
};
use serde_json::{Map, json};

use crate::{
    site::{Answer, Site, on_both_stores},
    sources::admin,
};

on_both_stores!(
    point_reads_are_quick_beside_hostile_lists,
    a_list_that_takes_too_long_is_ended,
    one_caller_leaves_room_for_another,
    a_caller_without_lists_always_gets_a_place,
    a_name_is_found_by_its_beginning,
);

const PEOPLE: usize = 20_000;
const ENDLESS: &str = "WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n) SELECT count(*) AS value FROM n";
const NOBODY: &str = "SELECT count(*) AS value FROM identity";

fn someone(alias: &str, name: &str) -> Identity {
    let at = rekey::model::time::Micros(1);
    let mut attributes = Map::new();
    attributes.insert("firstname".into(), json!(name));
    Identity {
        id: IdentityId::new(),
        alias: alias.into(),
        name: name.into(),
        email: Some(format!("{alias}@example.com")),
        capabilities: Json(vec![]),
        attributes: Json(attributes),
        enabled: true,
        generation: 0,
        created: at,
        modified: at,
    }
}

async fn crowd(site: &Site) {
    for batch in 0..PEOPLE / 1000 {
        site.write(move |tx| {
            for n in batch * 1000..(batch + 1) * 1000 {
                tx.insert_identity(&someone(&format!("p{n}"), &format!("Person {n}")))?;
            }
            Ok(())
        })
        .await;
    }
}

async fn a_token(site: &Site, alias: &str) -> (Identity, String) {
    let who = site.person(alias, &[]).await;
    let token = site.token_of(&site.personal_access_token(&who).await).await;
    (who, token)
}

/// A request with `count` tests of a field, none of which finds anybody.
fn tests(field: &str, count: usize) -> String {
    let tests: Vec<_> = (0..count).map(|n| format!("{field}+sw+%22q{n}%22")).collect();
    format!("/v3/public-identities?count=true&filters={}", tests.join("+or+"))
}

/// The 99th percentile.
fn slowest(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

async fn point_reads_are_quick_beside_hostile_lists(site: Site) {
    crowd(&site).await;
    let (who, token) = a_token(&site, "reader").await;
    let one = format!("/v3/identities/{}", who.id);
    let measure = async || {
        let began = Instant::now();
        site.get("/healthz").send().await.assert(StatusCode::OK);
        site.get(&one).token(&token).send().await.assert(StatusCode::OK);
        began.elapsed()
    };
    let mut alone = Vec::new();
    for _ in 0..10 {
        alone.push(measure().await);
    }
    let mut attackers = Vec::new();
    for n in 0..20 {
        attackers.push(a_token(&site, &format!("attacker{n}")).await.1);
    }
    // The size that an earlier filter accepted, and the most expensive one accepted now.
    let hostile = [tests("name", 365), tests("firstname", 20)];
    let mut attack = pin!(join_all((0..100).map(|n| {
        let (site, token, path) = (&site, &attackers[n % 20], &hostile[n % 2]);
        site.get(path).token(token).send()
    })));
    // Measures until the attack has ended.
    let mut beside = Vec::new();
    let answers = loop {
        let mut probe = pin!(measure());
        tokio::select! {
            answers = &mut attack => break answers,
            took = &mut probe => beside.push(took),
        }
    };
    let count = beside.len();
    let (alone, beside) = (slowest(alone), slowest(beside));
    println!(
        "{count} times: a GET and /healthz alone {alone:?}, beside 100 hostile lists {beside:?}"
    );
    assert!(beside < alone + Duration::from_secs(1), "{alone:?} alone, {beside:?} beside");
    for (n, answer) in answers.iter().enumerate() {
        match (n % 2, answer.status) {
            (0, StatusCode::BAD_REQUEST) => {
                assert!(answer.error().1.contains("at most 20"), "{}", answer.text);
            }
            (1, StatusCode::OK) => assert_eq!(answer.body, json!([])),
            (1, StatusCode::BAD_REQUEST) => {
                assert_eq!(answer.error().0, "400.1.4 Limit violation");
                assert!(answer.error().1.contains("takes too long"), "{}", answer.text);
            }
            (1, StatusCode::SERVICE_UNAVAILABLE) => is_busy(answer),
            (_, status) => panic!("{status}: {}", answer.text),
        }
    }
    let refused = answers.iter().filter(|a| a.status == StatusCode::SERVICE_UNAVAILABLE).count();
    // The n-th of ten callers has at most 32 / n places, and each sends five requests.
    assert!(refused >= 50 - 44, "the queue is bounded: {refused}");
}

fn is_busy(answer: &Answer) {
    assert_eq!(answer.error().0, "503 Service unavailable", "{}", answer.text);
    assert!(answer.headers.get("retry-after").is_some());
}

async fn a_list_that_takes_too_long_is_ended(site: Site) {
    let ask =
        |sql: &'static str| site.app.store.list("caller", move |tx: &mut Tx<'_>| tx.count(sql));
    assert!(matches!(ask(ENDLESS).await, Err(Error::TooLong(_))));
    // The same connection serves the next query.
    for _ in 0..4 {
        assert_eq!(ask(NOBODY).await.unwrap(), 0);
    }
}

async fn one_caller_leaves_room_for_another(site: Site) {
    let store = &site.app.store;
    let flood =
        join_all((0..20).map(|_| store.list("flood", move |tx: &mut Tx<'_>| tx.count(ENDLESS))));
    let other = async {
        tokio::task::yield_now().await;
        let began = Instant::now();
        for _ in 0..10 {
            store.list("other", |tx: &mut Tx<'_>| tx.count(NOBODY)).await.unwrap();
        }
        began.elapsed()
    };
    let (flooded, other) = tokio::join!(flood, other);
    let busy = flooded.iter().filter(|done| matches!(done, Err(Error::Busy))).count();
    let ended = flooded.iter().filter(|done| matches!(done, Err(Error::TooLong(_)))).count();
    assert_eq!((busy, ended), (12, 8), "eight may wait, one after the other");
    assert!(other < Duration::from_secs(2), "{other:?}: another caller has a thread");
}

async fn a_caller_without_lists_always_gets_a_place(site: Site) {
    let store = &site.app.store;
    let attackers = ["a", "b", "c", "d"];
    let mut flood = pin!(join_all(
        (0..40).map(|n| { store.list(attackers[n % 4], move |tx: &mut Tx<'_>| tx.count(ENDLESS)) })
    ));
    let other = async { store.list("other", |tx: &mut Tx<'_>| tx.count(NOBODY)).await };
    tokio::select! {
        // The flood is polled first, so that it takes every place that it can get.
        biased;
        _ = &mut flood => panic!("the flood has ended before the other caller had an answer"),
        counted = other => assert_eq!(counted.unwrap(), 0),
    }
}

async fn a_name_is_found_by_its_beginning(site: Site) {
    let (_, token) = admin(&site).await;
    let long = "x".repeat(64);
    let names =
        ["\u{c4}NNE Smith", "anne jones", "50% off", &format!("{long}a"), &format!("{long}B")];
    for (n, name) in names.iter().enumerate() {
        let who = someone(&format!("n{n}"), name);
        site.write(move |tx| Ok(tx.insert_identity(&who)?)).await;
    }
    let found = async |filter: String| {
        let filter = filter.replace('%', "%25").replace('"', "%22").replace(' ', "+");
        let filter = filter.replace('\u{e4}', "%C3%A4");
        let path = format!("/v3/public-identities?filters={filter}");
        let answer = site.get(&path).token(&token).send().await;
        answer.assert(StatusCode::OK);
        let aliases = answer.body.as_array().unwrap().iter();
        aliases.map(|row| row["alias"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (filter, expected) in [
        ("name sw \"\u{e4}nne\"".into(), &["n0"][..]),
        ("name sw \"ANNE\"".into(), &["n1"]),
        ("name sw \"50%\"".into(), &["n2"]),
        ("name sw \"\"".into(), &["admin", "n0", "n1", "n2", "n3", "n4"]),
        ("not (name sw \"x\") and alias sw \"N\"".into(), &["n0", "n1", "n2"]),
        (format!("name sw \"{long}\""), &["n3", "n4"]),
        (format!("name sw \"{long}A\""), &["n3"]),
        (format!("name eq \"{long}b\""), &["n4"]),
        (format!("name eq \"{long}\""), &[]),
        ("email sw \"N2@\"".into(), &["n2"]),
    ] {
        assert_eq!(found(filter.clone()).await, expected, "{filter}");
    }
    // The new name is found, and the old one is not.
    site.write(|tx| {
        let mut who = tx.identity_with_alias("n1")?.unwrap();
        "Beth".clone_into(&mut who.name);
        Ok(tx.update_identity(&who)?)
    })
    .await;
    assert_eq!(found("name sw \"be\"".into()).await, ["n1"]);
    assert!(found("name sw \"anne\"".into()).await.is_empty());
}
