//! A person signs in, and an application gets a token that acts for that person.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use form_urlencoded::Serializer;
use hyper::StatusCode;
use rekey::{
    bootstrap,
    client::{self, Created},
    model::{client::GrantType, identity::Identity},
    sign_in::Network,
};
use rekey_vault::Password;

use crate::{
    people::FORM,
    site::{Answer, Site, on_both_stores},
};

on_both_stores!(
    a_person_signs_in_for_a_public_application,
    a_confidential_application_shows_its_secret,
    a_code_serves_once,
    a_code_serves_its_own_request_only,
    wrong_names_and_wrong_passwords_read_alike,
    a_name_that_fails_is_locked_for_a_moment,
    whoever_may_not_sign_in_is_told_so_on_the_beat,
    nobody_is_sent_to_a_strange_address,
    other_mistakes_go_back_to_the_application,
    a_form_from_another_site_is_refused,
    the_administrator_is_asked_to_change_the_first_password,
);

pub(crate) const BACK: &str = "http://127.0.0.1:7777/cb";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const WORD: &str = "correct horse";
pub(crate) const PROBE: &str = "/v3/password-change-status/none";

async fn a_person_signs_in_for_a_public_application(site: Site) {
    let abby = abby(&site).await;
    let app = application(&site, true).await;
    assert!(app.secret.is_empty());
    let asked = ask(&app);
    let page = site.get(&format!("/oauth/authorize?{}", form(&asked))).send().await;
    page.assert(StatusCode::OK);
    assert!(
        page.text.contains("an &lt;app&gt;") || page.text.contains("an &#60;app&#62;"),
        "{}",
        page.text
    );
    assert!(page.text.contains("name=\"password\""), "{}", page.text);
    assert!(page.text.contains("name=\"state\" value=\"a b&"), "{}", page.text);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(policy.contains("form-action 'self' http://127.0.0.1:7777;"), "{policy}");

    let back = sign_in(&site, &asked, "ABBY", WORD).await;
    back.assert(StatusCode::FOUND);
    let to = back.headers["location"].to_str().unwrap();
    assert!(to.starts_with(&format!("{BACK}?code=")), "{to}");
    assert_eq!(parameter(to, "state").as_deref(), Some("a b&\"<c>"));
    assert_eq!(parameter(to, "iss"), Some(site.app.config.base_url()));

    let token = exchange(&site, &app, to, &[("code_verifier", VERIFIER)]).await;
    token.assert(StatusCode::OK);
    assert_eq!(token.body["identity_id"], abby.id.as_str());
    assert_eq!(token.body["expires_in"], 750);
    let token = token.body["access_token"].as_str().unwrap();
    let caller = site.app.tokens.caller(token).await.unwrap();
    assert_eq!((caller.identity_id, caller.name.as_str()), (Some(abby.id), "abby"));
    let word = format!("client_id={}&grant_type=client_credentials", app.id);
    let none = site.post("/oauth/token").text(FORM, word).send().await;
    none.assert(StatusCode::UNAUTHORIZED);
}

async fn a_confidential_application_shows_its_secret(site: Site) {
    abby(&site).await;
    let app = application(&site, false).await;
    let mut asked = ask(&app);
    asked.retain(|(name, _)| !name.starts_with("code_challenge"));
    let code = |back: Answer| back.headers["location"].to_str().unwrap().to_owned();
    let to = code(sign_in(&site, &asked, "abby", WORD).await);
    let secret = app.secret.clone();
    exchange(&site, &app, &to, &[]).await.assert(StatusCode::UNAUTHORIZED);
    exchange(&site, &app, &to, &[("client_secret", "x")]).await.assert(StatusCode::UNAUTHORIZED);
    let downgrade = [("client_secret", secret.as_str()), ("code_verifier", VERIFIER)];
    exchange(&site, &app, &to, &downgrade).await.assert(StatusCode::BAD_REQUEST);
    exchange(&site, &app, &to, &[("client_secret", &secret)]).await.assert(StatusCode::OK);
}

async fn a_code_serves_once(site: Site) {
    abby(&site).await;
    let app = application(&site, true).await;
    let back = sign_in(&site, &ask(&app), "abby", WORD).await;
    let to = back.headers["location"].to_str().unwrap();
    let proof = [("code_verifier", VERIFIER)];
    let first = exchange(&site, &app, to, &proof).await;
    first.assert(StatusCode::OK);
    let token = first.body["access_token"].as_str().unwrap();
    site.get(PROBE).token(token).send().await.assert(StatusCode::NOT_FOUND);

    let second = exchange(&site, &app, to, &proof).await;
    second.assert(StatusCode::BAD_REQUEST);
    assert_eq!(second.body["error"], "invalid_grant");
    site.get(PROBE).token(token).send().await.assert(StatusCode::UNAUTHORIZED);
}

async fn a_code_serves_its_own_request_only(site: Site) {
    abby(&site).await;
    let app = application(&site, true).await;
    let other = application(&site, true).await;
    let back = sign_in(&site, &ask(&app), "abby", WORD).await;
    let to = back.headers["location"].to_str().unwrap();
    let proof = [("code_verifier", VERIFIER)];
    let wrong = [("code_verifier", "another-verifier-of-at-least-43-characters-x")];
    let elsewhere = to.replace("7777", "7778");
    for answer in [
        exchange(&site, &other, to, &proof).await,
        exchange(&site, &app, to, &wrong).await,
        exchange(&site, &app, to, &[]).await,
        exchange(&site, &app, &elsewhere, &proof).await,
        exchange(&site, &app, &format!("{BACK}?code=none"), &proof).await,
    ] {
        answer.assert(StatusCode::BAD_REQUEST);
        assert_eq!(answer.body["error"], "invalid_grant");
    }
    site.app.clock.turn(Duration::from_secs(61));
    let late = exchange(&site, &app, to, &proof).await;
    late.assert(StatusCode::BAD_REQUEST);
    assert_eq!(late.body["error_description"], "the code has expired");
}

async fn wrong_names_and_wrong_passwords_read_alike(site: Site) {
    abby(&site).await;
    let app = application(&site, true).await;
    let asked = ask(&app);
    let known = sign_in(&site, &asked, "abby", "wrong").await;
    let unknown = sign_in(&site, &asked, "nobody", "wrong").await;
    known.assert(StatusCode::FORBIDDEN);
    unknown.assert(StatusCode::FORBIDDEN);
    assert_eq!(known.text.replace("abby", "nobody"), unknown.text);
    assert!(!known.text.contains("wrong"));
    assert!(known.text.contains("aria-live"));
    let bare = sign_in(&site, &[], "nobody", "wrong").await;
    bare.assert(StatusCode::FORBIDDEN);
}

async fn a_name_that_fails_is_locked_for_a_moment(site: Site) {
    let mut abby = abby(&site).await;
    let says = async |word: &str| {
        site.app
            .sign_ins
            .sign_in(Network::LOCAL, "abby", Password::new(word.into()))
            .await
            .unwrap()
            .is_some()
    };
    assert!(says(WORD).await);
    assert!(!says("wrong").await);
    assert!(!says(WORD).await, "locked");
    site.app.clock.turn(Duration::from_secs(1));
    assert!(says(WORD).await);
    abby.enabled = false;
    site.write(move |tx| Ok(tx.update_identity(&abby)?)).await;
    assert!(!says(WORD).await, "disabled");
}

/// An immediate refusal would distinguish an unknown name from a wrong password.
async fn whoever_may_not_sign_in_is_told_so_on_the_beat(site: Site) {
    abby(&site).await;
    for (who, word) in [("nobody", WORD), ("abby", "wrong"), ("abby", WORD)] {
        let asked = Instant::now();
        assert!(
            site.app
                .sign_ins
                .sign_in(Network::LOCAL, who, Password::new(word.into()))
                .await
                .unwrap()
                .is_none()
        );
        assert!(asked.elapsed() >= Duration::from_millis(50), "{who}");
    }
}

async fn nobody_is_sent_to_a_strange_address(site: Site) {
    let app = application(&site, true).await;
    let good = ask(&app);
    let changed = |name: &str, value: &str| {
        let mut asked = good.clone();
        asked.retain(|(known, _)| *known != name);
        asked.push((if name == "client_id" { "client_id" } else { "redirect_uri" }, value.into()));
        form(&asked)
    };
    let cases = [
        changed("client_id", "nobody"),
        changed("redirect_uri", "http://127.0.0.1:7777/cb/"),
        changed("redirect_uri", "https://evil.example/"),
        changed("redirect_uri", ""),
        form(&good) + "&redirect_uri=https://evil.example/",
    ];
    for query in cases {
        for answer in [
            site.get(&format!("/oauth/authorize?{query}")).send().await,
            site.post("/sign-in").text(FORM, query.clone()).send().await,
        ] {
            answer.assert(StatusCode::BAD_REQUEST);
            assert!(answer.headers.get("location").is_none(), "{query}");
            assert!(!answer.text.contains("evil"), "{query}");
        }
    }
}

async fn other_mistakes_go_back_to_the_application(site: Site) {
    let app = application(&site, true).await;
    let good = ask(&app);
    for (name, value, error) in [
        ("response_type", Some("token"), "unsupported_response_type"),
        ("response_type", None, "invalid_request"),
        ("code_challenge", None, "invalid_request"),
        ("code_challenge", Some("short"), "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
        ("scope", Some("sp:everything"), "invalid_scope"),
    ] {
        let mut asked = good.clone();
        asked.retain(|(known, _)| *known != name);
        asked.extend(value.map(|value| (name, value.to_owned())));
        let answer = site.get(&format!("/oauth/authorize?{}", form(&asked))).send().await;
        answer.assert(StatusCode::FOUND);
        let to = answer.headers["location"].to_str().unwrap();
        assert!(to.starts_with(BACK), "{to}");
        assert_eq!(parameter(to, "error").as_deref(), Some(error), "{name} {value:?}");
        assert_eq!(parameter(to, "state").as_deref(), Some("a b&\"<c>"));
        assert!(parameter(to, "code").is_none());
    }
}

async fn a_form_from_another_site_is_refused(site: Site) {
    abby(&site).await;
    let body = format!("userName=abby&password={WORD}");
    let send = |name: &str, value: &str| {
        site.post("/sign-in").header(name, value).text(FORM, body.clone()).send()
    };
    send("sec-fetch-site", "cross-site").await.assert(StatusCode::FORBIDDEN);
    send("sec-fetch-site", "same-site").await.assert(StatusCode::FORBIDDEN);
    send("origin", "https://evil.example").await.assert(StatusCode::FORBIDDEN);
    send("origin", "null").await.assert(StatusCode::FORBIDDEN);
    send("sec-fetch-site", "same-origin").await.assert(StatusCode::OK);
    send("origin", &site.app.config.base_url()).await.assert(StatusCode::OK);
}

async fn the_administrator_is_asked_to_change_the_first_password(site: Site) {
    let first = bootstrap::first_start(&site.app).await.unwrap().unwrap();
    site.with_people(&["abby"]).await;
    site.give_password("abby", WORD).await;
    let app = application(&site, true).await;
    let asked = ask(&app);
    sign_in(&site, &asked, "abby", WORD).await.assert(StatusCode::FOUND);
    sign_in(&site, &[], "abby", WORD).await.assert(StatusCode::OK);
    let wrong = sign_in(&site, &asked, "admin", "wrong").await;
    assert!(!wrong.text.contains("bootstrap.json"), "{}", wrong.text);
    site.app.clock.turn(Duration::from_secs(1));

    let page = sign_in(&site, &asked, "ADMIN", &first.admin_password).await;
    page.assert(StatusCode::OK);
    assert!(page.headers.get("location").is_none());
    for says in ["first password", "bootstrap.json", "IdentityNow", "set-password", "Continue"] {
        assert!(page.text.contains(says), "{says}: {}", page.text);
    }
    assert!(!page.text.contains(&first.admin_password));
    let (_, link) = page.text.split_once("class=\"go\" href=\"").unwrap();
    let to = link.split_once('"').unwrap().0.replace("&#38;", "&").replace("&amp;", "&");
    assert_eq!(parameter(&to, "state").as_deref(), Some("a b&\"<c>"));
    let proof = [("code_verifier", VERIFIER)];
    exchange(&site, &app, &to, &proof).await.assert(StatusCode::OK);
    exchange(&site, &app, &to, &proof).await.assert(StatusCode::BAD_REQUEST);
    let bare = sign_in(&site, &[], "admin", &first.admin_password).await;
    bare.assert(StatusCode::OK);
    assert!(bare.text.contains("bootstrap.json") && !bare.text.contains("Continue"));

    let program = site.api_client().await;
    let token = site.token_of(&program).await;
    let new = "another-1-word";
    let accepted = site.set_password(&token, "admin", "IdentityNow", new).await;
    assert_eq!(site.ended(&token, &accepted).await["state"], "FINISHED");
    sign_in(&site, &asked, "admin", new).await.assert(StatusCode::FOUND);
    let bare = sign_in(&site, &[], "admin", new).await;
    assert!(!bare.text.contains("bootstrap.json"), "{}", bare.text);
}

pub(crate) async fn abby(site: &Site) -> Identity {
    let abby = site.person("abby", &[]).await;
    site.give_password("abby", WORD).await;
    abby
}

async fn application(site: &Site, public: bool) -> Created {
    let grants = vec![GrantType::AuthorizationCode];
    let scope = vec!["idn:password-change:read".to_owned()];
    let back = vec![BACK.to_owned()];
    client::create_api_client(&site.app, "an <app>", grants, back, scope, 750, public)
        .await
        .unwrap()
}

pub(crate) type Asked = Vec<(&'static str, String)>;

pub(crate) fn ask(app: &Created) -> Asked {
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(rekey_vault::sha256(VERIFIER.as_bytes()));
    vec![
        ("client_id", app.id.to_string()),
        ("response_type", "code".into()),
        ("redirect_uri", BACK.into()),
        ("state", "a b&\"<c>".into()),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256".into()),
    ]
}

pub(crate) fn form(pairs: &[(&str, String)]) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Sends the sign-in form as a browser does.
pub(crate) async fn sign_in(
    site: &Site,
    asked: &[(&'static str, String)],
    who: &str,
    word: &str,
) -> Answer {
    let mut fields = asked.to_vec();
    fields.extend([("userName", who.to_owned()), ("password", word.to_owned())]);
    site.post("/sign-in")
        .header("sec-fetch-site", "same-origin")
        .text(FORM, form(&fields))
        .send()
        .await
}

pub(crate) async fn exchange(
    site: &Site,
    app: &Created,
    to: &str,
    more: &[(&str, &str)],
) -> Answer {
    let (back, _) = to.split_once('?').unwrap();
    let code = parameter(to, "code").unwrap();
    let mut fields = vec![
        ("grant_type", "authorization_code".to_owned()),
        ("client_id", app.id.to_string()),
        ("code", code),
        ("redirect_uri", back.to_owned()),
    ];
    fields.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    site.post("/oauth/token").text(FORM, form(&fields)).send().await
}

fn parameter(uri: &str, name: &str) -> Option<String> {
    let (_, query) = uri.split_once('?')?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}
