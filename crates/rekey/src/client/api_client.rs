//! API clients.

use super::{Created, audit, new};
use crate::{
    App, Error,
    error::BadRequest,
    model::{
        client::{Client, ClientKind, GrantType},
        column::Json,
    },
    store::Tx,
};

/// Creates an API client. Its access tokens live for `validity` seconds, 15 to 43,200.
pub async fn create_api_client(
    app: &App,
    name: &str,
    grant_types: Vec<GrantType>,
    redirect_uris: Vec<String>,
    scope: Vec<String>,
    validity: i64,
    public: bool,
) -> Result<Created, Error> {
    let wanted = Wanted::new(app, name, grant_types, redirect_uris, scope, validity, public)?;
    let client = wanted.client.clone();
    app.store
        .write(move |tx: &mut Tx<'_>| {
            tx.insert_client(&client)?;
            audit(tx, "rekey", "API_CLIENT_CREATED", &client)
        })
        .await?;
    Ok(wanted.created())
}

/// The desired state of an API client, with the secret that it gets if it is new: for transactions
/// that change more than clients.
#[derive(Clone)]
pub struct Wanted {
    client: Client,
    secret: String,
}

impl Wanted {
    /// Checks the desired state, and draws the secret.
    pub fn new(
        app: &App,
        name: &str,
        grant_types: Vec<GrantType>,
        redirect_uris: Vec<String>,
        scope: Vec<String>,
        validity: i64,
        public: bool,
    ) -> Result<Self, Error> {
        if grant_types.is_empty() {
            return Err(Error::bad(BadRequest::Missing, "grantTypes must name at least one"));
        }
        if grant_types.contains(&GrantType::AuthorizationCode) && redirect_uris.is_empty() {
            return Err(Error::bad(
                BadRequest::Missing,
                "redirectUris must name at least one for AUTHORIZATION_CODE",
            ));
        }
        if public && grant_types.contains(&GrantType::ClientCredentials) {
            return Err(Error::bad(
                BadRequest::IllegalValue,
                "a public client has no secret, so it cannot use CLIENT_CREDENTIALS",
            ));
        }
        redirect_uris.iter().try_for_each(|uri| check_redirect_uri(uri))?;
        let (mut client, mut secret) = new(app, ClientKind::ApiClient, name, scope, validity)?;
        client.grant_types = Json(grant_types);
        client.redirect_uris = Json(redirect_uris);
        if public {
            client.secret_digest = None;
            secret.clear();
        }
        Ok(Self { client, secret })
    }

    /// Sets whether the client is enabled. A disabled client cannot be used until it is enabled
    /// again.
    #[must_use]
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.client.enabled = enabled;
        self
    }

    /// Creates the client, or updates the one with its name, which keeps its id and secret. Returns
    /// whether it is new.
    pub fn upsert(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let wanted = &self.client;
        let Some(mut there) = tx.api_client_named(&wanted.name)? else {
            tx.insert_client(wanted)?;
            audit(tx, "rekey", "API_CLIENT_CREATED", wanted)?;
            return Ok(true);
        };
        if there.is_public() != wanted.is_public() {
            return Err(Error::bad(
                BadRequest::IllegalUpdate,
                format!(
                    "the client `{}` cannot gain or lose its secret: delete it first",
                    there.name
                ),
            ));
        }
        if there.scope == wanted.scope
            && there.grant_types == wanted.grant_types
            && there.redirect_uris == wanted.redirect_uris
            && there.validity == wanted.validity
            && there.enabled == wanted.enabled
        {
            return Ok(false);
        }
        let narrowed = there.scope.0.iter().any(|scope| !wanted.scope.0.contains(scope));
        there.scope = wanted.scope.clone();
        there.grant_types = wanted.grant_types.clone();
        there.redirect_uris = wanted.redirect_uris.clone();
        there.validity = wanted.validity;
        // Disabling a client revokes its tokens, so that they stay revoked when it is enabled
        // again. Narrowing its scope revokes them, too, since older tokens may have the removed
        // scopes.
        there.generation += i64::from(narrowed || there.enabled && !wanted.enabled);
        there.enabled = wanted.enabled;
        there.modified = tx.now()?;
        tx.update_client(&there)?;
        audit(tx, "rekey", "API_CLIENT_UPDATED", &there)?;
        Ok(false)
    }

    /// Its credentials. They are valid only if [`Wanted::upsert`] returned true.
    pub fn created(self) -> Created {
        Created { id: self.client.id, secret: self.secret }
    }
}

/// Checks that `uri` is absolute and has no fragment (RFC 6749, section 3.1.2), and that no browser
/// runs its scheme as a script.
fn check_redirect_uri(uri: &str) -> Result<(), Error> {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    let good = uri.bytes().all(|byte| byte.is_ascii_graphic())
        && !uri.contains(['#', '"', '<', '>', '\\'])
        && scheme.is_some_and(|scheme| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
                && !["javascript", "data", "vbscript", "file", "blob", "about"]
                    .contains(&scheme.as_str())
        });
    if good {
        return Ok(());
    }
    Err(Error::bad(
        BadRequest::IllegalValue,
        format!("`{uri}` cannot be a redirect URI: write an absolute URI without a fragment"),
    ))
}
