//! `rekey apply`: one run establishes the state that a file describes.

use std::path::Path;

use hyper::StatusCode;
use rekey::{
    Error,
    identity::{self, NewIdentity},
    model::{level::Level, source::Source},
    ops::apply,
    policy, source,
    store::Tx,
};

use crate::site::{Site, on_both_stores};

on_both_stores!(
    a_file_is_made_true_and_then_stays_so,
    a_new_endpoint_costs_the_stored_secret,
    a_person_keeps_the_password_they_have,
    what_is_not_named_goes_only_when_told,
    who_is_disabled_gets_nowhere,
    a_client_is_known_by_its_name_however_it_is_written,
    a_rehearsal_says_no_where_the_run_does_and_leaves_nothing,
);

const FILE: &str = r#"
identities:
  - {alias: abby.smith, name: Abby Smith, email: abby@example.com, capabilities: [HELPDESK],
     attributes: {uid: abby, department: Sales}, password: First-1-password}
policies:
  - {name: Strong, defaultPolicy: true, minLength: 12, minNumeric: 1}
dictionary: "word\nanother\n"
sources:
  - name: Directory
    connector: ldap
    owner: abby.smith
    features: [PASSWORD]
    policy: Strong
    deadline: 10m
    connectorAttributes: {host: ldap.example.com, port: 636, tls: ldaps, bindDn: "cn=rekey,dc=example,dc=com",
      bindPassword: {file: bind.secret}, baseDn: "dc=example,dc=com",
      correlation: {accountAttribute: uid, identityAttribute: alias}}
syncGroups:
  - {name: Desk, policy: Strong, sources: [Directory, IdentityNow]}
clients:
  - {name: portal, grantTypes: [CLIENT_CREDENTIALS, AUTHORIZATION_CODE], redirectUris: ["https://portal.example.com/cb"]}
"#;

/// The state after `init`: an administrator, the built-in source, and a policy.
async fn initialised(site: &Site) -> tempfile::TempDir {
    let admin = NewIdentity {
        alias: "admin".into(),
        capabilities: vec![Level::OrgAdmin],
        ..NewIdentity::default()
    };
    identity::create(&site.app, admin, "test").await.unwrap();
    source::ensure_identity_now(&site.app).await.unwrap();
    policy::ensure_default(&site.app).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bind.secret"), "s3cret\n").unwrap();
    folder
}

async fn lines(site: &Site, text: &str, folder: &Path, prune: bool) -> Vec<String> {
    apply::plan(&site.app, text, folder, prune).await.unwrap().lines()
}

async fn applied(site: &Site, text: &str, folder: &Path, prune: bool) {
    let plan = apply::plan(&site.app, text, folder, prune).await.unwrap();
    apply::run(&site.app, plan).await.unwrap();
}

async fn refused(site: &Site, text: &str) -> String {
    let refused = apply::plan(&site.app, text, Path::new("."), false).await;
    refused.err().expect("a slip is refused").to_string()
}

async fn a_file_is_made_true_and_then_stays_so(site: Site) {
    let folder = initialised(&site).await;
    let expected = [
        "+ policy Strong",
        "+ identity abby.smith",
        "+ dictionary",
        "+ source Directory",
        "+ syncGroup Desk",
        "+ client portal",
    ];
    assert_eq!(lines(&site, FILE, folder.path(), false).await, expected);
    let plan = apply::plan(&site.app, FILE, folder.path(), false).await.unwrap();
    let clients = apply::run(&site.app, plan).await.unwrap();
    assert_eq!((clients[0].0.as_str(), clients[0].1.secret.len()), ("portal", 64));
    assert_eq!(lines(&site, FILE, folder.path(), false).await, Vec::<String>::new());

    let changed = FILE.replace("s3cret", "other").replace("Abby Smith", "Abby Jones");
    let changed = changed.replace("minNumeric: 1", "minNumeric: 2").replace("10m", "20m");
    let expected =
        ["~ policy Strong: members", "~ identity abby.smith: name", "~ source Directory: deadline"];
    assert_eq!(lines(&site, &changed, folder.path(), false).await, expected);
    applied(&site, &changed, folder.path(), false).await;
    assert_eq!(lines(&site, &changed, folder.path(), false).await, Vec::<String>::new());

    let (directory, stored, default) = site
        .app
        .store
        .read(|tx| -> Result<_, Error> {
            let directory = tx.source_named("directory")?.unwrap();
            let keys = tx.source_keys()?;
            let keys = keys.iter().filter(|key| key.source_id == directory.id).count();
            assert_eq!(keys, 2);
            let stored = directory.connector_attributes.0.clone();
            Ok((directory, stored, tx.default_policy()?.unwrap()))
        })
        .await
        .unwrap();
    assert_eq!(default.name, "Strong");
    assert_eq!(directory.version, 1);
    assert!(stored["bindPassword"].as_str().unwrap().starts_with("rekey:sealed:"));
}

async fn a_new_endpoint_costs_the_stored_secret(site: Site) {
    let folder = initialised(&site).await;
    applied(&site, FILE, folder.path(), false).await;
    let read = || async {
        site.app
            .store
            .read(|tx| -> Result<_, Error> {
                let source = tx.source_named("Directory")?.unwrap();
                let padding = rekey::model::source_key::KeyPadding(rekey_vault::Padding::Pkcs1v15);
                let key = tx.active_source_key(&source.id, padding)?.unwrap();
                Ok((source, key.id))
            })
            .await
            .unwrap()
    };
    let (before, key) = read().await;
    let move_to = |host: &'static str| {
        move |old: &Source| {
            let mut new = old.clone();
            new.connector_attributes.0.insert("host".into(), host.into());
            Ok(new)
        }
    };
    let moved = source::update(
        &site.app,
        &before.id,
        &crate::quiet::api_client(),
        move_to("evil.example.com"),
    )
    .await
    .unwrap();
    assert_eq!(moved.connector_attributes.0.get("bindPassword"), None);
    let (after, new_key) = read().await;
    assert_ne!(key, new_key);
    assert_eq!(after.version, before.version + 1);

    // The secret is in the file again, so it stays stored.
    applied(&site, FILE, folder.path(), false).await;
    let (back, newest) = read().await;
    assert!(back.connector_attributes.0.contains_key("bindPassword"));
    assert_ne!(newest, new_key);
    assert_eq!(lines(&site, FILE, folder.path(), false).await, Vec::<String>::new());
}

async fn a_person_keeps_the_password_they_have(site: Site) {
    let folder = initialised(&site).await;
    applied(&site, FILE, folder.path(), false).await;
    let verifier = || async {
        site.app
            .store
            .read(|tx| -> Result<_, Error> {
                let source = tx.source_named("IdentityNow")?.unwrap();
                assert_eq!(tx.source(&source.id)?.unwrap().name, "IdentityNow");
                Ok(tx.builtin_password(&source.id, "abby.smith")?.unwrap())
            })
            .await
            .unwrap()
    };
    let first = verifier().await;
    let other = FILE.replace("First-1-password", "Other-2-password");
    assert_eq!(lines(&site, &other, folder.path(), false).await, Vec::<String>::new());
    applied(&site, &other, folder.path(), false).await;
    assert_eq!(verifier().await, first);
}

async fn what_is_not_named_goes_only_when_told(site: Site) {
    let folder = initialised(&site).await;
    applied(&site, FILE, folder.path(), false).await;
    let empty = "identities: []\npolicies: []\nsources: []\nsyncGroups: []\nclients: []\n";
    assert_eq!(lines(&site, empty, folder.path(), false).await, Vec::<String>::new());
    let expected = [
        "- client portal",
        "- syncGroup Desk",
        "- source Directory",
        "- identity abby.smith",
        "- policy Default",
    ];
    assert_eq!(lines(&site, empty, folder.path(), true).await, expected);
    applied(&site, empty, folder.path(), true).await;
    assert_eq!(lines(&site, empty, folder.path(), true).await, Vec::<String>::new());
}

async fn who_is_disabled_gets_nowhere(site: Site) {
    const PROBE: &str = "/v3/password-change-status/none";
    let folder = initialised(&site).await;
    let file =
        "identities: [{alias: abby}]\nclients: [{name: portal, grantTypes: [CLIENT_CREDENTIALS]}]";
    let plan = apply::plan(&site.app, file, folder.path(), false).await.unwrap();
    let (_, portal) = apply::run(&site.app, plan).await.unwrap().remove(0);
    let abby = site.app.store.read(|tx| tx.identity_with_alias("abby")).await.unwrap().unwrap();
    let pat = site.personal_access_token(&abby).await;
    let tokens = [site.token_of(&portal).await, site.token_of(&pat).await];
    let answers = async |expected: StatusCode| {
        for token in &tokens {
            site.get(PROBE).token(token).send().await.assert(expected);
        }
    };
    answers(StatusCode::NOT_FOUND).await;

    let disabled = file.replace('}', ", enabled: false}");
    let expected = ["~ identity abby: enabled", "~ client portal: enabled"];
    assert_eq!(lines(&site, &disabled, folder.path(), false).await, expected);
    applied(&site, &disabled, folder.path(), false).await;
    assert_eq!(lines(&site, &disabled, folder.path(), false).await, Vec::<String>::new());
    assert_eq!(lines(&site, file, folder.path(), false).await, Vec::<String>::new(), "absent");
    answers(StatusCode::UNAUTHORIZED).await;

    let enabled = file.replace('}', ", enabled: true}");
    assert_eq!(lines(&site, &enabled, folder.path(), false).await, expected);
    applied(&site, &enabled, folder.path(), false).await;
    answers(StatusCode::UNAUTHORIZED).await;
    let anew = site.token_of(&portal).await;
    site.get(PROBE).token(&anew).send().await.assert(StatusCode::NOT_FOUND);
}

async fn a_client_is_known_by_its_name_however_it_is_written(site: Site) {
    let folder = initialised(&site).await;
    let file = "clients: [{name: Portal, grantTypes: [CLIENT_CREDENTIALS]}]";
    let first = apply::plan(&site.app, file, folder.path(), false).await.unwrap();
    let late = apply::plan(&site.app, file, folder.path(), false).await.unwrap();
    assert_eq!(apply::run(&site.app, first).await.unwrap().len(), 1);
    assert_eq!(apply::run(&site.app, late).await.unwrap().len(), 0, "it was there already");
    let again = file.replace("Portal", "\" pORTAL \"");
    assert_eq!(lines(&site, &again, folder.path(), true).await, Vec::<String>::new());

    let grants = vec![rekey::model::client::GrantType::ClientCredentials];
    let second = rekey::client::create_api_client(
        &site.app,
        "portal",
        grants,
        vec![],
        vec![],
        43_200,
        false,
    );
    let second = second.await.unwrap();
    assert_eq!(lines(&site, file, folder.path(), false).await, Vec::<String>::new());
    assert_eq!(lines(&site, file, folder.path(), true).await, ["- client portal"]);
    applied(&site, file, folder.path(), true).await;
    let left = site.app.store.read(|tx: &mut Tx<'_>| tx.api_clients()).await.unwrap();
    assert!(left.len() == 1 && left[0].id != second.id, "the oldest stays");
}

async fn a_rehearsal_says_no_where_the_run_does_and_leaves_nothing(site: Site) {
    let folder = initialised(&site).await;
    applied(&site, FILE, folder.path(), false).await;
    let again = "sources: [{name: Other, connector: rekey, owner: admin, features: [PASSWORD]}]\n";
    let twice = "syncGroups: [{name: G, policy: Strong, sources: [Other, other]}]";
    let taken = "syncGroups: [{name: G, policy: Strong, sources: [Directory, Other]}]";
    for (text, says) in [
        (format!("{again}{twice}"), "at least two different sources"),
        (format!("{again}{taken}"), "in the sync group Desk already"),
        ("identities: [{alias: admin}]".to_owned(), "abby.smith owns the source Directory"),
    ] {
        let plan = async || apply::plan(&site.app, &text, folder.path(), true).await.unwrap();
        let before = plan().await.lines();
        let rehearsed = apply::rehearse(&site.app, plan().await).await.unwrap_err().to_string();
        assert!(rehearsed.contains(says), "{rehearsed}");
        assert_eq!(plan().await.lines(), before, "nothing was done");
        let run = apply::run(&site.app, plan().await).await.err().unwrap().to_string();
        assert_eq!(run, rehearsed);
    }
    let good = apply::plan(&site.app, again, folder.path(), false).await.unwrap();
    apply::rehearse(&site.app, good).await.unwrap();
    assert_eq!(lines(&site, again, folder.path(), false).await, ["+ source Other"]);
}

#[tokio::test]
async fn a_slip_is_explained() {
    let site = Site::on_sqlite().await;
    let folder = initialised(&site).await;
    for (text, says) in [
        ("identities: [{alais: a}]", "did you mean alias?"),
        ("identities: [{alias: a, capabilities: [HELPDSK]}]", "did you mean HELPDESK?"),
        ("policies: [{name: S, minLenght: 3}]", "did you mean minLength?"),
        ("policies: [{name: S, minLength: 9, maxLength: 8}]", "at least 9 characters"),
        ("sourcs: []", "did you mean sources?"),
        ("sources: [{name: S, connector: ldpa, owner: admin}]", "there is no connector `ldpa`"),
        ("sources: [{name: S, connector: rekey, owner: amdin}]", "did you mean admin?"),
        (
            "sources: [{name: S, connector: rekey, owner: admin, features: [PASWORD]}]",
            "did you mean PASSWORD?",
        ),
        ("identities: [{alias: a, password: {env: REKEY_NOT_SET}}]", "REKEY_NOT_SET is not set"),
        ("identities: [{alias: a, password: 1234567}]", "in quotes"),
        ("dictionary: two words", "line 1 has white space"),
        (
            "identities: [{alias: a, attributes: 1234567}]",
            "invalid type: integer …, expected a map",
        ),
        (
            "sources: [{name: S, connectorAttributes: \"1234567 `unknown `, expected 1234567\"}]",
            "invalid type: string …, expected a map",
        ),
    ] {
        let said = refused(&site, text).await;
        assert!(said.contains(says), "{text}: {said}");
        assert!(!said.contains("1234567"), "{said}");
    }
    let unknown = refused(&site, "identities:\n  - alais: a\n").await;
    assert!(unknown.contains("line 2"), "{unknown}");
    drop(folder);
}
