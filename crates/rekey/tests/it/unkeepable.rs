//! Accounts that the store cannot hold are skipped, and all others are aggregated.

use serde_json::{Value, json};

use crate::{
    directory::Directory,
    site::{Site, on_both_stores},
    sources::{admin, ended, made, patch},
};

on_both_stores!(
    what_no_store_can_hold_is_left_out,
    an_account_stays_when_it_cannot_be_kept,
    an_attribute_may_hold_anything,
);

/// Aggregates a source; returns the completion status and the first message of the task.
async fn aggregated(site: &Site, token: &str, source: &Value) -> (String, String) {
    let path = format!("/v2024/sources/{}/load-accounts", source["id"].as_str().unwrap());
    let begun = site.post(&path).token(token).send().await;
    let task = ended(site, token, &begun).await;
    let status = task["completionStatus"].as_str().unwrap().to_owned();
    let said = task.pointer("/messages/0/localizedText/message").and_then(Value::as_str);
    (status, said.unwrap_or_default().to_owned())
}

async fn names(site: &Site, token: &str, source: &Value) -> Vec<String> {
    let id = source["id"].as_str().unwrap();
    let path = format!("/v3/accounts?filters=sourceId+eq+%22{id}%22&sorters=name");
    let accounts = site.get(&path).token(token).send().await.body;
    let name = |account: &Value| account["name"].as_str().unwrap().to_owned();
    accounts.as_array().unwrap().iter().map(name).collect()
}

/// A source on the directory whose accounts are named by their description.
async fn source(site: &Site, directory: &Directory) -> (String, Value) {
    let admin = admin(site).await;
    let mut attributes = directory.attributes();
    attributes["nameAttribute"] = json!("description");
    attributes["correlation"] =
        json!({ "accountAttribute": "description", "identityAttribute": "alias" });
    let source = made(site, &admin, json!({ "connectorAttributes": attributes })).await.body;
    (admin.1, source)
}

async fn what_no_store_can_hold_is_left_out(site: Site) {
    let directory = Directory::start().await;
    let (token, source) = source(&site, &directory).await;
    let long = "y".repeat(2_001);
    for (uid, name, shown, why) in [
        (
            "b\0b",
            "bob",
            "\"uid=b\\0b,dc=example,dc=com\"",
            "its full name holds the character U+0000",
        ),
        (long.as_str(), "bob", "\"uid=yyyy", "its full name is longer than 2000 bytes"),
        ("bob", "b\0b", "\"uid=bob,dc=example,dc=com\"", "its name holds the character U+0000"),
        ("bob", long.as_str(), "\"uid=bob,", "its name is longer than 2000 bytes"),
    ] {
        directory.lists_these(&[("ann", "ann"), (uid, name), ("zoe", "zoe")]);
        let (status, said) = aggregated(&site, &token, &source).await;
        assert_eq!(status, "WARNING", "{said}");
        assert!(said.contains(shown) && said.contains(why), "{said}");
        assert!(said.len() < 400 && !said.contains(char::is_control), "{said}");
        assert_eq!(names(&site, &token, &source).await, ["ann", "zoe"]);
    }
    let many: Vec<_> = (0..60).map(|n| (format!("m\0{n}"), "m")).collect();
    let many: Vec<_> = many.iter().map(|(uid, name)| (uid.as_str(), *name)).collect();
    directory.lists_these(&[&[("ann", "ann"), ("zoe", "zoe")], &many[..]].concat());
    let (status, said) = aggregated(&site, &token, &source).await;
    assert_eq!(status, "WARNING", "{said}");
    assert!(said.contains("; and 40 more;"), "{said}");
    directory.lists_these(&[("ann", "ann"), ("zoe", "zoe")]);
    assert_eq!(aggregated(&site, &token, &source).await, ("SUCCESS".into(), String::new()));
}

async fn an_account_stays_when_it_cannot_be_kept(site: Site) {
    let directory = Directory::start().await;
    let (token, source) = source(&site, &directory).await;
    let ann = site.person("ann", &[]).await;
    directory.lists_these(&[("ann", "ann"), ("bob", "bob")]);
    assert_eq!(aggregated(&site, &token, &source).await.0, "SUCCESS");
    let owner = async || {
        let id = rekey::model::id::SourceId(source["id"].as_str().unwrap().into());
        let accounts = site.write(move |tx| Ok(tx.accounts_after(&id, "", 10)?)).await;
        let account = accounts.iter().find(|account| account.name == "ann").unwrap();
        (account.identity_id.clone(), account.generation)
    };
    let before = owner().await;
    assert_eq!(before.0, Some(ann.id));
    directory.lists_these(&[("ann", "an\0n"), ("bob", "bob")]);
    assert_eq!(aggregated(&site, &token, &source).await.0, "WARNING");
    assert_eq!((owner().await, names(&site, &token, &source).await.len()), (before.clone(), 2));

    // Such an account is not confirmed at another system either.
    let other = Directory::start().await;
    other.lists_these(&[("ann", "an\0n"), ("bob", "bob")]);
    let port = &other.attributes()["port"];
    let moved = json!([
        { "op": "replace", "path": "/connectorAttributes/port", "value": port },
        { "op": "add", "path": "/connectorAttributes/bindPassword", "value": "s3cret" },
    ]);
    patch(&site, &token, &source["id"], moved).await.assert(hyper::StatusCode::OK);
    assert_eq!(aggregated(&site, &token, &source).await.0, "WARNING");
    assert_eq!(owner().await, before);
}

async fn an_attribute_may_hold_anything(site: Site) {
    let directory = Directory::start().await;
    let admin = admin(&site).await;
    let mut attributes = directory.attributes();
    attributes["correlation"] =
        json!({ "accountAttribute": "description", "identityAttribute": "alias" });
    let source = made(&site, &admin, json!({ "connectorAttributes": attributes })).await.body;
    let long = "y".repeat(20_000);
    directory.lists_these(&[("ann", "a\0nn"), ("bob", &long)]);
    assert_eq!(aggregated(&site, &admin.1, &source).await, ("SUCCESS".into(), String::new()));
    assert_eq!(names(&site, &admin.1, &source).await, ["ann", "bob"]);
}
