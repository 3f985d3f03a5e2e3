//! Recorded attempts that change nothing: refusals, and reads of administrators. A flood of one
//! kind must hide no other kind, and must not fill the store.

use std::time::Duration;

use futures_util::future::poll_immediate;
use hyper::StatusCode;
use rekey::{
    audit::attempts_written,
    client::{self, Created},
    model::{audit::Event, id::ClientId, level::Level},
    sign_in::Network,
    store::Tx,
};
use rekey_vault::Password;
use serde_json::{Value, json};

use crate::{
    people::{FORM, credentials},
    site::{Site, on_both_stores},
    sources::{admin, made, patch},
};

on_both_stores!(
    a_flood_of_junk_hides_no_failed_sign_in_of_an_administrator,
    a_flood_at_one_person_hides_no_other,
    an_attempt_whose_client_goes_away_is_counted_and_recorded,
    what_a_budget_does_not_cover_is_counted_in_one_row,
    a_wrong_secret_names_its_client,
    a_dead_token_is_recorded,
    a_try_for_somebody_elses_password_is_recorded,
    a_refused_change_of_a_source_is_recorded,
    a_read_of_an_administrator_is_recorded_once_an_hour,
);

/// The rows with this action, in the order in which they were written.
pub(crate) async fn rows(site: &Site, action: &str) -> Vec<Event> {
    attempts_written(&site.app.audit).await;
    let look = |tx: &mut Tx<'_>| -> rekey::store::Result<Vec<Event>> {
        // In this order of queries, a row that is chained meanwhile is read twice instead of never.
        let mut rows = tx.unchained(i64::MIN, 10_000)?;
        rows.extend(tx.links(0, 10_000)?.into_iter().filter_map(|link| link.event));
        Ok(rows)
    };
    let mut rows = site.app.store.read(look).await.unwrap();
    rows.sort_by_key(|row| row.seq);
    rows.dedup_by_key(|row| row.seq);
    rows.retain(|row| row.action == action);
    rows
}

/// The only row with this action.
async fn row(site: &Site, action: &str) -> Event {
    let mut rows = rows(site, action).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

fn detail(row: &Event) -> Value {
    serde_json::from_str(&row.detail).unwrap()
}

/// Waits for the row with the count of attempts that were not recorded: it is written within one
/// second of its due time.
async fn missed(site: &Site, action: &str) -> Event {
    loop {
        let with_count = |row: &Event| detail(row).get("notRecorded").is_some();
        if let Some(row) = rows(site, action).await.into_iter().find(with_count) {
            return row;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn junk_clients(site: &Site, count: usize) {
    for n in 0..count {
        let body = format!("grant_type=client_credentials&client_id=junk{n}&client_secret=x");
        let answer = site.post("/oauth/token").text(FORM, body).send().await;
        assert!(answer.status.is_client_error(), "{}", answer.text);
    }
}

async fn sign_in(site: &Site, name: &str, clear: &str) -> bool {
    site.app
        .sign_ins
        .sign_in(Network::LOCAL, name, Password::new(clear.into()))
        .await
        .unwrap()
        .is_some()
}

async fn a_flood_of_junk_hides_no_failed_sign_in_of_an_administrator(site: Site) {
    let admin = site.person("admin", &[Level::OrgAdmin]).await;
    site.give_password("admin", "correct horse").await;
    let flood = async {
        junk_clients(&site, 150).await;
        for n in 0..30 {
            assert!(!sign_in(&site, &format!("junk{n}"), "x").await);
        }
    };
    let tries = async {
        for _ in 0..52 {
            assert!(!sign_in(&site, "admin", "wrong").await);
        }
    };
    junk_clients(&site, 150).await;
    tokio::join!(flood, tries);
    let rows = rows(&site, "USER_SIGN_IN").await;
    let of_admin = rows.iter().filter(|row| row.object == admin.id.as_str()).count();
    assert_eq!(of_admin, 52);
    assert!(rows.len() - of_admin <= 21, "{} rows for junk", rows.len() - of_admin);
}

async fn an_attempt_whose_client_goes_away_is_counted_and_recorded(site: Site) {
    let abby = site.person("abby", &[]).await;
    site.give_password("abby", "correct horse").await;
    let attempt = site.app.sign_ins.sign_in(Network::LOCAL, "abby", Password::new("wrong".into()));
    assert!(poll_immediate(attempt).await.is_none(), "it was over before the client went away");
    let recorded = async {
        while rows(&site, "USER_SIGN_IN").await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), recorded).await.expect("it left no row");
    assert_eq!(rows(&site, "USER_SIGN_IN").await[0].object, abby.id.as_str());
    assert!(!sign_in(&site, "abby", "correct horse").await, "it was not counted");
}

async fn a_flood_at_one_person_hides_no_other(site: Site) {
    let (abby, bob) = (site.person("abby", &[]).await, site.person("bob", &[]).await);
    site.give_password("abby", "correct horse").await;
    site.give_password("bob", "correct horse").await;
    for _ in 0..50 {
        assert!(!sign_in(&site, "abby", "wrong").await);
    }
    assert!(!sign_in(&site, "bob", "wrong").await);
    let rows = rows(&site, "USER_SIGN_IN").await;
    let of = |id: &str| rows.iter().filter(|row| row.object == id).count();
    // A wrong password and the lock-out after it are two reasons, each with a budget of its own.
    assert!((20..=40).contains(&of(abby.id.as_str())), "{}", of(abby.id.as_str()));
    assert_eq!(of(bob.id.as_str()), 1);
}

async fn what_a_budget_does_not_cover_is_counted_in_one_row(site: Site) {
    junk_clients(&site, 50).await;
    assert_eq!(rows(&site, "CLIENT_TOKEN_ISSUE").await.len(), 20);
    site.app.clock.turn(Duration::from_mins(1));
    let missed = missed(&site, "CLIENT_TOKEN_ISSUE").await;
    assert_eq!((missed.actor.as_str(), missed.object.as_str()), ("unknown", "unknown"));
    let why = "there is no such client: 30 more were not recorded";
    assert_eq!(missed.failure.as_deref(), Some(why));
    let detail = detail(&missed);
    assert_eq!(detail["notRecorded"], 30);
    let (from, until) = (detail["from"].as_str().unwrap(), detail["until"].as_str().unwrap());
    assert!(from <= until && until < missed.at.rfc3339().as_str(), "{detail}");
}

async fn a_wrong_secret_names_its_client(site: Site) {
    let real = site.api_client().await;
    let abby = site.person("abby", &[]).await;
    let personal = site.personal_access_token(&abby).await;
    let mut answers = Vec::new();
    for id in [real.id.clone(), personal.id.clone(), ClientId::new()] {
        let wrong = Created { id, secret: "0".repeat(64) };
        let mut answer = site.post("/oauth/token").text(FORM, credentials(&wrong)).send().await;
        answer.headers.remove("slpt-request-id");
        answer.headers.remove("date");
        answers.push((answer.status, answer.text, answer.headers));
    }
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let rows = [
        rows(&site, "CLIENT_TOKEN_ISSUE").await,
        rows(&site, "PERSONAL_ACCESS_TOKEN_USE_FAILED").await,
    ]
    .concat();
    let said: Vec<_> =
        rows.iter().map(|row| (row.object.as_str(), row.failure.as_deref().unwrap())).collect();
    assert_eq!(said.len(), 3);
    for wanted in [
        (real.id.as_str(), "the secret is wrong"),
        (personal.id.as_str(), "the secret is wrong"),
        ("unknown", "there is no such client"),
    ] {
        assert!(said.contains(&wanted), "{wanted:?}: {said:?}");
    }
}

async fn a_dead_token_is_recorded(site: Site) {
    let mut abby = site.person("abby", &[]).await;
    let personal = site.personal_access_token(&abby).await;
    let (of_abby, of_client) = (site.token_of(&personal).await, site.api_client().await);
    let token = site.token_of(&of_client).await;
    client::delete(&site.app, &of_client.id, "test").await.unwrap();
    site.get("/v3/sources").token(&token).send().await.assert(StatusCode::UNAUTHORIZED);
    let used = row(&site, "ACCESS_TOKEN_REFUSED").await;
    let id = of_client.id.as_str();
    assert_eq!((used.actor.as_str(), used.object.as_str()), (id, id));
    assert_eq!(used.failure.as_deref(), Some("the client is gone"));

    abby.enabled = false;
    let id = abby.id.clone();
    site.write(move |tx| Ok(tx.update_identity(&abby)?)).await;
    site.get("/v3/sources").token(&of_abby).send().await.assert(StatusCode::UNAUTHORIZED);
    let used = rows(&site, "ACCESS_TOKEN_REFUSED").await.pop().unwrap();
    assert_eq!((used.actor.as_str(), used.object.as_str()), (id.as_str(), personal.id.as_str()));
    assert_eq!(used.failure.as_deref(), Some("the identity is disabled or gone"));

    // A token that rekey never signed is attributable to nobody, so it is not recorded.
    site.get("/v3/sources").token("a.b.c").send().await.assert(StatusCode::UNAUTHORIZED);
    assert_eq!(rows(&site, "ACCESS_TOKEN_REFUSED").await.len(), 2);
}

async fn a_try_for_somebody_elses_password_is_recorded(site: Site) {
    site.with_people(&["abby", "bob"]).await;
    let find = async |name: &'static str| {
        let look = move |tx: &mut Tx<'_>| tx.identity_with_alias(name);
        site.app.store.read(look).await.unwrap().unwrap()
    };
    let (abby, bob) = (find("abby").await, find("bob").await);
    let token = site.token_of(&site.personal_access_token(&abby).await).await;
    let body = json!({
        "identityId": bob.id, "encryptedPassword": "AAAA", "publicKeyId": "k", "sourceId": "s",
    });
    let refused = site.post("/v3/set-password").token(&token).json(body).send().await;
    refused.assert(StatusCode::FORBIDDEN);
    let denied = row(&site, "ACCESS_DENIED").await;
    assert_eq!(
        (denied.actor.as_str(), denied.object.as_str()),
        (abby.id.as_str(), bob.id.as_str())
    );
    assert_eq!(detail(&denied)["operation"], "POST /set-password");
    assert!(denied.failure.is_some() && denied.origin.unwrap().contains("trackingId"));

    for name in ["bob", "nobody", "abby"] {
        let body = json!({ "userName": name, "sourceName": "IdentityNow" });
        let answer = site.post("/v3/query-password-info").token(&token).json(body).send().await;
        assert_eq!(answer.status == StatusCode::OK, name == "abby", "{}", answer.text);
    }
    let denied = rows(&site, "ACCESS_DENIED").await;
    assert_eq!(denied.len(), 3, "bob and nobody, not abby: {denied:?}");
    assert_eq!(detail(&denied[2])["operation"], "POST /query-password-info");
    assert_eq!(denied[2].actor, abby.id.as_str());
}

async fn a_refused_change_of_a_source_is_recorded(site: Site) {
    let admin = admin(&site).await;
    let source = made(&site, &admin, json!({})).await.body;
    let id = source["id"].as_str().unwrap();
    let sub = site.person("sub", &[Level::SourceSubadmin]).await;
    let abby = site.person("abby", &[]).await;
    let rename = json!([{ "op": "replace", "path": "/name", "value": "Mine" }]);
    for (who, status) in [(&abby, StatusCode::FORBIDDEN), (&sub, StatusCode::NOT_FOUND)] {
        let token = site.token_of(&site.personal_access_token(who).await).await;
        patch(&site, &token, &source["id"], rename.clone()).await.assert(status);
        let denied = rows(&site, "ACCESS_DENIED").await.pop().unwrap();
        assert_eq!((denied.actor.as_str(), denied.object.as_str()), (who.id.as_str(), id));
        assert_eq!(detail(&denied)["operation"], "PATCH /sources/{id}");
        // Text chosen by the caller must not get into a row.
        let words = json!("look%20at%20me");
        patch(&site, &token, &words, rename.clone()).await.assert(status);
        assert_eq!(rows(&site, "ACCESS_DENIED").await.pop().unwrap().object, "unknown");
    }
    patch(&site, &admin.1, &source["id"], rename).await.assert(StatusCode::OK);
    assert_eq!(rows(&site, "ACCESS_DENIED").await.len(), 4);
}

async fn a_read_of_an_administrator_is_recorded_once_an_hour(site: Site) {
    let admin = admin(&site).await;
    let abby = site.person("abby", &[]).await;
    let abby = site.token_of(&site.personal_access_token(&abby).await).await;
    let read = async |token: &str, path: &str| {
        site.get(path).token(token).send().await.assert(StatusCode::OK);
    };
    for _ in 0..5 {
        read(&admin.1, "/v3/identities").await;
        read(&abby, "/v3/identities").await;
    }
    read(&admin.1, "/v3/accounts").await;
    let found = rows(&site, "ADMINISTRATIVE_READ").await;
    let said: Vec<_> = found.iter().map(|row| (row.actor.as_str(), row.object.as_str())).collect();
    let id = admin.0.id.as_str();
    assert_eq!(said, [(id, "/identities"), (id, "/accounts")], "abby sees only herself");
    assert!(found.iter().all(|row| row.failure.is_none()));

    site.app.clock.turn(Duration::from_hours(1));
    let more = missed(&site, "ADMINISTRATIVE_READ").await;
    assert_eq!((more.object.as_str(), &detail(&more)["notRecorded"]), ("/identities", &4.into()));
    assert!(more.failure.is_none());
}
