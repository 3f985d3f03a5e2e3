//! Attacks by the owner of a source, over HTTP.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use hyper::StatusCode;
use rekey::{
    access::{ALL, ENDPOINT},
    client::create_api_client,
    model::{client::GrantType, level::Level},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    directory::Directory,
    people::{FORM, credentials},
    site::{Site, on_both_stores},
    source_reach::{applied, put, read},
    sources::{admin, ended, made, patch},
};

on_both_stores!(
    a_filter_that_is_too_deep_is_refused_and_a_stored_one_kills_nothing,
    an_owner_cannot_have_passwords_sent_to_a_system_of_their_own,
    an_owner_cannot_make_accounts_theirs_inside_of_a_group,
    what_another_system_listed_is_not_believed_after_the_way_back,
    attributes_that_hold_secrets_are_shown_to_nobody,
    the_scope_is_had_by_name_only,
);

/// A sub-administrator who owns a source, and their token.
async fn owner(site: &Site) -> (rekey::model::id::IdentityId, String) {
    let owner = site.person("owner", &[Level::SourceSubadmin]).await;
    let token = site.token_of(&site.personal_access_token(&owner).await).await;
    (owner.id, token)
}

/// Starts a system of the attacker's; returns its port and its counter of connections.
async fn attacker() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, calls)
}

async fn a_filter_that_is_too_deep_is_refused_and_a_stored_one_kills_nothing(site: Site) {
    let admin = admin(&site).await;
    let source = made(&site, &admin, json!({})).await.body;
    let deep = |levels: usize| format!("{}(a=b){}", "(!".repeat(levels), ")".repeat(levels));
    let to = |filter: &str| json!([{ "op": "add", "path": "/connectorAttributes/accountFilter", "value": filter }]);
    for filter in [deep(32), deep(600), "(!".repeat(2_000), "(!".repeat(30_000)] {
        let refused = patch(&site, &admin.1, &source["id"], to(&filter)).await;
        assert_eq!(refused.error().0, "400.1.3 Illegal value", "{}", refused.text);
        assert!(refused.error().1.contains("accountFilter"), "{}", refused.text);
    }
    patch(&site, &admin.1, &source["id"], to(&deep(31))).await.assert(StatusCode::OK);

    // A filter that an earlier version accepted and stored.
    let mut attributes = json!({
        "host": "127.0.0.1", "port": 1, "bindDn": "cn=rekey", "bindPassword": "s3cret",
        "baseDn": "dc=example,dc=com",
    });
    for filter in [deep(200), "(!".repeat(30_000)] {
        attributes["accountFilter"] = json!(filter);
        let stored = put(&site, &admin.0.id, "ldap", attributes.as_object().unwrap()).await;
        let path = format!("/v2024/sources/{}/load-accounts", stored.id);
        let begun = site.post(&path).token(&admin.1).send().await;
        let task = ended(&site, &admin.1, &begun).await;
        assert_eq!(task["completionStatus"], "ERROR", "{task}");
        assert!(task["messages"].to_string().contains("accountFilter"), "{task}");
        let path = format!("/beta/sources/{}/connector/check-connection", stored.id);
        let checked = site.post(&path).token(&admin.1).send().await;
        assert_eq!(checked.body["status"], "FAILURE", "{}", checked.text);
    }
}

async fn an_owner_cannot_have_passwords_sent_to_a_system_of_their_own(site: Site) {
    let admin = admin(&site).await;
    let (owner_id, token) = owner(&site).await;
    let directory = Directory::start().await;
    directory.lists(0..1);
    let body = json!({
        "features": ["PASSWORD"], "owner": { "type": "IDENTITY", "id": owner_id },
        "connectorAttributes": directory.attributes(),
    });
    let source = made(&site, &admin, body).await.body;
    let (port, calls) = attacker().await;
    let own = |operations: &[(&str, Value)]| {
        let operations = operations.iter().map(|(name, value)| {
            json!({ "op": "add", "path": format!("/connectorAttributes/{name}"), "value": value })
        });
        Value::Array(operations.collect())
    };
    let credentials =
        [("bindDn", json!("cn=attacker")), ("bindPassword", json!("attackers-s3cret"))];
    for moved in [
        own(&[("port", json!(port))]),
        own(&[("port", json!(port)), credentials[0].clone(), credentials[1].clone()]),
        own(&[("host", json!("localhost")), ("port", json!(port))]),
        own(&[("tls", json!("none")), ("allowInsecure", json!(true)), ("port", json!(port))]),
        json!([{ "op": "remove", "path": "/connectorAttributes/port" }]),
        json!([{ "op": "replace", "path": "/connectorAttributes", "value": {} }]),
        json!([{ "op": "remove", "path": "/connectorAttributes" }]),
        json!([{ "op": "move", "from": "/connectorAttributes/baseDn", "path": "/connectorAttributes/host" }]),
    ] {
        let refused = patch(&site, &token, &source["id"], moved.clone()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{moved} {}", refused.text);
        let text = refused.error().1;
        assert!(text.contains("connectorAttributes.") && text.contains(ENDPOINT), "{text}");
    }
    // The owner may still aggregate the source from the system it was created for.
    let path = format!("/v2024/sources/{}/load-accounts", source["id"].as_str().unwrap());
    let begun = site.post(&path).token(&token).send().await;
    let task = ended(&site, &token, &begun).await;
    assert_eq!(task["completionStatus"], "SUCCESS", "{task}");
    // The owner cannot create a source that points there either: `load-accounts` would be a port
    // scanner.
    let attributes = json!({
        "host": "127.0.0.1", "port": port, "tls": "none", "allowInsecure": true,
        "bindDn": "cn=rekey", "bindPassword": "s3cret", "baseDn": "dc=example,dc=com",
    });
    let body = json!({
        "name": "Scanner", "connector": "ldap", "connectorAttributes": attributes,
        "owner": { "type": "IDENTITY", "id": owner_id },
    });
    let refused = site.post("/v3/sources").token(&token).json(body).send().await;
    refused.assert(StatusCode::FORBIDDEN);
    assert_eq!(calls.load(Ordering::SeqCst), 0, "the attacker's system was called");
}

async fn an_owner_cannot_make_accounts_theirs_inside_of_a_group(site: Site) {
    let admin = admin(&site).await;
    let (owner_id, token) = owner(&site).await;
    let correlation = json!({ "accountAttribute": "uid", "identityAttribute": "alias" });
    let attributes = json!({
        "host": "ldap.example.com", "bindDn": "cn=rekey", "bindPassword": "s3cret",
        "baseDn": "dc=example,dc=com", "correlation": correlation,
    });
    let body = json!({
        "features": ["PASSWORD"], "owner": { "type": "IDENTITY", "id": owner_id },
        "connectorAttributes": attributes,
    });
    let source = made(&site, &admin, body).await.body;
    let group = json!({
        "policies": [{ "name": "P" }],
        "syncGroups": [{ "name": "G", "policy": "P", "sources": ["My Directory", "IdentityNow"] }],
    });
    applied(&site, &group).await.unwrap();
    for (path, value) in [
        ("correlation/accountAttribute", json!("description")),
        ("correlation/identityAttribute", json!("email")),
        ("correlation", json!({ "accountAttribute": "sn", "identityAttribute": "name" })),
        ("attributes", json!(["uid", "description"])),
        ("baseDn", json!("ou=attackers,dc=example,dc=com")),
        ("accountFilter", json!("(uid=attacker)")),
        ("nameAttribute", json!("description")),
        ("bindDn", json!("cn=attacker,dc=example,dc=com")),
        ("protectedAccounts", json!([])),
    ] {
        let change = json!([{ "op": "add", "path": format!("/connectorAttributes/{path}"), "value": value }]);
        let refused = patch(&site, &token, &source["id"], change).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path} {}", refused.text);
    }
    // Attributes that affect nobody else may be changed, including a new password for the same
    // system.
    for (path, value) in [("maxConnections", json!(2)), ("bindPassword", json!("n3w-s3cret"))] {
        let change = json!([{ "op": "add", "path": format!("/connectorAttributes/{path}"), "value": value }]);
        patch(&site, &token, &source["id"], change).await.assert(StatusCode::OK);
    }
    let (now, tasks) =
        read(&site, &rekey::model::id::SourceId(source["id"].as_str().unwrap().into())).await;
    assert_eq!((now.generation, tasks), (1, 0));
}

/// The attacker points the source at a system that lists another person's name as the attacker's,
/// aggregates it, and points the source back: that correlation must not count at the real system.
async fn what_another_system_listed_is_not_believed_after_the_way_back(site: Site) {
    let admin = admin(&site).await;
    site.person("p000", &[]).await;
    let (real, other) = (Directory::start().await, Directory::start().await);
    other.lists(0..1);
    let with = |directory: &Directory| {
        let mut attributes = directory.attributes();
        attributes["correlation"] =
            json!({ "accountAttribute": "name", "identityAttribute": "alias" });
        attributes
    };
    let body = json!({ "features": ["PASSWORD"], "connectorAttributes": with(&other) });
    let source = made(&site, &admin, body).await.body;
    let id = rekey::model::id::SourceId(source["id"].as_str().unwrap().into());
    let path = format!("/v2024/sources/{id}/load-accounts");
    let begun = site.post(&path).token(&admin.1).send().await;
    let task = ended(&site, &admin.1, &begun).await;
    assert_eq!(task["completionStatus"], "SUCCESS", "{task}");
    let account = async || {
        let id = id.clone();
        site.write(move |tx| Ok(tx.accounts_after(&id, "", 10)?)).await
    };
    assert_eq!(account().await.len(), 1);

    // The real system is unreachable when the source points back, so its aggregation can confirm
    // nothing.
    let mut back = with(&real);
    back["port"] = json!(1);
    let back = json!([{ "op": "replace", "path": "/connectorAttributes", "value": back }]);
    let (before, tasks) = read(&site, &id).await;
    patch(&site, &admin.1, &source["id"], back).await.assert(StatusCode::OK);
    let (after, more) = read(&site, &id).await;
    assert_eq!(after.generation, before.generation + 1);
    assert_eq!(more, tasks + 1, "no aggregation was asked for");
    assert!(account().await.iter().all(|account| account.generation < after.generation));
}

async fn attributes_that_hold_secrets_are_shown_to_nobody(site: Site) {
    let admin = admin(&site).await;
    let (owner_id, token) = owner(&site).await;
    let body = json!({ "owner": { "type": "IDENTITY", "id": owner_id } });
    let source = made(&site, &admin, body).await.body;
    let show = |name: &str| json!([{ "op": "add", "path": "/connectorAttributes/attributes", "value": ["cn", name] }]);
    for name in [
        "oathSecret",
        "googleAuthenticatorSecret",
        "userPassword",
        "USERPASSWORD;x-a",
        "2.5.4.35",
        "sambaNTPassword",
        "krbPrincipalKey",
        "ipaNTHash",
        "ipatokenOTPkey",
        "unicodePwd",
        "supplementalCredentials",
        "userPKCS12",
        "*",
        "+",
        "",
    ] {
        patch(&site, &token, &source["id"], show(name)).await.assert(StatusCode::FORBIDDEN);
        let refused = patch(&site, &admin.1, &source["id"], show(name)).await;
        assert_eq!(refused.error().0, "400.1.3 Illegal value", "{name} {}", refused.text);
    }
    patch(&site, &token, &source["id"], show("title")).await.assert(StatusCode::FORBIDDEN);
    patch(&site, &admin.1, &source["id"], show("title")).await.assert(StatusCode::OK);
}

async fn the_scope_is_had_by_name_only(site: Site) {
    let admin = admin(&site).await;
    let source = made(&site, &admin, json!({})).await.body;
    let move_to = |host: &str| {
        json!([
            { "op": "replace", "path": "/connectorAttributes/host", "value": host },
            { "op": "add", "path": "/connectorAttributes/bindPassword", "value": "s3cret" },
        ])
    };
    let grants = || vec![GrantType::ClientCredentials];
    let scopes = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect();
    // The scope for all scopes does not include it, with or without naming it in the request.
    let all = create_api_client(&site.app, "all", grants(), vec![], scopes(&[ALL]), 750, false);
    let all = all.await.unwrap();
    for asked in [ENDPOINT, "idn:sources:manage rekey:sources:endpoint"] {
        let form = format!("{}&scope={}", credentials(&all), asked.replace(' ', "+"));
        let refused = site.post("/oauth/token").text(FORM, form).send().await;
        refused.assert(StatusCode::BAD_REQUEST);
        assert_eq!(refused.body["error"], "invalid_scope", "{}", refused.text);
    }
    let token = site.token_of(&all).await;
    patch(&site, &token, &source["id"], move_to("b.example.com"))
        .await
        .assert(StatusCode::FORBIDDEN);

    // A misspelt scope is refused when the client is created.
    let slip = scopes(&["rekey:source:endpoint"]);
    let slip = create_api_client(&site.app, "slip", grants(), vec![], slip, 750, false).await;
    let slip = slip.err().unwrap().to_string();
    assert!(slip.contains("did you mean rekey:sources:endpoint?"), "{slip}");

    // The operator grants the scope, and its withdrawal takes effect at once.
    let grant = |scope: &[&str]| json!({ "clients": [{ "name": "all", "scope": scope }] });
    applied(&site, &grant(&[ALL, ENDPOINT])).await.unwrap();
    let token = site.token_of(&all).await;
    patch(&site, &token, &source["id"], move_to("c.example.com")).await.assert(StatusCode::OK);
    applied(&site, &grant(&[ALL])).await.unwrap();
    let ended = patch(&site, &token, &source["id"], move_to("d.example.com")).await;
    ended.assert(StatusCode::UNAUTHORIZED);
    let token = site.token_of(&all).await;
    patch(&site, &token, &source["id"], move_to("d.example.com"))
        .await
        .assert(StatusCode::FORBIDDEN);
}
