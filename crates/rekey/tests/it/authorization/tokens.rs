//! Requests without a valid token, or with one that is no longer valid: always 401, before any
//! other check.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hyper::StatusCode;
use rekey::{
    App,
    config::Config,
    model::time::{Clock, Micros},
    store::Store,
    token::Grant,
};
use rekey_vault::{Kek, Sealer};
use serde_json::{Value, json};

use super::{
    table::{TABLE, Table},
    world::World,
};
use crate::site::{Site, on_both_stores};

on_both_stores!(a_token_that_is_none_opens_nothing);

async fn a_token_that_is_none_opens_nothing(site: Site) {
    let world = World::small(site, &[]).await;
    let table = Table::read(TABLE).unwrap();
    let mut tokens = ended(&world.site).await;
    tokens.extend(forged(&world.site).await);
    let tokens = tokens.into_iter().map(|(what, token)| (what, Some(format!("Bearer {token}"))));
    let none = [("none", None), ("no token", Some("Bearer ".to_owned()))];
    // The caller does not matter, only the header.
    let actor = &world.actors[0];
    for (what, header) in tokens.chain(none) {
        for block in &table.routes {
            for row in &block.rows {
                let before = world.deeds().await;
                let mut ask = world.ask(actor, "", block, &row.about, 0).without("authorization");
                if let Some(header) = &header {
                    ask = ask.header("authorization", header);
                }
                let answer = ask.send().await;
                let cell = format!("{what}: {} about {}", block.route, row.about);
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{cell}: {}", answer.text);
                assert!(answer.body["error"].as_str().unwrap().starts_with("JWT "), "{cell}");
                assert_eq!(world.deeds().await, before, "{cell}");
            }
        }
    }
}

/// Tokens that were valid once.
async fn ended(site: &Site) -> Vec<(&'static str, String)> {
    let mut tokens = Vec::new();
    for what in [
        "expired",
        "of a client that was disabled",
        "of a client that has ended",
        "of a client that was revoked",
        "of a client that is gone",
        "of a person who was disabled",
        "of a person who was revoked",
        "of a person who is gone",
    ] {
        let mut person =
            site.person(&what.replace(' ', "-"), &[rekey::model::level::Level::OrgAdmin]).await;
        let made = site.personal_access_token(&person).await;
        let mut client = site.write(move |tx| Ok(tx.client(&made.id)?.unwrap())).await;
        let now = site.app.clock.now();
        let at = if what == "expired" { Micros(now.0 - client.validity * 1_000_000) } else { now };
        let scope = vec![rekey::access::ALL.to_owned()];
        let grant = Grant { client: &client, identity: Some(&person), scope, code: None };
        let token = site.app.tokens.issue(grant, site.app.config.base_url(), at).unwrap().0;
        let probe = site.get("/v3/public-identities").token(&token).send().await;
        assert_eq!(probe.status == StatusCode::OK, what != "expired", "{what}: {}", probe.text);
        client.enabled = !what.ends_with("client that was disabled");
        client.expires = what.ends_with("has ended").then_some(now);
        client.generation += i64::from(what.ends_with("client that was revoked"));
        person.enabled = !what.ends_with("who was disabled");
        person.generation += i64::from(what.ends_with("who was revoked"));
        site.write(move |tx| {
            tx.update_client(&client)?;
            tx.update_identity(&person)?;
            if what.ends_with("client that is gone") {
                tx.delete_client(&client.id)?;
            }
            if what.ends_with("who is gone") {
                tx.remove_identity(&person)?;
            }
            Ok(())
        })
        .await;
        tokens.push((what, token));
    }
    tokens
}

/// Tokens that this installation never issued.
async fn forged(site: &Site) -> Vec<(&'static str, String)> {
    let person = site.person("forger", &[rekey::model::level::Level::OrgAdmin]).await;
    let made = site.personal_access_token(&person).await;
    let good = site.token_of(&made).await;
    let client = site.write(move |tx| Ok(tx.client(&made.id)?.unwrap())).await;
    let folder = tempfile::tempdir().unwrap();
    let other = another(folder.path()).await;
    let grant = || Grant {
        client: &client,
        identity: Some(&person),
        scope: vec![rekey::access::ALL.to_owned()],
        code: None,
    };
    let now = site.app.clock.now();
    let foreign = other.tokens.issue(grant(), site.app.config.base_url(), now).unwrap().0;
    let [header, claims, signature] = parts(&good);
    let [_, foreign_claims, foreign_signature] = parts(&foreign);
    let mut richer: Value = decoded(&claims);
    richer["exp"] = json!(i64::MAX);
    richer["identity_id"] = Value::Null;
    let mut kid = decoded(&header);
    let kid = std::mem::take(&mut kid["kid"]);
    let none = encoded(&json!({ "alg": "none", "typ": "JWT", "kid": kid }));
    let hmac = encoded(&json!({ "alg": "HS256", "typ": "JWT", "kid": kid }));
    let own_key = encoded(&json!({ "alg": "ES256", "typ": "JWT", "kid": kid,
        "jwk": { "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }, "jku": "http://127.0.0.1:1/" }));
    vec![
        ("of another installation", foreign),
        (
            "of another installation, under our key's name",
            format!("{header}.{foreign_claims}.{foreign_signature}"),
        ),
        ("with other claims", format!("{header}.{}.{signature}", encoded(&richer))),
        ("unsigned", format!("{none}.{claims}.")),
        ("signed by a shared secret", format!("{hmac}.{claims}.{signature}")),
        ("that brings its own key", format!("{own_key}.{claims}.{foreign_signature}")),
        ("cut short", good[..good.len() - 4].to_owned()),
        ("nonsense", "a.b.c".to_owned()),
    ]
}

/// A second rekey, with its own keys.
async fn another(folder: &std::path::Path) -> App {
    let clock = Clock::default();
    let url = folder.join("other.db").display().to_string();
    let store = Store::open(&url, clock.clone()).await.unwrap();
    let sealer = Sealer::new(Kek::create(&folder.join("other.key")).unwrap());
    App::new(Config::default(), store, sealer, clock).await.unwrap()
}

fn parts(token: &str) -> [String; 3] {
    let parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn encoded(part: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part.to_string())
}
