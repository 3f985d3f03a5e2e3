//! The restrictions on sources and their owners, and the limits on requests about them.

use hyper::StatusCode;
use rekey::{
    identity::NewIdentity,
    model::{identity::Identity, level::Level},
};
use serde_json::{Value, json};

use crate::{
    site::{Site, on_both_stores},
    sources::{admin, ended, made, names, patch},
};

on_both_stores!(
    a_patch_cannot_grow_without_end,
    an_id_that_cannot_be_read_names_nothing,
    a_feature_is_one_however_it_is_spelled,
    a_sub_administrator_sees_what_is_about_their_sources,
    names_are_one_line,
    a_source_of_rekeys_own_takes_no_attributes,
    many_values_are_asked_at_once,
    kept_members_are_what_they_must_be,
    every_documented_filter_and_sorter_is_taken,
    letters_are_compared_without_regard_to_case,
);

async fn a_patch_cannot_grow_without_end(site: Site) {
    let admin = admin(&site).await;
    let source = made(&site, &admin, json!({})).await.body;
    let copies: Vec<_> = (0..25)
        .map(|n| {
            let path = format!("/connectorAttributes/c{n}");
            json!({ "op": "copy", "from": "/connectorAttributes", "path": path })
        })
        .collect();
    let refused = patch(&site, &admin.1, &source["id"], json!(copies)).await;
    assert_eq!(refused.error().0, "400.1.4 Limit violation", "{}", refused.text);
    // The document is small, but nested too deeply to be parsed again.
    let deeper = |n: usize| {
        let path = format!("/connectorAttributes{}", "/a".repeat(n));
        json!({ "op": "add", "path": path, "value": {} })
    };
    let deep: Vec<_> = (1..150).map(deeper).collect();
    let refused = patch(&site, &admin.1, &source["id"], json!(deep)).await;
    assert_eq!(refused.error().0, "400.1.4 Limit violation", "{}", refused.text);
    let path = format!("/v3/sources/{}", source["id"].as_str().unwrap());
    assert_eq!(site.get(&path).token(&admin.1).send().await.body, source);
}

async fn an_id_that_cannot_be_read_names_nothing(site: Site) {
    let admin = admin(&site).await;
    for path in [
        "accounts",
        "identities",
        "sources",
        "task-status",
        "password-policies",
        "password-sync-groups",
    ] {
        let answer = site.get(&format!("/v3/{path}/%ff")).token(&admin.1).send().await;
        answer.assert(StatusCode::NOT_FOUND);
        assert_eq!(answer.error().0, "404 Not found", "{path}");
    }
}

async fn a_feature_is_one_however_it_is_spelled(site: Site) {
    let admin = admin(&site).await;
    let body = json!({
        "connector": "rekey", "connectorAttributes": {}, "features": ["Password", "ENABLE"],
    });
    let source = made(&site, &admin, body).await.body;
    let add = json!([{ "op": "add", "path": "/features/-", "value": "PASSWORD" }]);
    let patched = patch(&site, &admin.1, &source["id"], add).await;
    assert_eq!(patched.body["features"], json!(["Password", "ENABLE"]));
    let ask = site.post("/v3/query-password-info").token(&admin.1);
    let ask = ask.json(json!({ "userName": "admin", "sourceName": "My Directory" }));
    let info = ask.send().await;
    info.assert(StatusCode::OK);
    assert!(info.body["publicKey"].is_string(), "{}", info.text);
}

async fn a_sub_administrator_sees_what_is_about_their_sources(site: Site) {
    let admin = admin(&site).await;
    let (sub, token) = sub_administrator(&site).await;
    let mut ids = Vec::new();
    for (name, owner) in [("Mine", &sub), ("Theirs", &admin.0)] {
        let body = json!({
            "name": name, "connector": "rekey", "connectorAttributes": {},
            "owner": { "type": "IDENTITY", "id": owner.id },
        });
        let source = made(&site, &admin, body).await.body;
        let id = source["id"].as_str().unwrap().to_owned();
        let path = format!("/v3/sources/{id}/load-accounts");
        let begun = site.post(&path).token(&admin.1).send().await;
        let task = ended(&site, &admin.1, &begun).await["id"].as_str().unwrap().to_owned();
        let filter = format!("/v3/accounts?filters=sourceId+eq+%22{id}%22");
        let found = site.get(&filter).token(&admin.1).send().await;
        let account = found.body[0]["id"].as_str().unwrap().to_owned();
        ids.push((id, task, account));
    }
    for (path, of) in [("/v3/accounts", "sourceId"), ("/v2024/task-status", "attributes")] {
        let listed = site.get(&format!("{path}?count=true")).token(&token).send().await;
        listed.assert(StatusCode::OK);
        let rows = listed.body.as_array().unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            let of = if of == "attributes" { &row[of]["appId"] } else { &row[of] };
            assert_eq!(of, &json!(ids[0].0), "{path}");
        }
    }
    for (at, expected) in [(0, StatusCode::OK), (1, StatusCode::NOT_FOUND)] {
        let (_, task, account) = &ids[at];
        for path in [
            format!("/v3/accounts/{account}"),
            format!("/v2024/task-status/{task}"),
            format!("/v2024/account-aggregations/{task}/status"),
        ] {
            site.get(&path).token(&token).send().await.assert(expected);
        }
    }
    let people = site.get("/v2024/identities").token(&token).send().await;
    assert_eq!(people.body.as_array().unwrap().len(), 1);
    assert_eq!(people.body[0]["alias"], "sub");
}

async fn names_are_one_line(site: Site) {
    let admin = admin(&site).await;
    let source = made(&site, &admin, json!({})).await.body;
    for mark in [
        '\n', '\u{7}', '\u{85}', '\u{200B}', '\u{200D}', '\u{2028}', '\u{202E}', '\u{2069}',
        '\u{FEFF}',
    ] {
        let name = format!("My{mark}Source");
        let refused = made(&site, &admin, json!({ "name": name })).await;
        assert_eq!(refused.error().0, "400.1.3 Illegal value", "{mark:?}");
        let rename = json!([{ "op": "replace", "path": "/name", "value": name }]);
        let refused = patch(&site, &admin.1, &source["id"], rename).await;
        assert_eq!(refused.error().0, "400.1.3 Illegal value", "{mark:?}");
        for (alias, name) in [(name.as_str(), "Abby"), ("abby", name.as_str())] {
            let (alias, name) = (alias.to_owned(), name.to_owned());
            let new = NewIdentity { alias, name, ..NewIdentity::default() };
            rekey::identity::create(&site.app, new, "test").await.unwrap_err();
        }
    }
    // Zero-width joiners that a script needs are allowed.
    made(&site, &admin, json!({ "name": "\u{645}\u{6cc}\u{200c}\u{62e}" }))
        .await
        .assert(StatusCode::CREATED);
}

async fn a_source_of_rekeys_own_takes_no_attributes(site: Site) {
    let admin = admin(&site).await;
    let with = |attributes: Value| json!({ "name": "B", "connector": "rekey", "connectorAttributes": attributes });
    let refused = made(&site, &admin, with(json!({ "host": "ldap.example.com" }))).await;
    assert_eq!(refused.error().0, "400.1.3 Illegal value");
    assert!(refused.error().1.contains("connectorAttributes.host"), "{}", refused.text);
    made(&site, &admin, with(json!({}))).await.assert(StatusCode::CREATED);
}

async fn many_values_are_asked_at_once(site: Site) {
    let admin = admin(&site).await;
    made(&site, &admin, json!({})).await.assert(StatusCode::CREATED);
    let ask = |count: usize| {
        let values = "%22n%22,".repeat(count - 1);
        format!("filters=name+in+({values}%22my+directory%22)")
    };
    assert_eq!(names(&site, &admin.1, &ask(500)).await, ["My Directory"]);
    let tests =
        |count: usize| format!("filters={}healthy+isnull", "healthy+isnull+or+".repeat(count - 1));
    let long = format!("filters=name+eq+%22{}%22", "x".repeat(513));
    let sorters = format!("sorters={}name", "name,".repeat(8));
    for (query, says) in [
        (tests(20), ""),
        (tests(21), "at most 20"),
        (ask(501), "at most 500 values"),
        (long, "longer than 512 characters"),
        (sorters, "at most 8 fields"),
    ] {
        let answer = site.get(&format!("/v3/sources?{query}")).token(&admin.1).send().await;
        if says.is_empty() {
            answer.assert(StatusCode::OK);
        } else {
            assert_eq!(answer.error().0, "400.1.3 Illegal value", "{query}: {}", answer.text);
            assert!(answer.error().1.contains(says), "{query}: {}", answer.text);
        }
    }
}

/// A sub-administrator and their token.
async fn sub_administrator(site: &Site) -> (Identity, String) {
    let sub = site.person("sub", &[Level::SourceSubadmin]).await;
    let token = site.token_of(&site.personal_access_token(&sub).await).await;
    (sub, token)
}

async fn kept_members_are_what_they_must_be(site: Site) {
    let admin = admin(&site).await;
    let source = made(&site, &admin, json!({})).await.body;
    let reference = json!({ "type": "RULE", "id": "1", "name": "R" });
    let mapping = json!({ "accountAttributeName": "a", "identityAttributeName": "b" });
    for (member, good, bad) in [
        ("accountCorrelationConfig", &reference, json!("x")),
        ("accountCorrelationRule", &reference, json!([])),
        ("beforeProvisioningRule", &reference, json!({ "id": "1" })),
        ("category", &json!("C"), json!(1)),
        ("cluster", &reference, json!({ "type": "CLUSTER", "id": "1" })),
        ("credentialProviderEnabled", &json!(true), json!("true")),
        ("deleteThreshold", &json!(20), json!(101)),
        ("deleteThreshold", &json!(0), json!(1.5)),
        ("managementWorkgroup", &reference, json!({ "type": "G", "id": "1", "name": 2 })),
        ("managerCorrelationMapping", &mapping, json!({})),
        ("managerCorrelationRule", &reference, json!(true)),
    ] {
        let to =
            |value: &Value| json!([{ "op": "add", "path": format!("/{member}"), "value": value }]);
        let refused = patch(&site, &admin.1, &source["id"], to(&bad)).await;
        assert_eq!(refused.error().0, "400.1.3 Illegal value", "{member} {}", refused.text);
        assert!(refused.error().1.contains(member), "{}", refused.text);
        let refused = made(&site, &admin, json!({ "name": "B", member: bad })).await;
        assert_eq!(refused.error().0, "400.1.3 Illegal value", "{member} {}", refused.text);
        for value in [good, &Value::Null] {
            patch(&site, &admin.1, &source["id"], to(value)).await.assert(StatusCode::OK);
        }
    }
    for member in ["authoritative", "connectorClass"] {
        let refused = made(&site, &admin, json!({ "name": "B", member: {} })).await;
        assert_eq!(refused.error().0, "400.1.3 Illegal value", "{member} {}", refused.text);
    }
}

async fn every_documented_filter_and_sorter_is_taken(site: Site) {
    let admin = admin(&site).await;
    made(&site, &admin, json!({})).await.assert(StatusCode::CREATED);
    let count = async |collection: &str, query: String| {
        let query = query.replace('"', "%22").replace(' ', "+");
        let answer = site.get(&format!("/v3/{collection}?{query}")).token(&admin.1).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{query} {}", answer.text);
        answer.body.as_array().unwrap().len()
    };
    for (collection, filter, found) in [
        ("sources", "category eq \"x\"", 0),
        ("sources", "category ne \"x\"", 1),
        ("sources", "managementWorkgroup.id isnull", 1),
        ("sources", "managementWorkgroup.id in (\"x\", \"y\")", 0),
        ("sources", "created sw \"1999-12\"", 0),
        ("sources", "modified sw \"1999-12-31T00:00:00\" or modified sw \"1999\"", 0),
        ("accounts", "entitlements eq \"x\"", 0),
        ("accounts", "identity.identityState eq \"active\"", 1),
        ("accounts", "identity.identityState in (\"INACTIVE_SHORT_TERM\")", 0),
        ("accounts", "recommendation.method isnull", 1),
    ] {
        assert_eq!(count(collection, format!("filters={filter}")).await, found, "{filter}");
    }
    let year = &site.app.clock.now().rfc3339()[..4];
    assert_eq!(count("sources", format!("filters=created sw \"{year}\"")).await, 1);
    for (collection, sorters) in [
        (
            "sources",
            "accountCorrelationConfig.id,accountCorrelationConfig.name,managerCorrelationRule.type,-managerCorrelationRule.id,managerCorrelationRule.name,managementWorkgroup.id",
        ),
        ("accounts", "uuid,entitlements,-identity.identityState"),
    ] {
        assert_eq!(count(collection, format!("sorters={sorters}")).await, 1);
    }
}

async fn letters_are_compared_without_regard_to_case(site: Site) {
    let admin = admin(&site).await;
    made(&site, &admin, json!({ "name": "Ärzte Ost" })).await.assert(StatusCode::CREATED);
    for filter in ["eq+%22%C3%A4rzte+ost%22", "co+%22%C3%84RZ%22", "in+(%22%C3%84RZTE+OST%22)"] {
        assert_eq!(names(&site, &admin.1, &format!("filters=name+{filter}")).await, ["Ärzte Ost"]);
    }
}
