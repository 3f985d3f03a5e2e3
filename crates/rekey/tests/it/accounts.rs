//! Accounts: aggregated in batches, correlated, listed, and removed with their entry at the source.

use hyper::StatusCode;
use rekey::{
    account::correlation::Correlator,
    model::id::SourceId,
    source::{
        NewSource,
        aggregation::{Counted, remove_unseen, settle},
        seen::Seen,
    },
};
use rekey_connectors::Listed;
use serde_json::{Map, json};

use crate::{
    quiet::keep_all,
    site::{Site, on_both_stores},
    sources::admin,
};

on_both_stores!(
    accounts_find_their_people_without_regard_to_case,
    accounts_that_are_gone_go,
    accounts_are_listed_by_filter,
    policies_groups_and_the_dictionary_are_shown,
);

fn listed(native: &str, uid: &str) -> Listed {
    let mut attributes = Map::new();
    attributes.insert("uid".into(), json!([uid]));
    Listed {
        native_identity: native.into(),
        stable_id: None,
        name: uid.into(),
        attributes,
        disabled: false,
        locked: false,
    }
}

/// An LDAP source whose `uid` is correlated with `attribute`.
async fn source(site: &Site, attribute: &str) -> (String, SourceId) {
    let (admin, token) = admin(site).await;
    let attributes = json!({
        "host": "ldap.example.com", "bindDn": "cn=rekey", "bindPassword": "s3cret",
        "baseDn": "dc=example,dc=com",
        "correlation": { "accountAttribute": "uid", "identityAttribute": attribute },
    });
    let new = NewSource {
        name: "Directory".into(),
        description: None,
        connector: "ldap".into(),
        owner_id: admin.id,
        features: vec!["PASSWORD".into()],
        connector_attributes: attributes.as_object().unwrap().clone(),
        extra: Map::new(),
        policy_id: None,
        deadline: None,
    };
    (token, rekey::source::create(&site.app, new, "test").await.unwrap().id)
}

async fn kept(site: &Site, id: &SourceId, batch: Vec<Listed>) -> Counted {
    let id = id.clone();
    site.write(move |tx| {
        let source = tx.source(&id)?.unwrap();
        let correlator = Correlator::new(tx, &source)?;
        let counted = keep_all(tx, &source, &correlator, &batch)?;
        let mut seen = Seen::default();
        for listed in &batch {
            seen.add(&listed.native_identity);
        }
        settle(tx, &source, &correlator, &seen, "", 100)?;
        Ok(counted)
    })
    .await
}

async fn accounts_find_their_people_without_regard_to_case(site: Site) {
    let (_, id) = source(&site, "name").await;
    let abby = site.person("abby", &[]).await;
    let counted = kept(&site, &id, vec![listed("cn=1", "aBBy"), listed("cn=2", "nobody")]).await;
    assert_eq!((counted.created, counted.updated), (2, 0));
    let counted = kept(&site, &id, vec![listed("cn=1", "abby"), listed("cn=2", "nobody")]).await;
    assert_eq!((counted.created, counted.updated), (0, 1));
    let counted = kept(&site, &id, vec![listed("cn=1", "abby"), listed("cn=2", "nobody")]).await;
    assert_eq!((counted.created, counted.updated), (0, 0));
    let (first, second) = site
        .write(move |tx| {
            Ok((tx.account_on(&id, "cn=1")?.unwrap(), tx.account_on(&id, "cn=2")?.unwrap()))
        })
        .await;
    assert_eq!(first.identity_id, Some(abby.id));
    assert_eq!(second.identity_id, None);
}

async fn accounts_that_are_gone_go(site: Site) {
    let (_, id) = source(&site, "alias").await;
    let batch: Vec<_> = (0..25).map(|n| listed(&format!("cn={n:02}"), &format!("p{n}"))).collect();
    kept(&site, &id, batch).await;
    let mut seen = Seen::default();
    for n in (0..25).filter(|n| n % 5 != 0) {
        assert!(seen.add(&format!("cn={n:02}")));
    }
    assert!(!seen.add("cn=01"));
    let mut after = String::new();
    let mut removed = 0;
    loop {
        let (id, seen, from) = (id.clone(), seen.clone(), after.clone());
        let (gone, next) = site.write(move |tx| remove_unseen(tx, &id, &seen, &from, 10)).await;
        removed += gone;
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(removed, 5);
    let left = site.write(move |tx| Ok(tx.accounts_after(&id, "", 100)?.len())).await;
    assert_eq!(left, 20);
}

async fn accounts_are_listed_by_filter(site: Site) {
    let (token, id) = source(&site, "alias").await;
    let abby = site.person("abby", &[]).await;
    kept(&site, &id, vec![listed("cn=1", "abby"), listed("CN=50%", "nobody")]).await;
    let natives = async |query: String| {
        let answer = site.get(&format!("/v3/accounts?{query}")).token(&token).send().await;
        answer.assert(StatusCode::OK);
        let rows = answer.body.as_array().unwrap().clone();
        rows.iter()
            .map(|row| row["nativeIdentity"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let source = format!("sourceId eq \"{id}\"");
    for (filter, expected) in [
        (source.clone(), vec!["CN=50%", "cn=1"]),
        (format!("identityId eq \"{}\"", abby.id), vec!["cn=1"]),
        (format!("{source} and uncorrelated eq true"), vec!["CN=50%"]),
        (format!("{source} and identity.correlated eq true"), vec!["cn=1"]),
        ("identity.name sw \"ABB\"".into(), vec!["cn=1"]),
        ("source.displayableName in (\"directory\")".into(), vec!["CN=50%", "cn=1"]),
        ("nativeIdentity sw \"cn=50%\"".into(), vec!["CN=50%"]),
        ("nativeIdentity sw \"cn=5_\"".into(), vec![]),
        (
            format!("{source} and hasEntitlements eq false and origin eq \"AGGREGATED\""),
            vec!["CN=50%", "cn=1"],
        ),
    ] {
        let encoded = filter.replace('%', "%25").replace('"', "%22").replace(' ', "+");
        let mut found = natives(format!("filters={encoded}&sorters=id")).await;
        found.sort();
        assert_eq!(found, expected, "{filter}");
    }
    let path = format!("/v2025/accounts?filters=identityId+eq+%22{}%22", abby.id);
    let account = site.get(&path).token(&token).send().await.body[0].clone();
    assert_eq!(account["features"], "PASSWORD");
    assert_eq!(account["sourceName"], "Directory");
    assert_eq!(account["identity"]["name"], "ABBY");
    let path = format!("/v2025/accounts/{}", account["id"].as_str().unwrap());
    assert_eq!(site.get(&path).token(&token).send().await.body, account);
    let unknown = site.get("/v2025/accounts/nope").token(&token).send().await;
    unknown.assert(StatusCode::NOT_FOUND);
}

async fn policies_groups_and_the_dictionary_are_shown(site: Site) {
    let (_, token) = admin(&site).await;
    let empty = site
        .get("/v3/password-dictionary")
        .token(&token)
        .header("accept", "application/json")
        .send()
        .await;
    empty.assert(StatusCode::OK);
    assert_eq!(empty.text, "");
    let file = r#"
policies: [{name: Strong, minLength: 12, defaultPolicy: true}]
dictionary: "word\n"
sources: [{name: B, connector: rekey, owner: admin, policy: Strong}]
"#;
    let here = std::path::Path::new(".");
    let plan = rekey::ops::apply::plan(&site.app, file, here, false).await.unwrap();
    rekey::ops::apply::run(&site.app, plan).await.unwrap();
    let file = "sources: [{name: B, features: [PASSWORD]}]\nsyncGroups: [{name: G, policy: Strong, sources: [B, IdentityNow]}]";
    let plan = rekey::ops::apply::plan(&site.app, file, here, false).await.unwrap();
    rekey::ops::apply::run(&site.app, plan).await.unwrap();

    let old = site.get("/v3/password-policies").token(&token).send().await.body;
    assert!(old[0]["dateCreated"].is_string());
    assert_eq!(old[0]["minLength"], 12);
    assert_eq!(old[0]["sourceIds"].as_array().unwrap().len(), 1);
    let path = format!("/password-policies/v1/{}", old[0]["id"].as_str().unwrap());
    let new = site.get(&path).token(&token).send().await.body;
    assert!(new["dateCreated"].is_i64());
    let groups = site.get("/v3/password-sync-groups?count=true").token(&token).send().await;
    assert_eq!(groups.headers["x-total-count"], "1");
    let group = &groups.body[0];
    assert_eq!(group["passwordPolicyId"], new["id"]);
    let path = format!("/v3/password-sync-groups/{}", group["id"].as_str().unwrap());
    assert_eq!(&site.get(&path).token(&token).send().await.body, group);
    let dictionary = site.get("/v3/password-dictionary").token(&token).send().await;
    assert_eq!(dictionary.text, "word\n");
    assert_eq!(dictionary.headers["content-type"], "text/plain; charset=utf-8");
}
