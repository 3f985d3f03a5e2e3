//! The people and clients of a site, and their tokens.

use hyper::StatusCode;
use rekey::{
    client::{self, Created},
    connector::built_in,
    identity::{self, NewIdentity},
    model::{client::GrantType, column::Json, id::IdentityId, identity::Identity, level::Level},
    source,
    store::Tx,
};
use rekey_vault::Password;
use serde_json::Map;

use crate::site::Site;

impl Site {
    pub(crate) async fn person(&self, alias: &str, capabilities: &[Level]) -> Identity {
        let now = self.app.clock.now();
        let identity = Identity {
            id: IdentityId::new(),
            alias: alias.into(),
            name: alias.to_uppercase(),
            email: None,
            capabilities: Json(capabilities.to_vec()),
            attributes: Json(Map::new()),
            enabled: true,
            generation: 0,
            created: now,
            modified: now,
        };
        let row = identity.clone();
        self.write(move |tx| Ok(tx.insert_identity(&row)?)).await;
        identity
    }

    /// Sets the password with which a person signs in.
    pub(crate) async fn give_password(&self, alias: &str, clear: &str) {
        let login = source::ensure_identity_now(&self.app).await.unwrap().id;
        let verifier = built_in::hash(&Password::new(clear.into()), [7; 16]).await.unwrap();
        let alias = alias.to_owned();
        self.write(move |tx| Ok(tx.set_builtin_password(&login, &alias, &verifier, 0)?)).await;
    }

    pub(crate) async fn personal_access_token(&self, owner: &Identity) -> Created {
        client::create_personal_access_token(
            &self.app,
            owner,
            "test",
            vec![],
            client::VALIDITY,
            None,
        )
        .await
        .unwrap()
    }

    pub(crate) async fn api_client(&self) -> Created {
        let grants = vec![GrantType::ClientCredentials];
        client::create_api_client(&self.app, "test", grants, vec![], vec![], 750, false)
            .await
            .unwrap()
    }

    /// The access token that a client gets with its own credentials.
    pub(crate) async fn token_of(&self, client: &Created) -> String {
        let answer = self.post("/oauth/token").text(FORM, credentials(client)).send().await;
        answer.assert(StatusCode::OK);
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        deed: impl Fn(&mut Tx<'_>) -> Result<T, rekey::Error> + Send + 'static,
    ) -> T {
        self.app.store.write(deed).await.unwrap()
    }
}

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// The form of a token request with client credentials.
pub(crate) fn credentials(client: &Created) -> String {
    let Created { id, secret } = client;
    format!("grant_type=client_credentials&client_id={id}&client_secret={secret}")
}

impl Site {
    /// Creates people, and the built-in source with an account for each of them.
    pub(crate) async fn with_people(&self, aliases: &[&str]) {
        for alias in aliases {
            let new = NewIdentity {
                alias: (*alias).into(),
                name: alias.to_uppercase(),
                ..NewIdentity::default()
            };
            identity::create(&self.app, new, "test").await.unwrap();
        }
        source::ensure_identity_now(&self.app).await.unwrap();
    }
}
