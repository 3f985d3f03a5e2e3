//! Access tokens: how clients request them, what they contain, and when they expire or are revoked.

use std::time::Duration;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http_body_util::BodyExt;
use hyper::{Request, StatusCode};
use rekey::{
    App,
    client::{self, Created},
    config::Config,
    grant::{self, Credentials},
    model::{client::GrantType, level::Level},
};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    people::{FORM, credentials},
    site::{Ask, Site, on_both_stores},
};

on_both_stores!(
    every_transport_gets_a_token,
    a_token_says_what_the_contract_says,
    an_api_client_speaks_for_nobody,
    wrong_requests_are_refused_in_oauths_words,
    a_request_without_a_good_token_is_401,
    a_token_ends_at_its_time,
    a_token_ends_with_its_client,
    a_token_ends_with_its_person,
    a_scope_is_narrowed_and_never_widened,
    nodes_that_start_at_once_agree,
    a_client_has_its_rate,
    failures_are_throttled_and_the_rightful_are_not,
    the_rest_is_open,
);

const PROBE: &str = "/v3/password-change-status/none";

async fn every_transport_gets_a_token(site: Site) {
    let abby = site.person("abby", &[]).await;
    let pat = site.personal_access_token(&abby).await;
    let Created { id, secret } = &pat;
    let form = credentials(&pat);
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")));
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", id.as_str()),
        ("client_secret", secret),
    ];
    let quoted = multipart(&fields, |name| format!("form-data; name=\"{name}\""), "");
    let dotnet = multipart(
        &fields,
        |name| format!("form-data; name={name}"),
        "Content-Type: text/plain; charset=utf-8\r\n",
    );
    let token = || site.post("/oauth/token");
    let transports: [(&str, Ask<'_>); 10] = [
        ("a form", token().text(FORM, form.clone())),
        ("a form with a charset", token().text(&format!("{FORM}; charset=utf-8"), form.clone())),
        ("multipart", token().text("multipart/form-data; boundary=XX", quoted.clone())),
        ("multipart of .NET", token().text("multipart/form-data; boundary=\"XX\"", dotnet)),
        (
            "multipart and a scope header",
            token().header("scope", "x y").text("multipart/form-data; boundary=XX", quoted),
        ),
        ("the query", site.post(&format!("/oauth/token?{form}"))),
        ("doubled slashes", site.post(&format!("//oauth/token?{form}"))),
        (
            "the query and a form",
            site.post("/oauth/token?grant_type=client_credentials")
                .text(FORM, format!("client_id={id}&client_secret={secret}")),
        ),
        (
            "Basic",
            token().header("authorization", &basic).text(FORM, "grant_type=CLIENT_CREDENTIALS"),
        ),
        (
            "a body that wins over the query",
            site.post("/oauth/token?client_secret=wrong").text(FORM, form),
        ),
    ];
    for (name, ask) in transports {
        let answer = ask.send().await;
        assert_eq!(answer.status, StatusCode::OK, "{name}: {}", answer.text);
        assert_eq!(answer.headers["cache-control"], "no-store", "{name}");
        let token = answer.body["access_token"].as_str().unwrap();
        site.get(PROBE).token(token).send().await.assert(StatusCode::NOT_FOUND);
    }
}

async fn a_token_says_what_the_contract_says(site: Site) {
    let abby = site.person("abby", &[Level::OrgAdmin]).await;
    let pat = site.personal_access_token(&abby).await;
    let answer = site.post("/oauth/token").text(FORM, credentials(&pat)).send().await;
    let body = &answer.body;
    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["expires_in"], 43_200);
    assert_eq!(body["scope"], "sp:scopes:all");
    assert_eq!(body["accessType"], "OFFLINE");
    assert_eq!(body["identity_id"], abby.id.as_str());
    assert!(body["user_id"].is_string());
    assert!(body.get("refresh_token").is_none());

    let (header, claims) = parts(body["access_token"].as_str().unwrap());
    let mut members: Vec<_> = header.as_object().unwrap().keys().cloned().collect();
    members.sort();
    assert_eq!(members, ["alg", "kid", "typ"]);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("JWT")));
    assert_eq!(claims["authorities"], json!(["ORG_ADMIN"]));
    assert_eq!(claims["user_name"], "abby");
    assert_eq!(claims["identity_id"], abby.id.as_str());
    assert_eq!(claims["client_id"], pat.id.as_str());
    assert_eq!(claims["scope"], json!(["sp:scopes:all"]));
    assert_eq!(claims["jti"], body["jti"]);
    assert_eq!(claims["tenant_id"], body["tenant_id"]);
    for name in
        ["pod", "org", "strong_auth", "internal", "accessType", "enabled", "exp", "iat", "iss"]
    {
        assert!(claims.get(name).is_some(), "{name}");
    }
}

async fn an_api_client_speaks_for_nobody(site: Site) {
    let portal = site.api_client().await;
    let answer = site.post("/oauth/token").text(FORM, credentials(&portal)).send().await;
    answer.assert(StatusCode::OK);
    assert_eq!(answer.body["expires_in"], 750);
    let (_, claims) = parts(answer.body["access_token"].as_str().unwrap());
    for about in [&answer.body, &claims] {
        assert!(about.get("identity_id").is_none() && about.get("user_id").is_none());
    }
    assert_eq!(claims["authorities"], json!(["API"]));
}

async fn wrong_requests_are_refused_in_oauths_words(site: Site) {
    let portal = site.api_client().await;
    let Created { id, secret } = &portal;
    let good = credentials(&portal);
    let (json, form) = ("application/json", FORM);
    let cases = [
        (form, good.replace(secret.as_str(), &"0".repeat(64)), 401, "invalid_client"),
        (form, good.replace(id.as_str(), &"0".repeat(32)), 401, "invalid_client"),
        (form, format!("grant_type=client_credentials&client_id={id}"), 401, "invalid_client"),
        (form, good.replace("client_credentials", "password"), 400, "unsupported_grant_type"),
        (form, good.replace("client_credentials", "refresh_token"), 400, "unsupported_grant_type"),
        (form, format!("client_id={id}&client_secret={secret}"), 400, "invalid_request"),
        (form, "grant_type=client_credentials".into(), 400, "invalid_request"),
        (form, format!("{good}&client_id={id}"), 400, "invalid_request"),
        (json, "{\"grant_type\":\"client_credentials\"}".into(), 400, "invalid_request"),
        ("multipart/form-data", good.clone(), 400, "invalid_request"),
        ("multipart/form-data; boundary=XX", good.clone(), 400, "invalid_request"),
        ("multipart/form-data; boundary=XX", "--XX\r\n".into(), 400, "invalid_request"),
        ("nonsense", good.clone(), 400, "invalid_request"),
        (form, String::new(), 400, "invalid_request"),
        (form, good.replace(id.as_str(), "%00"), 400, "invalid_request"),
        (form, format!("{good}&code=%FF%zz"), 200, ""),
    ];
    for (kind, body, status, error) in cases {
        let answer = site.post("/oauth/token").text(kind, body.clone()).send().await;
        assert_eq!(answer.status.as_u16(), status, "{kind} {body}: {}", answer.text);
        if status != 200 {
            assert_eq!(answer.body["error"], error, "{kind} {body}");
            assert!(answer.body["error_description"].is_string());
            assert_eq!(answer.headers["cache-control"], "no-store");
        }
    }
    let wrong = good.replace(secret.as_str(), "x");
    let answer = site.post("/oauth/token").text(form, wrong).send().await;
    let exact = json!({"error": "invalid_client", "error_description": "Bad client credentials"});
    assert_eq!(answer.body, exact);
    let large = "x".repeat(17 * 1024);
    let answer = site.post("/oauth/token").text(form, large).send().await;
    answer.assert(StatusCode::PAYLOAD_TOO_LARGE);
    site.get("/oauth/token").send().await.assert(StatusCode::METHOD_NOT_ALLOWED);
}

async fn a_request_without_a_good_token_is_401(site: Site) {
    let portal = site.api_client().await;
    let good = site.token_of(&portal).await;
    let (head, rest) = good.split_once('.').unwrap();
    let none = BASE64_URL_SAFE_NO_PAD.encode("{\"alg\":\"none\",\"typ\":\"JWT\"}");
    let symmetric =
        BASE64_URL_SAFE_NO_PAD.encode("{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"x\"}");
    for path in [PROBE, "/no/such/path"] {
        for header in [None, Some("Bearer"), Some("Bearer "), Some("Basic eDp5"), Some("")] {
            let ask = site.get(path);
            let ask = header.into_iter().fold(ask, |ask, value| ask.header("authorization", value));
            let answer = ask.send().await;
            answer.assert(StatusCode::UNAUTHORIZED);
            assert_eq!(answer.body, json!({"error": "JWT is required"}), "{header:?}");
        }
        let forged = [
            "garbage".to_owned(),
            "a.b.c".to_owned(),
            format!("{none}.{rest}"),
            format!("{symmetric}.{rest}"),
            format!("{head}.{}", rest.replace('.', "x.")),
            format!("{good}x"),
        ];
        for token in forged {
            let answer = site.get(path).token(&token).send().await;
            answer.assert(StatusCode::UNAUTHORIZED);
            let error = answer.body["error"].as_str().unwrap();
            assert!(error.starts_with("JWT validation failed: "), "{error}");
        }
    }
    site.get("/no/such/path").token(&good).send().await.assert(StatusCode::NOT_FOUND);
}

async fn a_token_ends_at_its_time(site: Site) {
    let portal = site.api_client().await;
    let token = site.token_of(&portal).await;
    site.app.clock.turn(Duration::from_secs(740));
    site.get(PROBE).token(&token).send().await.assert(StatusCode::NOT_FOUND);
    site.app.clock.turn(Duration::from_secs(11));
    let answer = site.get(PROBE).token(&token).send().await;
    answer.assert(StatusCode::UNAUTHORIZED);
    assert_eq!(answer.body, json!({"error": "JWT validation failed: JWT is expired"}));

    let abby = site.person("abby", &[]).await;
    let soon = site.app.clock.now().plus(Duration::from_secs(100));
    let pat =
        client::create_personal_access_token(&site.app, &abby, "t", vec![], 43_200, Some(soon));
    let pat = pat.await.unwrap();
    let answer = site.post("/oauth/token").text(FORM, credentials(&pat)).send().await;
    assert!(answer.body["expires_in"].as_i64().unwrap() <= 100, "{}", answer.text);
    site.app.clock.turn(Duration::from_secs(101));
    let answer = site.post("/oauth/token").text(FORM, credentials(&pat)).send().await;
    answer.assert(StatusCode::UNAUTHORIZED);
}

async fn a_token_ends_with_its_client(site: Site) {
    let portal = site.api_client().await;
    let token = site.token_of(&portal).await;
    site.get(PROBE).token(&token).send().await.assert(StatusCode::NOT_FOUND);
    client::delete(&site.app, &portal.id, "test").await.unwrap();
    site.get(PROBE).token(&token).send().await.assert(StatusCode::UNAUTHORIZED);
    let answer = site.post("/oauth/token").text(FORM, credentials(&portal)).send().await;
    answer.assert(StatusCode::UNAUTHORIZED);
}

async fn a_token_ends_with_its_person(site: Site) {
    let mut abby = site.person("abby", &[]).await;
    let pat = site.personal_access_token(&abby).await;
    let token = site.token_of(&pat).await;
    abby.generation += 1;
    let row = abby.clone();
    site.write(move |tx| Ok(tx.update_identity(&row)?)).await;
    site.get(PROBE).token(&token).send().await.assert(StatusCode::UNAUTHORIZED);

    let token = site.token_of(&pat).await;
    site.get(PROBE).token(&token).send().await.assert(StatusCode::NOT_FOUND);
    abby.enabled = false;
    let row = abby.clone();
    site.write(move |tx| Ok(tx.update_identity(&row)?)).await;
    site.get(PROBE).token(&token).send().await.assert(StatusCode::UNAUTHORIZED);
    let answer = site.post("/oauth/token").text(FORM, credentials(&pat)).send().await;
    answer.assert(StatusCode::UNAUTHORIZED);
}

async fn a_scope_is_narrowed_and_never_widened(site: Site) {
    let abby = site.person("abby", &[]).await;
    let scope = vec!["idn:password-info:read".to_owned(), "idn:password-change:read".to_owned()];
    let pat = client::create_personal_access_token(&site.app, &abby, "t", scope, 43_200, None);
    let form = credentials(&pat.await.unwrap());
    let ask = |scope: &str| site.post("/oauth/token").text(FORM, format!("{form}&scope={scope}"));
    let answer = ask("idn:password-info:read").send().await;
    assert_eq!(answer.body["scope"], "idn:password-info:read");
    let token = answer.body["access_token"].as_str().unwrap();
    site.get(PROBE).token(token).send().await.assert(StatusCode::FORBIDDEN);
    let answer = ask("idn:password-info:read+sp:scopes:all").send().await;
    answer.assert(StatusCode::BAD_REQUEST);
    assert_eq!(answer.body["error"], "invalid_scope");
}

async fn nodes_that_start_at_once_agree(site: Site) {
    let node = || {
        let app = &site.app;
        App::new(Config::default(), app.store.clone(), app.sealer.clone(), app.clock.clone())
    };
    site.write(|tx| {
        tx.run("DELETE FROM setting", &[])?;
        Ok(tx.run("DELETE FROM signing_key", &[])?)
    })
    .await;
    let (one, two, three) = tokio::join!(node(), node(), node());
    let (one, two, three) = (one.unwrap(), two.unwrap(), three.unwrap());
    let keys = site.write(|tx| Ok(tx.signing_keys()?.len())).await;
    assert_eq!(keys, 1);
    let grants = vec![GrantType::ClientCredentials];
    let made = client::create_api_client(&one, "c", grants, vec![], vec![], 750, false);
    let Created { id, secret } = made.await.unwrap();
    let credentials = Credentials { id, secret: Some(secret) };
    let issued = grant::client_credentials(&two, &credentials, None).await.unwrap();
    for app in [one, two, three] {
        assert_eq!(app.tokens.caller(&issued.token).await.unwrap().client_id, credentials.id);
        assert_eq!(app.tokens.tenant_id(), issued.claims.tenant_id);
    }
}

async fn a_client_has_its_rate(site: Site) {
    let app = &site.app;
    let app = App::new(Config::default(), app.store.clone(), app.sealer.clone(), app.clock.clone());
    let router = rekey::http::api::router(app.await.unwrap());
    let portal = site.api_client().await;
    let token = site.token_of(&portal).await;
    let ask = || {
        let request = Request::get("/nothing").header("host", "localhost");
        let request = request.header("authorization", format!("Bearer {token}"));
        router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap())
    };
    for _ in 0..100 {
        assert_eq!(ask().await.unwrap().status(), StatusCode::NOT_FOUND);
    }
    let mut refused = ask().await.unwrap();
    while refused.status() == StatusCode::NOT_FOUND {
        refused = ask().await.unwrap();
    }
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "1");
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "{\"message\":\" Rate Limit Exceeded \"}");
}

async fn failures_are_throttled_and_the_rightful_are_not(site: Site) {
    let portal = site.api_client().await;
    let wrong = credentials(&portal).replace(&portal.secret, "x");
    let mut answered = 0;
    let refused = loop {
        let answer = site.post("/oauth/token").text(FORM, wrong.clone()).send().await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            break answer;
        }
        answer.assert(StatusCode::UNAUTHORIZED);
        answered += 1;
        assert!(answered < 1000);
    };
    assert!(answered >= 50, "{answered}");
    assert_eq!(refused.headers["retry-after"], "1");
    site.token_of(&portal).await;
}

async fn the_rest_is_open(site: Site) {
    for path in ["/healthz", "/readyz", "/", "/sign-in", "/style.css"] {
        site.get(path).send().await.assert(StatusCode::OK);
    }
    let info = site.get("/oauth/info").send().await;
    info.assert(StatusCode::OK);
    let base = site.app.config.base_url();
    assert_eq!(info.body["tenantId"], site.app.tokens.tenant_id());
    assert_eq!(info.body["tokenEndpoint"], format!("{base}/oauth/token"));
    assert_eq!(info.body["authorizeEndpoint"], format!("{base}/oauth/authorize"));
    for name in ["tenantName", "cloudDomainUrl", "logoutUrl", "pod"] {
        assert!(info.body[name].is_string(), "{name}");
    }
}

fn multipart(fields: &[(&str, &str)], disposition: impl Fn(&str) -> String, more: &str) -> String {
    let part = |(name, value): &(&str, &str)| {
        let disposition = disposition(name);
        format!("--XX\r\n{more}Content-Disposition: {disposition}\r\n\r\n{value}\r\n")
    };
    fields.iter().map(part).collect::<String>() + "--XX--\r\n"
}

/// The header and the claims of a token, unverified.
fn parts(token: &str) -> (Value, Value) {
    let segments: Vec<_> = token.split('.').collect();
    assert_eq!(segments.len(), 3);
    let part = |at: usize| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(segments[at]).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    (part(0), part(1))
}
