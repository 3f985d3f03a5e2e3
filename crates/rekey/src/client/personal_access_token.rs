//! Personal access tokens.

use super::{Created, audit, new};
use crate::{
    App, Error,
    error::BadRequest,
    model::{
        client::{Client, ClientKind, GrantType},
        column::Json,
        id::IdentityId,
        identity::Identity,
        time::Micros,
    },
    store::Tx,
};

/// The maximum number of tokens of one person (docs/contract.md#personal-access-tokens).
const MOST: usize = 10;

/// Creates a personal access token for `owner`. Its access tokens live for `validity` seconds, 15
/// to 43,200.
///
/// A name that the owner already uses is a conflict; a person has at most ten tokens.
pub async fn create_personal_access_token(
    app: &App,
    owner: &Identity,
    name: &str,
    scope: Vec<String>,
    validity: i64,
    expires: Option<Micros>,
) -> Result<Created, Error> {
    let new = NewToken::new(app, owner, name, scope, validity, expires)?;
    let deed = new.clone();
    app.store.write(move |tx| deed.insert(tx)).await?;
    Ok(new.created())
}

/// A new personal access token with its secret: for transactions that create more than the token.
#[derive(Clone)]
pub struct NewToken {
    owner: IdentityId,
    client: Client,
    secret: String,
}

impl NewToken {
    /// Checks the input, and draws the secret.
    pub fn new(
        app: &App,
        owner: &Identity,
        name: &str,
        scope: Vec<String>,
        validity: i64,
        expires: Option<Micros>,
    ) -> Result<Self, Error> {
        let (mut client, secret) =
            new(app, ClientKind::PersonalAccessToken, name, scope, validity)?;
        client.identity_id = Some(owner.id.clone());
        client.grant_types = Json(vec![GrantType::ClientCredentials]);
        client.expires = expires;
        Ok(Self { owner: owner.id.clone(), client, secret })
    }

    /// Creates the token, inside the caller's transaction.
    pub fn insert(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let Self { owner, client, .. } = self;
        let others = tx.personal_access_tokens(owner)?;
        if others.iter().any(|other| other.name == client.name) {
            let text = format!("you have a personal access token named `{}` already", client.name);
            return Err(Error::bad(BadRequest::Conflict, text));
        }
        if others.len() >= MOST {
            let text =
                format!("a person has at most {MOST} personal access tokens: delete one first");
            return Err(Error::bad(BadRequest::Limit, text));
        }
        tx.insert_client(client)?;
        audit(tx, owner.as_str(), "PERSONAL_ACCESS_TOKEN_CREATED", client)
    }

    /// Its credentials.
    pub fn created(self) -> Created {
        Created { id: self.client.id, secret: self.secret }
    }
}
