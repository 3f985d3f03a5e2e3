//! The HTTP surface that every client meets: authentication before anything else, equivalent styles
//! of a path, and the contract's error bodies for every kind of request.

use hyper::{Method, StatusCode};
use rekey::{access::ALL, client, http::api, model::client::GrantType};
use serde_json::{Value, json};

use crate::site::{Answer, Site, change_body, encrypt, on_both_stores};

on_both_stores!(
    every_route_needs_a_token,
    a_powerless_token_opens_nothing,
    every_style_of_path_is_the_same,
    bad_bodies_are_answered_in_the_contracts_words,
    unknown_paths_and_methods_are_answered_in_the_contracts_words,
    every_missing_member_is_named,
    a_person_changes_their_own_password_and_nobody_elses,
    what_is_wrong_with_a_request_is_said_at_once,
    an_answer_waits_when_asked_to,
    an_idempotency_key_serves_one_body,
    a_nul_is_refused_and_no_fault,
);

const NO_TOKENS: [Option<&str>; 5] =
    [None, Some("Bearer"), Some("Bearer "), Some("Basic YTpi"), Some("Bearer not.a.token")];

async fn every_route_needs_a_token(site: Site) {
    let mut asks = vec![(Method::GET, "/no-such-path".to_owned())];
    asks.extend(api::routes().into_iter().map(|route| (route.method, filled(route.path))));
    assert!(asks.len() > 3);
    for (method, path) in asks {
        for header in NO_TOKENS {
            let mut ask = site.ask(method.clone(), &path);
            if let Some(value) = header {
                ask = ask.header("authorization", value);
            }
            let answer = ask.send().await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path} {header:?}");
            let error = answer.body["error"].as_str().unwrap();
            assert!(error.starts_with("JWT "), "{error}");
        }
    }
}

async fn a_powerless_token_opens_nothing(site: Site) {
    let powerless = site.scoped_token("sp:scopes:default").await;
    let powerful = site.scoped_token(ALL).await;
    let mut guarded = 0;
    for route in api::routes() {
        if route.access.scopes.is_empty() || route.access.scopes.contains(&"sp:scopes:default") {
            continue;
        }
        guarded += 1;
        let path = filled(route.path);
        let ask = |token| site.ask(route.method.clone(), &path).token(token).json(json!({}));
        let refused = ask(&powerless).send().await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{} {path}", route.method);
        well_formed(&refused);
        if route.access.api_client {
            let let_in = ask(&powerful).send().await;
            assert_ne!(let_in.status, StatusCode::FORBIDDEN, "{} {path}", route.method);
        }
    }
    assert!(guarded >= 3);
}

async fn every_style_of_path_is_the_same(site: Site) {
    let token = site.scoped_token(ALL).await;
    for path in [
        "/v3/query-password-info",
        "/beta/query-password-info",
        "/v2024/query-password-info",
        "/v2025/query-password-info/",
        "/v2026//query-password-info",
        "/latest/query-password-info",
        "/query-password-info/v1",
        "//query-password-info/v1",
        "/query-password-info/v1/",
    ] {
        for experimental in [None, Some("true"), Some("false")] {
            let body = json!({"userName": "nobody", "sourceName": "nothing", "more": null});
            let mut ask = site.post(path).token(&token).json(body);
            if let Some(value) = experimental {
                ask = ask.header("x-sailpoint-experimental", value);
            }
            let answer = ask.send().await;
            assert_eq!(answer.error().0, "400.1.404 Referenced object not found", "{path}");
        }
    }
}

async fn bad_bodies_are_answered_in_the_contracts_words(site: Site) {
    let token = site.scoped_token(ALL).await;
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let huge = format!("{{\"userName\":\"{}\"}}", "x".repeat(70_000));
    let json = "application/json";
    let cases = [
        (json, String::new(), StatusCode::BAD_REQUEST, "400.0"),
        (json, "{".into(), StatusCode::BAD_REQUEST, "400.0"),
        (json, "nonsense".into(), StatusCode::BAD_REQUEST, "400.0"),
        (json, "[]".into(), StatusCode::BAD_REQUEST, "400.0"),
        (json, "null".into(), StatusCode::BAD_REQUEST, "400.0"),
        (json, "{\"userName\":7}".into(), StatusCode::BAD_REQUEST, "400.0"),
        (json, "{\"userName\":{\"a\":1}}".into(), StatusCode::BAD_REQUEST, "400.0"),
        (json, "{\"userName\":\"a\",\"userName\":\"b\"}".into(), StatusCode::BAD_REQUEST, "400.0"),
        (json, "{\"userName\":\"\\ud800\"}".into(), StatusCode::BAD_REQUEST, "400.0"),
        (json, deep, StatusCode::BAD_REQUEST, "400.0"),
        (json, "{}".into(), StatusCode::BAD_REQUEST, "400.1.0"),
        ("application/json; charset=utf-8", "{}".into(), StatusCode::BAD_REQUEST, "400.1.0"),
        (json, huge, StatusCode::PAYLOAD_TOO_LARGE, "413"),
        ("text/plain", "{}".into(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "415"),
        ("application/xml", "<a/>".into(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "415"),
    ];
    for (kind, body, status, code) in cases {
        let what = body.chars().take(60).collect::<String>();
        let answer = site.post("/v3/query-password-info").token(&token).text(kind, body);
        let answer = answer.send().await;
        assert_eq!(answer.status, status, "{kind} {what}: {}", answer.text);
        well_formed(&answer);
        assert!(answer.error().0.starts_with(code), "{what}: {}", answer.error().0);
    }
    // A wrong value is not repeated in the error: it may be a secret.
    let secret = json!({"userName": ["hush-hush"], "sourceName": "x"});
    let answer = site.post("/v3/query-password-info").token(&token).json(secret).send().await;
    assert!(!answer.text.contains("hush"), "{}", answer.text);
}

async fn unknown_paths_and_methods_are_answered_in_the_contracts_words(site: Site) {
    let token = site.scoped_token(ALL).await;
    for path in ["/v3/no-such-thing", "/v3", "/set-password/v1/more", "/%ff%fe", "/v3/../etc"] {
        let answer = site.get(path).token(&token).send().await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.text);
        well_formed(&answer);
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = site.ask(method.clone(), "/v3/set-password").token(&token).send().await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.headers["allow"], "POST");
        well_formed(&answer);
    }
    let odd = site.get("/v3/password-change-status/%ff%fe").token(&token).send().await;
    odd.assert(StatusCode::NOT_FOUND);
    well_formed(&odd);
}

async fn every_missing_member_is_named(site: Site) {
    let token = site.scoped_token(ALL).await;
    let whole = json!({
        "identityId": "x", "encryptedPassword": "eA==", "publicKeyId": "x", "sourceId": "x",
    });
    for member in ["identityId", "encryptedPassword", "publicKeyId", "sourceId"] {
        for empty in [None, Some(Value::Null), Some(json!(""))] {
            let mut body = whole.clone();
            body.as_object_mut().unwrap().remove(member);
            if let Some(value) = empty {
                body[member] = value;
            }
            let answer = site.post("/v3/set-password").token(&token).json(body).send().await;
            let (code, text) = answer.error();
            assert_eq!(code, "400.1.0 Required data missing or empty");
            assert!(text.starts_with(member), "{text}");
        }
    }
}

async fn a_person_changes_their_own_password_and_nobody_elses(site: Site) {
    site.with_people(&["abby", "ben"]).await;
    let abby = site.token_for("abby").await;
    let ben = site.token_for("ben").await;
    let accepted = site.set_password(&abby, "abby", "IdentityNow", "Correct-horse-1").await;
    assert_eq!(site.ended(&abby, &accepted).await["state"], "FINISHED");

    // The answers about another person, an unknown person and an unknown source are identical.
    let mut texts = Vec::new();
    for (who, source) in [("ben", "IdentityNow"), ("nobody", "IdentityNow"), ("abby", "Nowhere")] {
        let body = json!({"userName": who, "sourceName": source});
        let answer = site.post("/v3/query-password-info").token(&abby).json(body).send().await;
        answer.assert(StatusCode::BAD_REQUEST);
        texts.push(answer.error().1.to_owned());
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:?}");

    // So are the answers for another person's `identityId` and for an unknown one.
    let own = json!({"userName": "ben", "sourceName": "IdentityNow"});
    let info = site.post("/v3/query-password-info").token(&ben).json(own).send().await;
    info.assert(StatusCode::OK);
    let mut body = change_body(&info.body, &encrypt(&info.body, b"Correct-horse-2"));
    let mut texts = Vec::new();
    for identity in [info.body["identityId"].clone(), json!("0".repeat(32))] {
        body["identityId"] = identity;
        let answer = site.post("/v3/set-password").token(&abby).json(body.clone()).send().await;
        answer.assert(StatusCode::FORBIDDEN);
        texts.push(answer.error().1.to_owned());
    }
    assert_eq!(texts[0], texts[1]);
    assert!(texts[0].contains("API client"), "{}", texts[0]);

    // A status exists only for the people who may read it.
    let id = accepted.body["requestId"].as_str().unwrap();
    let path = format!("/v2025/password-change-status/{id}");
    site.get(&path).token(&ben).send().await.assert(StatusCode::NOT_FOUND);
    site.get(&path).token(&abby).send().await.assert(StatusCode::OK);
}

async fn what_is_wrong_with_a_request_is_said_at_once(site: Site) {
    site.with_people(&["abby"]).await;
    let token = site.scoped_token(ALL).await;
    let ask = json!({"userName": "ABBY", "sourceName": "identitynow"});
    let info = site.post("/v3/query-password-info").token(&token).json(ask).send().await;
    info.assert(StatusCode::OK);
    let good = change_body(&info.body, &encrypt(&info.body, b"Correct-horse-1"));
    let cases = [
        ("sourceId", json!("none"), "400.1.404", "sourceId"),
        ("accountId", json!("nobody"), "400.1.404", "account"),
        ("identityId", json!("nobody"), "400.1.404", "account"),
        ("publicKeyId", json!("bm9uZQ=="), "400.1.3", "publicKeyId"),
        ("encryptedPassword", json!("not base64!"), "400.1.3", "base64"),
        ("encryptedPassword", json!("aGVsbG8="), "400.1.3", "5 bytes where this key makes 256"),
        (
            "encryptedPassword",
            json!(format!("{}w", "/".repeat(341))),
            "400.1.3",
            "not a ciphertext of this key",
        ),
        ("encryptedPassword", json!("A".repeat(342)), "400.1.3", "not a ciphertext of this key"),
        ("encryptedPassword", json!("A".repeat(20_000)), "400.1.2", "longer than"),
    ];
    for (member, value, code, text) in cases {
        let mut body = good.clone();
        body[member] = value;
        let answer = site.post("/v3/set-password").token(&token).json(body).send().await;
        answer.assert(StatusCode::BAD_REQUEST);
        well_formed(&answer);
        assert!(answer.error().0.starts_with(&format!("{code} ")), "{member}: {}", answer.text);
        assert!(answer.error().1.contains(text), "{member}: {}", answer.error().1);
    }
    // None of these requests has touched the account: a valid one still works, even with the line
    // breaks that `base64` adds.
    let wrapped: Vec<String> = good["encryptedPassword"]
        .as_str()
        .unwrap()
        .as_bytes()
        .chunks(76)
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    let mut body = good.clone();
    body["encryptedPassword"] = json!(format!("{}\r\n", wrapped.join("\r\n")));
    let accepted = site.post("/set-password/v1").token(&token).json(body).send().await;
    assert_eq!(site.ended(&token, &accepted).await["state"], "FINISHED");
}

async fn an_answer_waits_when_asked_to(site: Site) {
    site.with_people(&["abby"]).await;
    let token = site.scoped_token(ALL).await;
    let ask = json!({"userName": "abby", "sourceName": "IdentityNow"});
    let info = site.post("/v3/query-password-info").token(&token).json(ask).send().await;
    let body = change_body(&info.body, &encrypt(&info.body, b"Correct-horse-1"));
    let answer = site.post("/v3/set-password").token(&token).header("prefer", "wait=30").json(body);
    let answer = answer.send().await;
    answer.assert(StatusCode::ACCEPTED);
    assert_eq!(answer.body["state"], "FINISHED");
    assert_eq!(answer.headers["preference-applied"], "wait=30");
}

async fn an_idempotency_key_serves_one_body(site: Site) {
    site.with_people(&["abby"]).await;
    let token = site.scoped_token(ALL).await;
    let ask = json!({"userName": "abby", "sourceName": "IdentityNow"});
    let info = site.post("/v3/query-password-info").token(&token).json(ask).send().await;
    let first = change_body(&info.body, &encrypt(&info.body, b"Correct-horse-1"));
    let other = change_body(&info.body, &encrypt(&info.body, b"Correct-horse-2"));
    let send = |key: &str, body: &Value| {
        site.post("/v3/set-password")
            .token(&token)
            .header("idempotency-key", key)
            .json(body.clone())
    };
    let accepted = send("\"one\"", &first).send().await;
    let again = send("one", &first).send().await;
    again.assert(StatusCode::ACCEPTED);
    assert_eq!(accepted.body["requestId"], again.body["requestId"]);
    let refused = send("one", &other).send().await;
    refused.assert(StatusCode::UNPROCESSABLE_ENTITY);
    well_formed(&refused);
    send("two", &other).send().await.assert(StatusCode::ACCEPTED);
    send(&"x".repeat(256), &other).send().await.assert(StatusCode::BAD_REQUEST);
}

async fn a_nul_is_refused_and_no_fault(site: Site) {
    let token = site.scoped_token(ALL).await;
    for path in ["/v3/password-change-status/%00", "/v3/accounts/%00", "/v3/sources/%00"] {
        let answer = site.get(path).token(&token).send().await;
        answer.assert(StatusCode::NOT_FOUND);
        well_formed(&answer);
    }
    let query = "/v3/accounts?filters=name%20eq%20%22%00%22";
    let answer = site.get(query).token(&token).send().await;
    answer.assert(StatusCode::BAD_REQUEST);
    well_formed(&answer);
    let body = "{\"userName\":\"\\u0000\",\"sourceName\":\"x\"}";
    let ask = site.post("/v3/query-password-info").token(&token).text("application/json", body);
    let answer = ask.send().await;
    answer.assert(StatusCode::BAD_REQUEST);
    assert!(answer.error().1.contains("U+0000"), "{}", answer.text);
}

/// Asserts that an answer has the contract's error body with every member, and the tracking id in
/// its header too.
fn well_formed(answer: &Answer) {
    assert_eq!(answer.headers["content-type"], "application/json", "{}", answer.text);
    let tracking = answer.body["trackingId"].as_str().unwrap();
    assert_eq!(tracking.len(), 32);
    assert_eq!(answer.headers["slpt-request-id"], tracking);
    assert!(!answer.body["messages"][0]["text"].as_str().unwrap().is_empty());
    assert_eq!(answer.body["causes"][0]["text"], answer.body["messages"][0]["text"]);
    assert_eq!(answer.body["messages"][0]["localeOrigin"], "DEFAULT");
}

fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "none" } else { part });
    format!("/v3{}", parts.collect::<Vec<_>>().join("/"))
}

impl Site {
    /// The token of a new API client with one scope.
    async fn scoped_token(&self, scope: &str) -> String {
        let grants = vec![GrantType::ClientCredentials];
        let scope = vec![scope.to_owned()];
        let client =
            client::create_api_client(&self.app, "test", grants, vec![], scope, 750, false);
        self.token_of(&client.await.unwrap()).await
    }

    /// A personal access token of this person, exchanged for an access token.
    async fn token_for(&self, alias: &'static str) -> String {
        let person = self.write(move |tx| Ok(tx.identity_with_alias(alias)?)).await.unwrap();
        let token = self.personal_access_token(&person).await;
        self.token_of(&token).await
    }
}
