//! Passwords as clients send them: encrypted with the key from query-password-info.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use rekey_vault::{Padding, PublicKey};
use serde_json::{Value, json};

use crate::{
    Result,
    http::{Connection, request},
};

/// The answer of query-password-info about one person on one source; cheap to clone.
#[derive(Clone)]
pub struct Info {
    /// The body of the answer.
    pub answer: Arc<Value>,
    key: Arc<PublicKey>,
}

impl Info {
    /// Sends a query-password-info request, with the headers of [`crate::Server::headers`].
    pub async fn ask(
        connection: &mut Connection,
        headers: &str,
        user: &str,
        source: &str,
    ) -> Result<Self> {
        let body = json!({"userName": user, "sourceName": source}).to_string();
        let asked = request("POST", "/v3/query-password-info", headers, &body);
        let answer = connection.ask(&asked).await?;
        if answer.status != 200 {
            return Err(format!("query-password-info: {}: {}", answer.status, answer.body).into());
        }
        let answer: Value = serde_json::from_str(&answer.body)?;
        let key = PublicKey::from_spki(&BASE64_STANDARD.decode(text(&answer, "publicKey"))?)?;
        Ok(Self { answer: Arc::new(answer), key: Arc::new(key) })
    }

    /// The body of a set-password request for `password`, with a new ciphertext each time.
    pub fn change(&self, password: &str) -> Result<String> {
        Ok(self.ask_for(&self.encrypt(password)?))
    }

    /// Encrypts `password` with PKCS #1 v1.5 padding; the ciphertext differs each time.
    pub fn encrypt(&self, password: &str) -> Result<Vec<u8>> {
        Ok(self.key.encrypt(Padding::Pkcs1v15, password.as_bytes())?)
    }

    /// The body of a set-password request with this ciphertext.
    pub fn ask_for(&self, ciphertext: &[u8]) -> String {
        let accounts = self.answer.get("accounts").and_then(|accounts| accounts.get(0));
        json!({
            "identityId": self.answer.get("identityId"),
            "encryptedPassword": BASE64_STANDARD.encode(ciphertext),
            "publicKeyId": self.answer.get("publicKeyId"),
            "accountId": accounts.map(|account| text(account, "accountId")),
            "sourceId": self.answer.get("sourceId"),
        })
        .to_string()
    }
}

/// The text of the member `name`, or an empty text if it is absent or not a text.
pub fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A random password, new to every history, that satisfies any sensible policy.
pub fn chance() -> Result<String> {
    Ok(format!("Aa1-{}", BASE64_STANDARD.encode(rekey_vault::random::<12>()?)))
}
