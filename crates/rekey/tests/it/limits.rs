//! The limits on what one person may make rekey store.

use futures_util::future::join_all;
use hyper::StatusCode;
use rekey::{
    access::{ALL, ENDPOINT},
    client::Created,
    model::{id::SourceId, identity::Identity, level::Level},
};
use serde_json::{Value, json};

use crate::{
    site::{Answer, Site, change_body, encrypt, on_both_stores},
    source_reach,
    sources::{admin, made, patch},
};

on_both_stores!(
    an_account_has_so_many_changes_a_day,
    a_resend_is_answered_beyond_the_limit,
    an_owner_has_so_many_sources,
    only_an_organization_administrator_creates_a_built_in_source,
    keys_are_made_when_password_is_switched_on,
    a_key_is_answered_only_where_passwords_may_be_changed,
    a_list_costs_the_same_however_its_parameters_are_spelled,
);

/// A person's personal access token, and the answer of query-password-info about them.
async fn person(site: &Site) -> (Created, Value) {
    let who = site.person("abby", &[]).await;
    admin(site).await;
    let client = site.personal_access_token(&who).await;
    let token = site.token_of(&client).await;
    let body = json!({ "userName": "abby", "sourceName": "IdentityNow" });
    let info = site.post("/v3/query-password-info").token(&token).json(body).send().await;
    info.assert(StatusCode::OK);
    (client, info.body)
}

async fn an_account_has_so_many_changes_a_day(site: Site) {
    let nodes = [
        site.node(|config| config.limits.changes_per_account_per_day = 7).await,
        site.node(|config| config.limits.changes_per_account_per_day = 7).await,
    ];
    let (who, info) = person(&site).await;
    let token = site.token_of(&who).await;
    let ask = async |node: &Site, token: &str, n: usize| {
        let body = change_body(&info, &encrypt(&info, format!("Quiet-Harbor-{n}").as_bytes()));
        node.post("/v3/set-password").token(token).json(body).send().await
    };
    // Of forty concurrent requests on two nodes, exactly seven are accepted.
    let asks = (0..40).map(|n| ask(&nodes[n % 2], &token, n));
    let answers: Vec<Answer> = join_all(asks).await;
    let accepted = answers.iter().filter(|answer| answer.status == StatusCode::ACCEPTED).count();
    assert_eq!(accepted, 7);
    for refused in answers.iter().filter(|answer| answer.status != StatusCode::ACCEPTED) {
        refused.assert(StatusCode::BAD_REQUEST);
        assert_eq!(refused.error().0, "400.1.4 Limit violation");
        assert!(refused.error().1.contains("limits.changes_per_account_per_day"));
        assert!(refused.headers.get("retry-after").is_none());
    }
    // The account on a node without a limit takes more changes; the node with a limit still
    // refuses.
    let none = site.node(|config| config.limits.changes_per_account_per_day = 0).await;
    ask(&none, &token, 40).await.assert(StatusCode::ACCEPTED);
    ask(&nodes[0], &token, 41).await.assert(StatusCode::BAD_REQUEST);
    // A day later the limit allows further changes.
    site.app.clock.turn(std::time::Duration::from_hours(25));
    ask(&nodes[0], &site.token_of(&who).await, 42).await.assert(StatusCode::ACCEPTED);
}

async fn a_resend_is_answered_beyond_the_limit(site: Site) {
    let node = site.node(|config| config.limits.changes_per_account_per_day = 1).await;
    let (who, info) = person(&site).await;
    let token = site.token_of(&who).await;
    let body = change_body(&info, &encrypt(&info, b"Quiet-Harbor-1"));
    let ask = || node.post("/v3/set-password").token(&token).json(body.clone()).send();
    let (first, again) = (ask().await, ask().await);
    first.assert(StatusCode::ACCEPTED);
    again.assert(StatusCode::ACCEPTED);
    assert_eq!(first.body["requestId"], again.body["requestId"]);
}

async fn an_owner_has_so_many_sources(site: Site) {
    let node = site.node(|config| config.limits.sources_per_owner = 2).await;
    let boss = admin(&site).await;
    let own = site.person("sara", &[Level::SourceAdmin]).await;
    let token = site.token_of(&site.personal_access_token(&own).await).await;
    let sara = (own, token);
    let named = |name: &str| json!({ "name": name, "connectorAttributes": {}, "features": [] });
    for name in ["A", "B"] {
        made(&node, &sara, named(name)).await.assert(StatusCode::CREATED);
    }
    let refused = made(&node, &sara, named("C")).await;
    assert_eq!(refused.error().0, "400.1.4 Limit violation", "{}", refused.text);
    assert!(refused.error().1.contains("limits.sources_per_owner"), "{}", refused.text);
    // She may not create one for another owner either, nor after she has given one away.
    let other = site.person("otto", &[]).await;
    let mut owner = named("C");
    owner["owner"] = json!({ "type": "IDENTITY", "id": other.id });
    made(&node, &sara, owner.clone()).await.assert(StatusCode::BAD_REQUEST);
    // An organization administrator may create it.
    made(&node, &boss, owner).await.assert(StatusCode::CREATED);
    // A source counts for its new owner after a change of owner, too.
    let list = node.get("/v3/sources?filters=name%20eq%20%22A%22").token(&boss.1).send().await;
    let id = list.body[0]["id"].clone();
    let give = async |to: &Identity, token: &str| {
        let value = json!({ "type": "IDENTITY", "id": to.id });
        let operation = json!([{ "op": "replace", "path": "/owner", "value": value }]);
        patch(&node, token, &id, operation).await
    };
    let third = site.person("theo", &[]).await;
    give(&third, &sara.1).await.assert(StatusCode::OK);
    give(&other, &sara.1).await.assert(StatusCode::OK);
    give(&third, &sara.1).await.assert(StatusCode::OK);
    let mut second = named("D");
    second["owner"] = json!({ "type": "IDENTITY", "id": other.id });
    made(&node, &boss, second).await.assert(StatusCode::CREATED);
    let refused = give(&other, &sara.1).await;
    assert_eq!(refused.error().0, "400.1.4 Limit violation", "{}", refused.text);
    give(&other, &boss.1).await.assert(StatusCode::OK);
}

async fn only_an_organization_administrator_creates_a_built_in_source(site: Site) {
    let boss = admin(&site).await;
    let own = site.person("sara", &[Level::SourceAdmin]).await;
    let token = site.token_of(&site.personal_access_token(&own).await).await;
    let body = json!({ "connector": "rekey", "connectorAttributes": {}, "features": [] });
    let refused = made(&site, &(own, token), body.clone()).await;
    refused.assert(StatusCode::FORBIDDEN);
    assert!(refused.error().1.contains("a source of the kind rekey"), "{}", refused.text);
    made(&site, &boss, body.clone()).await.assert(StatusCode::CREATED);
    // A client needs the endpoint scope to create such a source.
    for (scope, status) in
        [(&[ALL][..], StatusCode::FORBIDDEN), (&[ALL, ENDPOINT][..], StatusCode::CREATED)]
    {
        let client = source_reach::client(&site, "portal", scope).await;
        let token = source_reach::token(&site, &client, None);
        let mut body = body.clone();
        body["name"] = json!("By a client");
        made(&site, &(boss.0.clone(), token), body).await.assert(status);
    }
}

async fn keys_are_made_when_password_is_switched_on(site: Site) {
    let boss = admin(&site).await;
    let source = made(
        &site,
        &boss,
        json!({ "connector": "rekey", "connectorAttributes": {}, "features": [] }),
    )
    .await;
    source.assert(StatusCode::CREATED);
    let id = SourceId(source.body["id"].as_str().unwrap().to_owned());
    let keys = async || {
        let id = id.clone();
        let all = site.write(move |tx| Ok(tx.source_keys()?)).await;
        all.into_iter().filter(|key| key.source_id == id).map(|key| key.id).collect::<Vec<_>>()
    };
    let ask = || {
        let body = json!({ "userName": "admin", "sourceName": "My Directory" });
        site.post("/v3/query-password-info").token(&boss.1).json(body).send()
    };
    assert_eq!(keys().await, []);
    assert_eq!(ask().await.error().0, "400.1.404 Referenced object not found");
    let add = json!([{ "op": "add", "path": "/features/-", "value": "PASSWORD" }]);
    patch(&site, &boss.1, &source.body["id"], add.clone()).await.assert(StatusCode::OK);
    let first = keys().await;
    assert_eq!(first.len(), 2);
    ask().await.assert(StatusCode::OK);
    // Removing and adding the feature again creates no further keys, so nobody can create keys
    // endlessly.
    for _ in 0..2 {
        let off = json!([{ "op": "replace", "path": "/features", "value": [] }]);
        patch(&site, &boss.1, &source.body["id"], off).await.assert(StatusCode::OK);
        ask().await.assert(StatusCode::BAD_REQUEST);
        patch(&site, &boss.1, &source.body["id"], add.clone()).await.assert(StatusCode::OK);
    }
    assert_eq!(keys().await, first);
}

async fn a_key_is_answered_only_where_passwords_may_be_changed(site: Site) {
    let boss = admin(&site).await;
    let body = json!({ "connector": "rekey", "connectorAttributes": {}, "features": ["PASSWORD"] });
    let source = made(&site, &boss, body).await;
    source.assert(StatusCode::CREATED);
    let id = &source.body["id"];
    let ask = async |token: &str| {
        let body = json!({ "userName": "admin", "sourceName": "My Directory" });
        site.post("/v3/query-password-info").token(token).json(body).send().await
    };
    let client = site.token_of(&site.api_client().await).await;
    let info = ask(&boss.1).await;
    info.assert(StatusCode::OK);
    assert_eq!(info.body["accounts"].as_array().unwrap().len(), 1);

    // The person, the account and the keys stay unchanged: only the feature makes the difference.
    let kept = async || {
        let (source, who) = (SourceId(id.as_str().unwrap().to_owned()), boss.0.id.clone());
        site.write(move |tx| {
            let keys = tx.source_keys()?.into_iter().filter(|key| key.source_id == source);
            let keys: Vec<_> = keys.map(|key| key.id).collect();
            Ok((keys, tx.accounts_of(&who, &source)?.len()))
        })
        .await
    };
    let before = kept().await;
    assert_eq!((before.0.len(), before.1), (2, 1));
    for features in [json!([]), json!(["AUTHENTICATE"])] {
        let off = json!([{ "op": "replace", "path": "/features", "value": features }]);
        patch(&site, &boss.1, id, off).await.assert(StatusCode::OK);
        assert_eq!(kept().await, before);
        for token in [&boss.1, &client] {
            let refused = ask(token).await;
            assert_eq!(refused.error().0, "400.1.404 Referenced object not found");
            assert!(!refused.text.contains("publicKey"), "{}", refused.text);
        }
        // The key that was returned before is refused now.
        let body = change_body(&info.body, &encrypt(&info.body, b"Quiet-Harbor-1"));
        let refused = site.post("/v3/set-password").token(&client).json(body).send().await;
        refused.assert(StatusCode::BAD_REQUEST);
        assert!(refused.error().1.contains("add PASSWORD to its features"), "{}", refused.text);
    }
    let on = json!([{ "op": "replace", "path": "/features", "value": ["PASSWORD"] }]);
    patch(&site, &boss.1, id, on).await.assert(StatusCode::OK);
    for token in [&boss.1, &client] {
        assert_eq!(ask(token).await.body["publicKeyId"], info.body["publicKeyId"]);
    }
}

async fn a_list_costs_the_same_however_its_parameters_are_spelled(site: Site) {
    let node = site.node(|config| config.limits.requests_per_10s = 50).await;
    let long = "%78".repeat(13_000);
    for query in [
        "offset=500000".to_owned(),
        "%6fffset=500000".to_owned(),
        "offset=%35%30%30000".to_owned(),
        format!("%66ilters=name+eq+%22{long}%22"),
    ] {
        let token = site.token_of(&site.api_client().await).await;
        let path = format!("/v3/sources?{query}");
        let first = node.get(&path).token(&token).send().await;
        assert_ne!(first.status, StatusCode::TOO_MANY_REQUESTS, "{query}");
        // The first request used up the whole allowance for 10 s.
        node.get(&path).token(&token).send().await.assert(StatusCode::TOO_MANY_REQUESTS);
    }
}
