//! Sources: created, listed, patched, checked and aggregated.

use hyper::{Method, StatusCode};
use rekey::model::{identity::Identity, level::Level};
use serde_json::{Value, json};

use crate::site::{Answer, Site, on_both_stores};

on_both_stores!(
    a_source_is_made_and_found,
    a_source_is_listed_by_every_filter,
    the_feature_is_added_by_patch,
    patches_at_once_lose_nothing,
    what_may_not_change_does_not,
    a_secret_comes_back_as_ciphertext_and_may_be_sent_back,
    a_right_guess_at_a_secret_reads_like_a_wrong_one,
    a_new_endpoint_makes_the_old_key_useless,
    a_connection_is_checked,
    accounts_are_loaded,
    a_bare_quote_is_understood,
    pages_are_cut_and_counted,
    a_plain_person_sees_no_sources,
);

/// Creates an administrator; returns the identity and its access token.
pub(crate) async fn admin(site: &Site) -> (Identity, String) {
    let admin = site.person("admin", &[Level::OrgAdmin]).await;
    rekey::source::ensure_identity_now(&site.app).await.unwrap();
    let token = site.token_of(&site.personal_access_token(&admin).await).await;
    (admin, token)
}

pub(crate) async fn made(site: &Site, admin: &(Identity, String), body: Value) -> Answer {
    let mut whole = json!({
        "name": "My Directory", "connector": "ldap", "features": ["PROVISIONING"],
        "owner": { "type": "IDENTITY", "id": admin.0.id },
        "connectorAttributes": {
            "host": "ldap.example.com", "bindDn": "cn=rekey", "bindPassword": "s3cret",
            "baseDn": "dc=example,dc=com",
        },
    });
    for (name, value) in body.as_object().unwrap() {
        whole[name] = value.clone();
    }
    site.post("/v2024/sources").token(&admin.1).json(whole).send().await
}

pub(crate) async fn patch(site: &Site, token: &str, id: &Value, operations: Value) -> Answer {
    let path = format!("/v3/sources/{}", id.as_str().unwrap());
    let ask = site.ask(Method::PATCH, &path).token(token);
    ask.text("application/json-patch+json; charset=utf-8", operations.to_string()).send().await
}

pub(crate) async fn names(site: &Site, token: &str, query: &str) -> Vec<String> {
    let answer = site.get(&format!("/v3/sources?{query}")).token(token).send().await;
    answer.assert(StatusCode::OK);
    let sources = answer.body.as_array().unwrap().clone();
    sources.iter().map(|source| source["name"].as_str().unwrap().to_owned()).collect()
}

async fn a_source_is_made_and_found(site: Site) {
    let admin = admin(&site).await;
    let cluster = json!({ "type": "CLUSTER", "id": "1", "name": "C" });
    let answer = made(&site, &admin, json!({ "healthy": false, "cluster": cluster })).await;
    answer.assert(StatusCode::CREATED);
    let source = &answer.body;
    assert_eq!(source["status"], "SOURCE_STATE_UNCHECKED_SOURCE");
    assert_eq!(source["features"], json!(["PROVISIONING"]));
    assert_eq!(source["owner"]["name"], "ADMIN");
    assert_eq!(source["cluster"], cluster);
    let path = format!("/beta/sources/{}/", source["id"].as_str().unwrap());
    let found = site.get(&path).token(&admin.1).send().await;
    assert_eq!(&found.body, source);
    let unknown = site.get("/sources/v1/nope").token(&admin.1).send().await;
    assert_eq!(unknown.error().0, "404 Not found");

    for (body, code) in [
        (json!({}), "400.1.409 Reference conflict"),
        (json!({ "name": "" }), "400.1.0 Required data missing or empty"),
        (json!({ "name": "B", "owner": null }), "400.1.0 Required data missing or empty"),
        (json!({ "name": "B", "owner": { "id": "x" } }), "400.1.404 Referenced object not found"),
        (json!({ "name": "B", "connector": "x" }), "400.1.3 Illegal value"),
        (json!({ "name": "B", "features": ["PASWORD"] }), "400.1.3 Illegal value"),
        (
            json!({ "name": "B", "connectorAttributes": {}, "features": ["PASSWORD"] }),
            "400.1.3 Illegal value",
        ),
        (
            json!({ "name": "B", "connectorAttributes": { "maxConnections": 3 } }),
            "400.1.3 Illegal value",
        ),
        (json!({ "name": "identitynow" }), "400.1.3 Illegal value"),
    ] {
        let refused = made(&site, &admin, body.clone()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(refused.error().0, code, "{body} {}", refused.text);
        assert!(!refused.text.contains("s3cret"));
    }
}

async fn a_source_is_listed_by_every_filter(site: Site) {
    let admin = admin(&site).await;
    made(&site, &admin, json!({})).await.assert(StatusCode::CREATED);
    let body = json!({ "name": "B_b", "connector": "rekey", "features": ["PASSWORD", "ENABLE"], "connectorAttributes": {} });
    made(&site, &admin, body).await.assert(StatusCode::CREATED);
    let token = &admin.1;
    let both = ["B_b", "My Directory"];
    assert_eq!(names(&site, token, "").await, both);
    assert_eq!(names(&site, token, "sorters=-name").await, ["My Directory", "B_b"]);
    assert_eq!(names(&site, token, "includeIDNSource=true&limit=2").await, ["B_b", "IdentityNow"]);
    let owner = &admin.0.id;
    for (filter, expected) in [
        ("name eq \"my directory\"".to_owned(), &both[1..]),
        ("name eq\"B_b\"".into(), &both[..1]),
        ("name co \"_\"".into(), &both[..1]),
        ("name sw \"my\" or name eq \"x\"".into(), &both[1..]),
        ("not (name sw \"my\")".into(), &both[..1]),
        ("features ca (\"PASSWORD\",\"ENABLE\")".into(), &both[..1]),
        (format!("owner.id eq \"{owner}\""), &both),
        (format!("owner.id in (\"x\", \"{owner}\") and type eq \"IdentityNow\""), &both[..1]),
        ("created gt 2018".into(), &both),
        ("created lt \"2018-01-01T00:00:00Z\"".into(), &[]),
        ("description isnull".into(), &both),
        ("authoritative eq false and connectionType eq \"direct\"".into(), &both),
        ("connectorName eq \"IdentityNow\"".into(), &both[..1]),
    ] {
        let plus = filter.replace('"', "%22").replace(' ', "+");
        let percent = filter.replace('"', "%22").replace(' ', "%20");
        if filter.starts_with("description") {
            let refused =
                site.get(&format!("/v3/sources?filters={plus}")).token(token).send().await;
            assert_eq!(refused.error().0, "400.1.3 Illegal value");
            assert!(refused.error().1.contains("`description`"), "{}", refused.text);
            continue;
        }
        assert_eq!(names(&site, token, &format!("filters={plus}")).await, expected, "{filter}");
        assert_eq!(names(&site, token, &format!("filters={percent}")).await, expected, "{filter}");
    }
    for query in ["filters=nome+eq+1", "filters=name+EQ+1", "sorters=nope", "filters=name+eq+%22"] {
        let refused = site.get(&format!("/v3/sources?{query}")).token(token).send().await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

async fn the_feature_is_added_by_patch(site: Site) {
    let admin = admin(&site).await;
    let source = made(&site, &admin, json!({})).await.body;
    let add = json!([{ "op": "add", "path": "/features/-", "value": "PASSWORD" }]);
    for _ in 0..2 {
        let patched = patch(&site, &admin.1, &source["id"], add.clone()).await;
        patched.assert(StatusCode::OK);
        assert_eq!(patched.body["features"], json!(["PROVISIONING", "PASSWORD"]));
    }
    let path = format!("/sources/v1/{}", source["id"].as_str().unwrap());
    let replace =
        json!([{ "op": "replace", "path": "/features", "value": ["PASSWORD", "ENABLE"] }]);
    let ask = site.ask(Method::PATCH, &path).token(&admin.1).json(replace);
    assert_eq!(ask.send().await.body["features"], json!(["PASSWORD", "ENABLE"]));
}

async fn patches_at_once_lose_nothing(site: Site) {
    let admin = admin(&site).await;
    let source = made(&site, &admin, json!({})).await.body;
    let patches = ["PASSWORD", "ENABLE", "UNLOCK", "SEARCH", "PROXY", "DELETE"].map(|feature| {
        let add = json!([{ "op": "add", "path": "/features/-", "value": feature }]);
        let (site, token, id) = (&site, &admin.1, &source["id"]);
        async move { (feature, patch(site, token, id, add).await.status) }
    });
    let answered = futures_util::future::join_all(patches).await;
    let path = format!("/v3/sources/{}", source["id"].as_str().unwrap());
    let now = site.get(&path).token(&admin.1).send().await.body;
    let features = now["features"].as_array().unwrap();
    for (feature, status) in answered {
        let there = features.contains(&json!(feature));
        assert_eq!(status == StatusCode::OK, there, "{feature}: {status}, {features:?}");
    }
}

async fn what_may_not_change_does_not(site: Site) {
    let admin = admin(&site).await;
    let source = made(&site, &admin, json!({})).await.body;
    let rename = json!({ "op": "replace", "path": "/name", "value": "Other" });
    for (operation, code) in [
        (json!({ "op": "replace", "path": "/id", "value": "x" }), "400.1.1 Illegal update attempt"),
        (
            json!({ "op": "replace", "path": "/type", "value": "x" }),
            "400.1.1 Illegal update attempt",
        ),
        (
            json!({ "op": "replace", "path": "/created", "value": "x" }),
            "400.1.1 Illegal update attempt",
        ),
        (json!({ "op": "remove", "path": "/connector" }), "400.1.1 Illegal update attempt"),
        (json!({ "op": "add", "path": "/nope", "value": 1 }), "400.1.1 Illegal update attempt"),
        (json!({ "op": "test", "path": "/name", "value": "x" }), "400.1 Bad request content"),
        (json!({ "op": "remove", "path": "/nope" }), "400.1 Bad request content"),
        (
            json!({ "op": "replace", "path": "/features", "value": "PASSWORD" }),
            "400.1.3 Illegal value",
        ),
        (json!({ "op": "frob", "path": "/features" }), "400.0 Bad request syntax"),
    ] {
        let refused = patch(&site, &admin.1, &source["id"], json!([rename, operation])).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{operation}");
        assert_eq!(refused.error().0, code, "{operation} {}", refused.text);
    }
    let path = format!("/v3/sources/{}", source["id"].as_str().unwrap());
    assert_eq!(site.get(&path).token(&admin.1).send().await.body, source);
}

async fn a_secret_comes_back_as_ciphertext_and_may_be_sent_back(site: Site) {
    let admin = admin(&site).await;
    let answer = made(&site, &admin, json!({})).await;
    assert!(!answer.text.contains("s3cret"));
    let source = answer.body;
    let mut attributes = source["connectorAttributes"].clone();
    assert!(attributes["bindPassword"].as_str().unwrap().len() > 40);
    attributes["maxConnections"] = json!(3);
    let replace = json!([{ "op": "replace", "path": "/connectorAttributes", "value": attributes }]);
    let patched = patch(&site, &admin.1, &source["id"], replace).await;
    patched.assert(StatusCode::OK);
    assert_eq!(patched.body["connectorAttributes"], attributes);

    let stolen =
        made(&site, &admin, json!({ "name": "Thief", "connectorAttributes": attributes })).await;
    assert_eq!(stolen.error().0, "400.1.3 Illegal value");
    let new =
        json!([{ "op": "replace", "path": "/connectorAttributes/bindPassword", "value": "n3w" }]);
    let patched = patch(&site, &admin.1, &source["id"], new).await;
    patched.assert(StatusCode::OK);
    assert_ne!(patched.body["connectorAttributes"]["bindPassword"], attributes["bindPassword"]);
    assert!(!patched.text.contains("n3w"));
}

async fn a_right_guess_at_a_secret_reads_like_a_wrong_one(site: Site) {
    let admin = admin(&site).await;
    let mut before = made(&site, &admin, json!({})).await.body;
    for guess in ["s3cret", "wr0ng1", "wr0ng1"] {
        let path = "/connectorAttributes/bindPassword";
        let operation = json!([{ "op": "replace", "path": path, "value": guess }]);
        let after = patch(&site, &admin.1, &before["id"], operation).await;
        after.assert(StatusCode::OK);
        let (old, new) = (before.pointer(path).unwrap(), after.body.pointer(path).unwrap());
        assert_ne!(old, new, "{guess} keeps its ciphertext");
        assert_ne!(before["modified"], after.body["modified"], "{guess} changes nothing");
        before = after.body;
    }
}

async fn a_new_endpoint_makes_the_old_key_useless(site: Site) {
    let admin = admin(&site).await;
    let source = made(&site, &admin, json!({})).await.body;
    let host = |host: &str| json!([{ "op": "replace", "path": "/connectorAttributes/host", "value": host }]);
    let moved = patch(&site, &admin.1, &source["id"], host("evil.example.com")).await;
    moved.assert(StatusCode::OK);
    assert_eq!(moved.body["connectorAttributes"]["bindPassword"], Value::Null);
    let back = patch(&site, &admin.1, &source["id"], host("ldap.example.com")).await;
    assert!(back.error().1.contains("bindPassword"), "{}", back.text);
    let both = json!([
        { "op": "replace", "path": "/connectorAttributes/host", "value": "ldap.example.com" },
        { "op": "add", "path": "/connectorAttributes/bindPassword", "value": "s3cret" },
    ]);
    patch(&site, &admin.1, &source["id"], both).await.assert(StatusCode::OK);
}

async fn a_connection_is_checked(site: Site) {
    let admin = admin(&site).await;
    let attributes = json!({
        "host": "127.0.0.1", "port": 1, "bindDn": "cn=rekey", "bindPassword": "s3cret",
        "baseDn": "dc=example,dc=com",
    });
    let dead = made(&site, &admin, json!({ "connectorAttributes": attributes })).await.body;
    let built_in = made(
        &site,
        &admin,
        json!({ "name": "B", "connector": "rekey", "connectorAttributes": {} }),
    )
    .await;
    for (source, expected) in [(&dead, "FAILURE"), (&built_in.body, "SUCCESS")] {
        let id = source["id"].as_str().unwrap();
        let path = format!("/beta/sources/{id}/connector/check-connection");
        let checked = site.post(&path).token(&admin.1).send().await;
        checked.assert(StatusCode::OK);
        assert_eq!(checked.body["status"], expected, "{}", checked.text);
        let path = format!("/v3/sources/{id}");
        let now = site.get(&path).token(&admin.1).send().await;
        assert_eq!(now.body["healthy"], expected == "SUCCESS");
    }
}

async fn accounts_are_loaded(site: Site) {
    let admin = admin(&site).await;
    let source = made(
        &site,
        &admin,
        json!({ "name": "B", "connector": "rekey", "connectorAttributes": {} }),
    )
    .await;
    let id = source.body["id"].as_str().unwrap();
    let path = format!("/v2024/sources/{id}/load-accounts");
    let form = "--x\r\nContent-Disposition: form-data; name=\"disableOptimization\"\r\n\r\ntrue\r\n--x--\r\n";
    let ask = site.post(&path).token(&admin.1).text("multipart/form-data; boundary=x", form);
    let begun = ask.send().await;
    begun.assert(StatusCode::ACCEPTED);
    assert_eq!(begun.body["success"], true);
    let task = ended(&site, &admin.1, &begun).await;
    assert_eq!(task["completionStatus"], "SUCCESS", "{task}");
    assert_eq!(task["attributes"]["total"], 1);
    for member in [
        "uniqueName",
        "parentName",
        "modified",
        "launched",
        "launcher",
        "messages",
        "progress",
        "percentComplete",
        "returns",
        "description",
    ] {
        assert!(task.as_object().unwrap().contains_key(member), "{member}");
    }
    let path = format!("/account-aggregations/v1/{}/status", task["id"].as_str().unwrap());
    assert_eq!(site.get(&path).token(&admin.1).send().await.body["status"], "COMPLETED");
    let path =
        format!("/beta/task-status?filters=sourceId+eq+%22{id}%22&sorters=-created&count=true");
    let listed = site.get(&path).token(&admin.1).send().await;
    assert_eq!(listed.body[0]["id"], task["id"]);
    assert_eq!(listed.headers["x-total-count"], "1");

    let dead = made(
        &site,
        &admin,
        json!({ "connectorAttributes": {
            "host": "127.0.0.1", "port": 1, "bindDn": "cn=rekey", "bindPassword": "s3cret",
            "baseDn": "dc=example,dc=com",
        }}),
    )
    .await;
    let path = format!("/v2024/sources/{}/load-accounts", dead.body["id"].as_str().unwrap());
    let begun = site.post(&path).token(&admin.1).send().await;
    let task = ended(&site, &admin.1, &begun).await;
    assert_eq!(task["completionStatus"], "ERROR");
    assert!(task["messages"][0]["localizedText"]["message"].is_string(), "{task}");
}

/// Waits until a task has ended, and returns its status.
pub(crate) async fn ended(site: &Site, token: &str, begun: &Answer) -> Value {
    begun.assert(StatusCode::ACCEPTED);
    let path = format!("/v2024/task-status/{}", begun.body["task"]["id"].as_str().unwrap());
    loop {
        let task = site.get(&path).token(token).send().await;
        task.assert(StatusCode::OK);
        if !task.body["completed"].is_null() {
            return task.body;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// A bare quote in the URL, as one community client sends it, written to the socket directly.
async fn a_bare_quote_is_understood(site: Site) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (_, token) = admin(&site).await;
    let address = site.app.config.server.listen;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /v2025/identities?filters=alias+eq+\"admin\" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    );
    let twice = format!("{request}\r\n{request}Connection: close\r\n\r\n");
    stream.write_all(twice.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert_eq!(answer.matches("\"alias\":\"admin\"").count(), 2, "{answer}");
}

async fn pages_are_cut_and_counted(site: Site) {
    let (_, token) = admin(&site).await;
    for n in 0..5 {
        site.person(&format!("p{n}"), &[]).await;
    }
    let page = |query: &'static str| site.get(query).token(&token).send();
    let page_of = page("/v2024/identities?limit=2&offset=1&count=true&sorters=alias").await;
    page_of.assert(StatusCode::OK);
    let aliases: Vec<_> =
        page_of.body.as_array().unwrap().iter().map(|p| p["alias"].clone()).collect();
    assert_eq!(aliases, ["p0", "p1"]);
    assert_eq!(page_of.headers["x-total-count"], "6");
    let beyond = page("/v2024/identities?offset=100").await;
    assert_eq!(beyond.body, json!([]));
    assert!(!beyond.headers.contains_key("x-total-count"));
    assert_eq!(page("/v2024/identities?limit=0").await.body, json!([]));
    for query in [
        "/identities?limit=251",
        "/identities?limit=-1",
        "/identities?limit=x",
        "/identities?offset=-1",
        "/identities?count=maybe",
    ] {
        assert_eq!(page(query).await.error().0, "400.1.3 Illegal value", "{query}");
    }
    for (name, what) in [
        ("limit", "a whole number from 0"),
        ("offset", "a whole number from 0"),
        ("count", "true or false"),
    ] {
        let query = format!("/identities?{name}=");
        let answer = site.get(&query).token(&token).send().await;
        let wanted = format!("{name} must be {what}: it is empty, give one or leave it out");
        assert_eq!(answer.error(), ("400.1.3 Illegal value", wanted.as_str()));
    }
}

async fn a_plain_person_sees_no_sources(site: Site) {
    let (admin, _) = admin(&site).await;
    let abby = site.person("abby", &[]).await;
    let token = site.token_of(&site.personal_access_token(&abby).await).await;
    for path in ["/v3/sources", "/v3/sources/x", "/v3/accounts", "/v3/password-policies"] {
        assert_eq!(
            site.get(path).token(&token).send().await.status,
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
    let own = site.get("/beta/identities").token(&token).send().await;
    assert_eq!(own.body.as_array().unwrap().len(), 1);
    assert_eq!(own.body[0]["alias"], "abby");
    let path = format!("/beta/identities/{}", admin.id);
    assert_eq!(site.get(&path).token(&token).send().await.status, StatusCode::NOT_FOUND);
    let path = format!("/beta/identities/{}", abby.id);
    assert_eq!(site.get(&path).token(&token).send().await.status, StatusCode::OK);
    let public =
        site.get("/v3/public-identities?filters=alias+eq+%22admin%22").token(&token).send().await;
    assert_eq!(public.body[0]["status"], "Active");
}
