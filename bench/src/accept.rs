//! Durable accepts per second.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use rekey::{
    access::Level,
    account::Account,
    clock::Clock,
    id::{AccountId, IdentityId},
    identity::Identity,
    keys::KeyPadding,
    source::IDENTITY_NOW,
    store::{Json, Store},
};
use rekey_vault::Padding;

use rekey_drive::{Place, Result, Server, http};

use crate::{number, place, row, seconds};

pub(crate) async fn run() -> Result<()> {
    let place = place()?;
    let accounts = number("REKEY_BENCH_ACCOUNTS", 100_000);
    let filled = fill(&place, accounts).await?;
    let server = Server::start(&place, &[("REKEY_CHANGES__WORKERS", "0")]).await?;
    let idle = server.resident()?;

    let health = http::request("GET", "/healthz", "", "");
    let health: Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync> = Arc::new(move |_| health.clone());
    http::load(&server.address, 64, seconds() / 5, 200, health.clone()).await?;
    let whole = http::load(&server.address, 64, seconds(), 200, health).await?;
    row("GET /healthz, 64 connections", whole, None);

    let headers = server.headers();
    let next: Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync> = Arc::new(move |number| {
        let who = number % accounts;
        let body = format!(
            r#"{{"identityId":"{who:032x}","encryptedPassword":"{}","publicKeyId":"{}","accountId":"p{who}","sourceId":"{}"}}"#,
            ciphertext(number),
            filled.key,
            filled.source,
        );
        http::request("POST", "/v3/set-password", &headers, &body)
    });
    let spent = server.processor_seconds()?;
    let accepts = http::load(&server.address, 64, seconds(), 202, next).await?;
    let spent = server.processor_seconds()? - spent;
    row(&format!("POST /set-password, durable, {accounts} accounts"), accepts, Some(whole));
    println!(
        "  processor per accept {:.0} us; resident {} MiB idle, {} MiB after",
        spent * 1e6 / (accepts * seconds().as_secs_f64()),
        idle / 1024,
        server.resident()? / 1024
    );
    Ok(())
}

struct Filled {
    source: String,
    key: String,
}

/// People with an account each on the built-in source.
async fn fill(place: &Place, accounts: u64) -> Result<Filled> {
    let store = Store::open(&place.store_url(), Clock::default()).await?;
    let source =
        store.read(|tx| tx.source_named(IDENTITY_NOW)).await?.ok_or("no built-in source")?;
    let padding = KeyPadding(Padding::Pkcs1v15);
    let id = source.id.clone();
    let key = store.read(move |tx| tx.active_source_key(&id, padding)).await?.ok_or("no key")?;
    for from in (0..accounts).step_by(5000) {
        let id = source.id.clone();
        store
            .write(move |tx| {
                let now = tx.now()?;
                for who in from..(from + 5000).min(accounts) {
                    let identity_id = IdentityId(format!("{who:032x}"));
                    tx.insert_identity(&Identity {
                        id: identity_id.clone(),
                        alias: format!("p{who}"),
                        name: format!("Person {who}"),
                        email: None,
                        capabilities: Json(Vec::<Level>::new()),
                        attributes: Json::default(),
                        enabled: true,
                        generation: 0,
                        created: now,
                        modified: now,
                    })?;
                    tx.insert_account(&Account {
                        id: AccountId::new(),
                        source_id: id.clone(),
                        identity_id: Some(identity_id),
                        native_identity: format!("p{who}"),
                        name: format!("Person {who}"),
                        attributes: Json::default(),
                        disabled: false,
                        locked: false,
                        created: now,
                        modified: now,
                    })?;
                }
                Ok::<_, rekey::Error>(())
            })
            .await?;
    }
    store.close().await;
    Ok(Filled { source: source.id.to_string(), key: key.id.to_string() })
}

/// A value of the key's size below its modulus, another for every number: nothing decrypts it here.
fn ciphertext(number: u64) -> String {
    let mut bytes = [0x5a_u8; 256];
    let (head, tail) = bytes.split_at_mut(1);
    head.fill(0);
    for (place, byte) in tail.iter_mut().zip(number.to_be_bytes()) {
        *place = byte;
    }
    BASE64_STANDARD.encode(bytes)
}
