//! The permission to write each attribute of a source: every attribute of every kind, for every
//! caller.

use hyper::StatusCode;
use rekey::{
    access::{ALL, ENDPOINT},
    client::{create_api_client, create_personal_access_token},
    connector::{kinds, secrets::Equal},
    model::{
        client::{Client, GrantType},
        column::Json,
        id::{IdentityId, SourceId},
        identity::Identity,
        level::Level,
        source::Source,
    },
    source,
    token::Grant,
};
use rekey_connectors::{Attribute, Reach, attribute::Shape};
use serde_json::{Map, Value, json};

use crate::{
    site::{Answer, Site, on_both_stores},
    sources::{admin, patch},
};

on_both_stores!(
    every_attribute_may_be_written_by_whom_its_reach_says,
    a_wrong_outcome_is_found,
    a_new_source_gets_what_its_creator_may_write,
);

/// A caller who writes sources.
struct Writer {
    name: &'static str,
    token: String,
    /// Whether the caller may set where a system is, and to whom its accounts belong.
    directs: bool,
}

const MANAGE: &str = "idn:sources:manage";

/// The owner of all sources in these tests, and every kind of caller that may write them.
async fn writers(site: &Site) -> (Identity, Vec<Writer>) {
    let (org_admin, whole) = admin(site).await;
    let owner = site.person("owner", &[Level::SourceSubadmin]).await;
    let source_admin = site.person("source-admin", &[Level::SourceAdmin]).await;
    let both = site.person("both", &[Level::SourceAdmin, Level::SourceSubadmin]).await;
    let mut writers = Vec::new();
    let mut add = |name, token, directs| writers.push(Writer { name, token, directs });
    add("ORG_ADMIN", whole, true);
    for (name, person, scope, directs) in [
        ("ORG_ADMIN with one scope", &org_admin, MANAGE, true),
        ("SOURCE_ADMIN", &source_admin, ALL, false),
        (
            "SOURCE_ADMIN with the scope",
            &source_admin,
            "sp:scopes:all rekey:sources:endpoint",
            false,
        ),
        ("the owner, a SOURCE_SUBADMIN", &owner, ALL, false),
        ("SOURCE_ADMIN and SOURCE_SUBADMIN", &both, ALL, false),
    ] {
        let scope = scope.split(' ').map(str::to_owned).collect();
        let made = create_personal_access_token(&site.app, person, name, scope, 750, None);
        add(name, site.token_of(&made.await.unwrap()).await, directs);
    }
    for (name, scope, directs) in [
        ("API client that manages", vec![MANAGE], false),
        ("API client with all scopes", vec![ALL], false),
        (
            "API client with all scopes and two of another spelling",
            vec![ALL, "Rekey:sources:endpoint", "idn:sources:endpoint"],
            false,
        ),
        ("API client with the scope", vec![MANAGE, ENDPOINT], true),
        ("API client with all and the scope", vec![ALL, ENDPOINT], true),
    ] {
        let client = client(site, name, &scope).await;
        add(name, token(site, &client, None), directs);
        if name == "API client with the scope" {
            let name = "application with the scope, for the owner";
            add(name, token(site, &client, Some(&owner)), false);
        }
    }
    (owner, writers)
}

pub(crate) async fn client(site: &Site, name: &str, scope: &[&str]) -> Client {
    let scope = scope.iter().map(|scope| (*scope).to_owned()).collect();
    let grants = vec![GrantType::ClientCredentials];
    let made = create_api_client(&site.app, name, grants, vec![], scope, 750, false);
    let id = made.await.unwrap().id;
    site.write(move |tx| Ok(tx.client(&id)?.unwrap())).await
}

pub(crate) fn token(site: &Site, client: &Client, identity: Option<&Identity>) -> String {
    let scope = client.scope.0.clone();
    let (grant, now) = (Grant { client, identity, scope, code: None }, site.app.clock.now());
    site.app.tokens.issue(grant, site.app.config.base_url(), now).unwrap().0
}

/// Two values of an attribute: before a change, and after it.
fn values(attribute: &Attribute) -> (Value, Value) {
    match (attribute.shape, attribute.name) {
        (_, "accountFilter") => (json!("(a=b)"), json!("(c=d)")),
        (_, "baseDn" | "bindDn") => (json!("cn=a"), json!("cn=b")),
        // Before the change, TLS is off, which requires that it be allowed.
        (_, "allowInsecure") => (json!(true), json!(false)),
        (Shape::Boolean, _) => (json!(false), json!(true)),
        (Shape::Certificates, _) => (Value::Null, json!(include_str!("../data/authority.pem"))),
        (Shape::Choice(words), _) => (json!(words[0]), json!(words[1])),
        (Shape::Number(from, to), _) => (json!(from), json!(to)),
        (Shape::Text, _) => (json!("a"), json!("b")),
        (Shape::Texts, _) => (json!(["cn"]), json!(["mail"])),
        (Shape::Object(nested), _) => {
            let object = |which: fn((Value, Value)) -> Value| -> Value {
                let members =
                    nested.iter().map(|nested| (nested.name.to_owned(), which(values(nested))));
                Value::Object(members.collect())
            };
            (object(|both| both.0), object(|both| both.1))
        }
    }
}

/// Every attribute with its path; members of objects are listed one by one.
fn each(declared: &[&'static Attribute], at: &str) -> Vec<(String, &'static Attribute)> {
    declared
        .iter()
        .flat_map(|attribute| match attribute.shape {
            Shape::Object(nested) => {
                each(&nested.iter().collect::<Vec<_>>(), &format!("{at}{}/", attribute.name))
            }
            Shape::Boolean
            | Shape::Certificates
            | Shape::Choice(_)
            | Shape::Number(..)
            | Shape::Text
            | Shape::Texts => vec![(format!("{at}{}", attribute.name), *attribute)],
        })
        .collect()
}

/// The attributes of a kind, each with the first of its two values.
fn whole(declared: &[&'static Attribute]) -> Map<String, Value> {
    let value = |attribute: &&&Attribute| (attribute.name.to_owned(), values(attribute).0);
    declared.iter().filter(|a| !values(a).0.is_null()).map(|a| value(&a)).collect()
}

/// Inserts a source without keys into the store, bypassing the API.
pub(crate) async fn put(
    site: &Site,
    owner: &IdentityId,
    kind: &str,
    attributes: &Map<String, Value>,
) -> Source {
    let id = SourceId::new();
    let sealed = rekey::connector::secrets::seal(
        &site.app.sealer,
        &id,
        kind,
        attributes.clone(),
        None,
        Equal::Renewed,
    );
    let source = Source {
        name: format!("{kind} {id}"),
        id,
        description: None,
        connector: kind.into(),
        owner_id: owner.clone(),
        features: Json(Vec::new()),
        connector_attributes: Json(sealed.unwrap().attributes),
        extra: Json::default(),
        policy_id: None,
        deadline: None,
        version: 1,
        generation: 1,
        healthy: true,
        status: "SOURCE_STATE_HEALTHY".into(),
        created: site.app.clock.now(),
        modified: site.app.clock.now(),
    };
    site.write(move |tx| source::insert(tx, source.clone(), &[], "test")).await
}

/// The stored source, and the number of aggregations requested for it.
pub(crate) async fn read(site: &Site, id: &SourceId) -> (Source, i64) {
    let id = id.clone();
    site.write(move |tx| {
        let source = tx.source(&id)?.unwrap();
        let sql = format!("SELECT count(*) AS value FROM job WHERE source_id = '{id}'");
        Ok((source, tx.count(&sql)?))
    })
    .await
}

/// Returns why the outcome of one write is not what the reach of the attribute requires, or `None`
/// if it is.
async fn judged(
    site: &Site,
    before: &Source,
    attribute: &Attribute,
    allowed: bool,
    refusal: Option<(StatusCode, String)>,
) -> Option<String> {
    let (after, tasks) = read(site, &before.id).await;
    let raises = attribute.reach == Reach::Who
        || attribute.reach == Reach::Where && !matches!(attribute.shape, Shape::Certificates);
    let unchanged = after.connector_attributes == before.connector_attributes
        && after.version == before.version;
    let asked = (after.generation - before.generation, tasks);
    match (allowed, refusal) {
        (true, Some((status, text))) => Some(format!("refused: {status} {text}")),
        (true, None) if unchanged => Some("allowed, and not done".into()),
        (true, None) if asked != if raises { (1, 1) } else { (0, 0) } => {
            Some(format!("generations and aggregations: {asked:?}"))
        }
        (true, None) => None,
        (false, None) => Some("allowed".into()),
        (false, Some(_)) if !unchanged || asked != (0, 0) => Some("refused, and done".into()),
        (false, Some((status, text))) => {
            let clear = status == StatusCode::FORBIDDEN
                && text.contains(attribute.name)
                && (attribute.reach == Reach::Runs
                    || text.contains("ORG_ADMIN") && text.contains(ENDPOINT));
            (!clear).then(|| format!("{status}: {text}"))
        }
    }
}

async fn every_attribute_may_be_written_by_whom_its_reach_says(site: Site) {
    let (owner, writers) = writers(&site).await;
    let mut wrong = Vec::new();
    let mut cells = 0;
    for kind in kinds() {
        let declared = kind.declared();
        let base = whole(&declared);
        for (path, attribute) in each(&declared, "") {
            let value = values(attribute).1;
            let mut before = put(&site, &owner.id, kind.name, &base).await;
            for writer in &writers {
                let change = json!([{ "op": "add", "path": format!("/connectorAttributes/{path}"), "value": value }]);
                let answer = patch(&site, &writer.token, &json!(before.id), change).await;
                let allowed = match attribute.reach {
                    Reach::Nothing => true,
                    Reach::Runs => false,
                    Reach::Where | Reach::Who => writer.directs,
                };
                let done = answer.status == StatusCode::OK;
                let refusal = (!done).then_some((answer.status, answer.text));
                let why = judged(&site, &before, attribute, allowed, refusal).await;
                wrong.extend(
                    why.map(|why| format!("{} {path} by {}: {why}", kind.name, writer.name)),
                );
                cells += 1;
                if done {
                    before = put(&site, &owner.id, kind.name, &base).await;
                }
            }
            let before = put(&site, &owner.id, kind.name, &base).await;
            let file_attributes = with(&base, &path, &value);
            let file = json!({ "sources": [{ "name": before.name, "connectorAttributes": file_attributes }] });
            let refusal = applied(&site, &file).await.err().map(|text| (StatusCode::OK, text));
            let why = judged(&site, &before, attribute, true, refusal).await;
            wrong.extend(why.map(|why| format!("{} {path} by apply: {why}", kind.name)));
            cells += 1;
        }
    }
    println!("{cells} cells asked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The negative control: outcomes that contradict the reach of the attribute must be reported.
async fn a_wrong_outcome_is_found(site: Site) {
    let (owner, writers) = writers(&site).await;
    let kind = rekey_connectors::kind("ldap").unwrap();
    let declared = kind.declared();
    let host = **declared.iter().find(|attribute| attribute.name == "host").unwrap();
    let harmless = Attribute { reach: Reach::Nothing, ..host };
    let before = put(&site, &owner.id, "ldap", &whole(&declared)).await;
    let id = json!(before.id);
    let change = json!([{ "op": "replace", "path": "/connectorAttributes/host", "value": "b" }]);
    let by = |name: &str| &writers.iter().find(|writer| writer.name == name).unwrap().token;
    let refused = patch(&site, by("SOURCE_ADMIN"), &id, change.clone()).await;
    let refusal = Some((refused.status, refused.text));
    assert_eq!(judged(&site, &before, &host, false, refusal.clone()).await, None);
    assert!(judged(&site, &before, &host, true, refusal).await.is_some());
    assert!(judged(&site, &before, &host, true, None).await.is_some(), "it was not done");
    patch(&site, by("ORG_ADMIN"), &id, change).await.assert(StatusCode::OK);
    assert_eq!(judged(&site, &before, &host, true, None).await, None);
    assert!(judged(&site, &before, &host, false, None).await.is_some());
    assert!(judged(&site, &before, &harmless, true, None).await.is_some(), "it raises nothing");
    let refusal = Some((StatusCode::FORBIDDEN, "host ORG_ADMIN rekey:sources:endpoint".into()));
    assert!(judged(&site, &before, &host, false, refusal).await.is_some(), "it was done");
}

/// The connector attributes with one value replaced.
fn with(base: &Map<String, Value>, path: &str, value: &Value) -> Map<String, Value> {
    let mut changed = base.clone();
    match path.split_once('/') {
        None => changed.insert(path.to_owned(), value.clone()),
        Some((object, rest)) => {
            let members = changed[object].as_object().unwrap();
            let members = with(members, rest, value);
            changed.insert(object.to_owned(), Value::Object(members))
        }
    };
    changed
}

pub(crate) async fn applied(site: &Site, file: &Value) -> Result<(), String> {
    let (text, folder) = (file.to_string(), std::path::Path::new("."));
    let plan = rekey::ops::apply::plan(&site.app, &text, folder, false).await;
    let plan = plan.map_err(|error| error.to_string())?;
    rekey::ops::apply::run(&site.app, plan).await.map(drop).map_err(|error| error.to_string())
}

async fn create(site: &Site, writer: &Writer, name: &str, body: Value) -> Answer {
    let mut whole = body;
    whole["name"] = json!(format!("{name} {}", writer.name));
    site.post("/v2025/sources").token(&writer.token).json(whole).send().await
}

async fn a_new_source_gets_what_its_creator_may_write(site: Site) {
    let (owner, writers) = writers(&site).await;
    let described = |kind: &str| {
        json!({
            "connector": kind, "description": "d", "owner": { "type": "IDENTITY", "id": owner.id },
            // Members that client libraries send by default.
            "authoritative": false, "credentialProviderEnabled": false, "features": [], "cluster": null,
        })
    };
    for kind in kinds().filter(|kind| !kind.attributes.is_empty()) {
        let declared = kind.declared();
        let whole = Value::Object(whole(&declared));
        for writer in &writers {
            let with = |member: &str, value: &Value| {
                let mut body = described(kind.name);
                body[member] = value.clone();
                body
            };
            let bare = create(&site, writer, kind.name, described(kind.name)).await;
            bare.assert(StatusCode::CREATED);
            assert_eq!(bare.body["connectorAttributes"], json!({}));
            // A source without a configured system cannot support password changes.
            let on = json!([{ "op": "add", "path": "/features/-", "value": "PASSWORD" }]);
            let on = patch(&site, &writer.token, &bare.body["id"], on).await;
            assert_eq!(on.error().0, "400.1.3 Illegal value", "{}", on.text);
            let reference = json!({ "type": "RULE", "id": "1", "name": "R" });
            for (member, value) in [
                ("connectorAttributes", &whole),
                ("features", &json!(["PROVISIONING"])),
                ("authoritative", &json!(true)),
                ("deleteThreshold", &json!(100)),
                ("accountCorrelationConfig", &reference),
                ("managerCorrelationRule", &reference),
            ] {
                let name = format!("{} {member}", kind.name);
                let answer = create(&site, writer, &name, with(member, value)).await;
                let who = writer.name;
                if writer.directs {
                    assert_eq!(
                        answer.status,
                        StatusCode::CREATED,
                        "{who} {member} {}",
                        answer.text
                    );
                    continue;
                }
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{who} {member} {}", answer.text);
                let text = answer.error().1;
                assert!(text.contains(member) && text.contains("ORG_ADMIN"), "{text}");
            }
        }
    }
    let names = "SELECT count(*) AS value FROM source WHERE features LIKE '%PROVISIONING%'";
    let made = site.write(move |tx| Ok(tx.count(names)?)).await;
    let kinds = kinds().filter(|kind| !kind.attributes.is_empty()).count();
    let direct = writers.iter().filter(|writer| writer.directs).count();
    assert_eq!(usize::try_from(made).unwrap(), kinds * direct, "a refused source is there");
}
