//! Tokens and codes from a sign-in become invalid when that password changes.

use std::time::Duration;

use hyper::StatusCode;
use rekey::{
    App,
    client::{self, Created},
    config::Config,
    http::serve::Bounds,
    model::client::GrantType,
    source::{self, NewSource},
};
use serde_json::Map;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    sign_in::{BACK, PROBE, VERIFIER, WORD, abby, ask, exchange, sign_in},
    site::{Answer, Site, on_both_stores},
};

on_both_stores!(
    a_new_password_ends_the_tokens_of_a_sign_in,
    a_new_password_elsewhere_ends_none,
    an_old_sign_in_does_not_change_the_password,
);

const NEW: &str = "another-1-word";
const PROOF: [(&str, &str); 1] = [("code_verifier", VERIFIER)];

async fn a_new_password_ends_the_tokens_of_a_sign_in(site: Site) {
    let abby = abby(&site).await;
    let program = site.api_client().await;
    let program = site.token_of(&program).await;
    let personal = site.personal_access_token(&abby).await;
    let personal = site.token_of(&personal).await;
    let app = application(&site).await;
    let token = token_of_sign_in(&site, &app, WORD).await;
    let unused = code_of_sign_in(&site, &app, WORD).await;
    let other_node = node(&site, Config::default()).await;
    for node in [&site, &other_node] {
        assert!(is_good(node, &token).await);
    }

    let accepted = site.set_password(&program, "abby", "IdentityNow", NEW).await;
    assert_eq!(site.ended(&program, &accepted).await["state"], "FINISHED");
    for node in [&site, &other_node] {
        let refused = node.get(PROBE).token(&token).send().await;
        refused.assert(StatusCode::UNAUTHORIZED);
        assert!(refused.text.contains("the password was changed"), "{}", refused.text);
        assert!(is_good(node, &personal).await && is_good(node, &program).await);
    }
    let late = exchange(&site, &app, &unused, &PROOF).await;
    late.assert(StatusCode::BAD_REQUEST);
    let why = "the password was changed after the sign-in: sign in again";
    assert_eq!(late.body["error_description"], why);
    let again = token_of_sign_in(&site, &app, NEW).await;
    assert!(is_good(&other_node, &again).await);
}

async fn a_new_password_elsewhere_ends_none(site: Site) {
    let abby = abby(&site).await;
    let elsewhere = NewSource {
        name: "Elsewhere".into(),
        description: None,
        connector: rekey::model::source::BUILT_IN.into(),
        owner_id: abby.id.clone(),
        features: vec!["PASSWORD".into()],
        connector_attributes: Map::new(),
        extra: Map::new(),
        policy_id: None,
        deadline: None,
    };
    source::create(&site.app, elsewhere, "test").await.unwrap();
    let program = site.api_client().await;
    let program = site.token_of(&program).await;
    let app = application(&site).await;
    let token = token_of_sign_in(&site, &app, WORD).await;
    let accepted = site.set_password(&program, "abby", "Elsewhere", NEW).await;
    assert_eq!(site.ended(&program, &accepted).await["state"], "FINISHED");
    assert!(is_good(&site, &token).await);
}

async fn an_old_sign_in_does_not_change_the_password(site: Site) {
    let abby = abby(&site).await;
    let mut config = Config::default();
    config.changes.self_change_requires_recent_auth = Duration::from_mins(5);
    let strict = node(&site, config).await;
    let app = application(&site).await;
    let personal = site.personal_access_token(&abby).await;
    let personal = site.token_of(&personal).await;
    let token = token_of_sign_in(&site, &app, WORD).await;
    site.app.clock.turn(Duration::from_secs(301));

    let refused = strict.set_password(&token, "abby", "IdentityNow", NEW).await;
    refused.assert(StatusCode::FORBIDDEN);
    assert!(refused.error().1.contains("sign in again"), "{}", refused.text);
    let fresh = token_of_sign_in(&site, &app, WORD).await;
    for token in [&fresh, &personal] {
        let accepted = strict.set_password(token, "abby", "IdentityNow", NEW).await;
        assert_eq!(site.ended(&personal, &accepted).await["state"], "FINISHED");
    }
    let lax = token_of_sign_in(&site, &app, NEW).await;
    site.app.clock.turn(Duration::from_secs(301));
    site.set_password(&lax, "abby", "IdentityNow", WORD).await.assert(StatusCode::ACCEPTED);
}

/// Another node on the same store, which only serves the API.
async fn node(site: &Site, mut config: Config) -> Site {
    config.limits.requests_per_10s = 0;
    let parts = &site.app;
    let (store, sealer, clock) = (parts.store.clone(), parts.sealer.clone(), parts.clock.clone());
    let app = App::new(config, store, sealer, clock).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = watch::channel(false);
    let router = rekey::http::api::router(app.clone());
    tokio::spawn(rekey::http::serve::answer(router, listener, Bounds::default(), stopped));
    Site::behind(base, app, site.store_url.clone(), site.folder.clone(), stop)
}

/// Whether a token is accepted: the requested object does not exist, so a valid token gets a 404.
async fn is_good(site: &Site, token: &str) -> bool {
    let Answer { status, .. } = site.get(PROBE).token(token).send().await;
    assert!([StatusCode::NOT_FOUND, StatusCode::UNAUTHORIZED].contains(&status), "{status}");
    status == StatusCode::NOT_FOUND
}

async fn application(site: &Site) -> Created {
    let (grants, back) = (vec![GrantType::AuthorizationCode], vec![BACK.to_owned()]);
    client::create_api_client(&site.app, "an app", grants, back, vec![], 750, true).await.unwrap()
}

async fn code_of_sign_in(site: &Site, app: &Created, word: &str) -> String {
    let back = sign_in(site, &ask(app), "abby", word).await;
    back.assert(StatusCode::FOUND);
    back.headers["location"].to_str().unwrap().to_owned()
}

async fn token_of_sign_in(site: &Site, app: &Created, word: &str) -> String {
    let to = code_of_sign_in(site, app, word).await;
    let token = exchange(site, app, &to, &PROOF).await;
    token.assert(StatusCode::OK);
    token.body["access_token"].as_str().unwrap().to_owned()
}
