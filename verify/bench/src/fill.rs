//! People with one account each, inserted into a store directly.

use base64::{Engine, prelude::BASE64_STANDARD};
use rekey::{
    model::{
        account::Account, column::Json, id::IdentityId, identity::Identity, level::Level,
        source_key::KeyPadding, time::Clock,
    },
    store::Store,
};
use rekey_harness::{Place, Result, Server, http};
use rekey_vault::{Padding, PublicKey};

use crate::load::Next;

/// A source with the accounts `p0`, `p1`, and so on.
#[derive(Clone)]
pub(crate) struct Filled {
    source: String,
    key: String,
    spki: Vec<u8>,
    accounts: u64,
}

/// Inserts `accounts` people with an account each on the source named `source`.
pub(crate) async fn fill(place: &Place, source: &'static str, accounts: u64) -> Result<Filled> {
    let store = Store::open(&place.store_url(), Clock::default()).await?;
    let found = store.read(move |tx| tx.source_named(source)).await?;
    let id = found.ok_or_else(|| format!("no source {source}"))?.id;
    let of = id.clone();
    let padding = KeyPadding(Padding::Pkcs1v15);
    let key = store.read(move |tx| tx.active_source_key(&of, padding)).await?.ok_or("no key")?;
    for from in (0..accounts).step_by(5000) {
        let id = id.clone();
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
                        identity_id: Some(identity_id),
                        name: format!("Person {who}"),
                        ..Account::new(id.clone(), &native(who), now)
                    })?;
                }
                Ok::<_, rekey::Error>(())
            })
            .await?;
    }
    store.close().await;
    Ok(Filled { source: id.to_string(), key: key.id.to_string(), spki: key.spki, accounts })
}

/// The native identity of an account, in the form of a directory's.
fn native(who: u64) -> String {
    format!("uid=p{who},dc=null")
}

impl Filled {
    /// One request for each person in turn, with ciphertexts that decrypt to no password.
    pub(crate) fn accepts(&self, server: &Server) -> Next {
        self.accepts_of(server, self.accounts)
    }

    /// The same requests for `people` people only, spread evenly over the store.
    pub(crate) fn accepts_of(&self, server: &Server, people: u64) -> Next {
        let (filled, headers) = (self.clone(), server.headers());
        let apart = filled.accounts / people;
        std::sync::Arc::new(move |number| {
            filled.request(&headers, number % people * apart, &worthless(number))
        })
    }

    /// A real change for this person.
    pub(crate) fn change(&self, headers: &str, who: u64, password: &str) -> Result<Vec<u8>> {
        let key = PublicKey::from_spki(&self.spki)?;
        let ciphertext = key.encrypt(Padding::Pkcs1v15, password.as_bytes())?;
        Ok(self.request(headers, who, &ciphertext))
    }

    fn request(&self, headers: &str, who: u64, ciphertext: &[u8]) -> Vec<u8> {
        let Self { source, key, .. } = self;
        let (account, ciphertext) = (native(who), BASE64_STANDARD.encode(ciphertext));
        let body = format!(
            r#"{{"identityId":"{who:032x}","encryptedPassword":"{ciphertext}","publicKeyId":"{key}","accountId":"{account}","sourceId":"{source}"}}"#
        );
        http::request("POST", "/v3/set-password", headers, &body)
    }
}

/// A value of the key's size below its modulus, different for each number and each run.
fn worthless(number: u64) -> [u8; 256] {
    let mut bytes = [0x5a_u8; 256];
    let (head, tail) = bytes.split_at_mut(1);
    head.fill(0);
    let run = std::process::id().to_be_bytes();
    for (place, byte) in tail.iter_mut().zip(run.into_iter().chain(number.to_be_bytes())) {
        *place = byte;
    }
    bytes
}
