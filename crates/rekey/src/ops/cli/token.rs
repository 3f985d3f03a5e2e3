//! `rekey token`: credentials for programs.

use std::process::ExitCode;

use serde_json::json;

use super::out::{self, say};
use crate::{
    App, Error,
    client::{self, Created},
    model::{
        audit::ACTOR,
        client::{ClientKind, GrantType},
        id::ClientId,
        time::Micros,
    },
    store::Tx,
};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a personal access token, or an API client. Its secret is shown once.
    Create(Create),
    /// Show every personal access token and API client; never their secrets.
    List,
    /// Remove one: it is good for nothing from now on, nor is any access token it got.
    Revoke(Revoke),
}

#[derive(clap::Args)]
pub(super) struct Create {
    /// The name people read.
    #[arg(long)]
    name: String,
    /// Whose personal access token; the administrator's if neither this nor --client is given.
    #[arg(long, value_name = "ALIAS", conflicts_with = "client")]
    identity: Option<String>,
    /// An API client, which may change anyone's password.
    #[arg(long)]
    client: bool,
    /// What its access tokens may do, one or more times; sp:scopes:all if not given.
    #[arg(long)]
    scope: Vec<String>,
    /// How long its access tokens live, 15 to 43200.
    #[arg(long, value_name = "SECONDS", default_value_t = client::VALIDITY)]
    validity: i64,
}

#[derive(clap::Args)]
pub(super) struct Revoke {
    /// As `rekey token list` shows it.
    #[arg(value_name = "CLIENT_ID")]
    id: String,
}

impl Command {
    pub(super) async fn run(self, app: &App, json: bool) -> Result<ExitCode, Error> {
        match self {
            Self::Create(create) => show(&create.run(app).await?, json),
            Self::List => list(app, json).await?,
            Self::Revoke(revoke) => revoke.run(app, json).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(Created { id, secret }: &Created, json: bool) {
    if json {
        out::json(&json!({ "clientId": id, "clientSecret": secret }));
    } else {
        say!("client id      {id}");
        say!("client secret  {secret}");
        say!("The secret is not shown again.");
    }
}

async fn list(app: &App, json: bool) -> Result<(), Error> {
    let look = |tx: &mut Tx<'_>| -> Result<_, Error> { Ok((tx.clients()?, tx.identities()?)) };
    let (clients, people) = app.store.read(look).await?;
    let mut listed = Vec::with_capacity(clients.len());
    for client in &clients {
        let owner = people.iter().find(|person| client.identity_id.as_ref() == Some(&person.id));
        let owner = owner.map(|owner| owner.alias.as_str());
        let (kind, words) = match client.kind {
            ClientKind::ApiClient => ("API_CLIENT", "API client"),
            ClientKind::PersonalAccessToken => ("PERSONAL_ACCESS_TOKEN", "personal access token"),
        };
        let (expires, used) =
            (client.expires.map(Micros::rfc3339), client.last_used.map(Micros::rfc3339));
        if json {
            listed.push(json!({
                "clientId": client.id, "kind": kind, "name": client.name, "owner": owner,
                "enabled": client.enabled, "created": client.created.rfc3339(),
                "expires": expires, "lastUsed": used,
            }));
        } else {
            let of = owner.map_or(String::new(), |owner| format!(" of {owner}"));
            let used = used.map_or("never used".to_owned(), |used| format!("last used {used}"));
            let until = expires.map_or(String::new(), |expires| format!("  until {expires}"));
            let disabled = if client.enabled { "" } else { "  disabled" };
            say!("{}  {words}{of}  {}  {used}{until}{disabled}", client.id, client.name);
        }
    }
    if json {
        out::json(&listed);
    }
    Ok(())
}

impl Revoke {
    async fn run(self, app: &App, json: bool) -> Result<(), Error> {
        let id = ClientId(self.id);
        let client = client::delete(app, &id, ACTOR).await.map_err(|error| {
            if !matches!(error, Error::NotFound(_)) {
                return error;
            }
            Error::Setup(format!(
                "there is no client with the id {id}: `rekey token list` shows them all"
            ))
        })?;
        if json {
            out::json(&json!({ "clientId": id, "revoked": true }));
        } else {
            say!("{} is revoked, and every access token it got", client.name);
        }
        Ok(())
    }
}

impl Create {
    async fn run(self, app: &App) -> Result<Created, Error> {
        let Self { name, identity, client, scope, validity } = self;
        if client {
            let grants = vec![GrantType::ClientCredentials];
            return client::create_api_client(app, &name, grants, vec![], scope, validity, false)
                .await;
        }
        let alias = identity.unwrap_or_else(|| crate::bootstrap::ADMIN.to_owned());
        let wanted = alias.clone();
        let owner = app.store.read(move |tx| tx.identity_with_alias(&wanted)).await?;
        let owner = owner.ok_or_else(|| {
            Error::Setup(format!("there is no identity {alias}: name one by its alias"))
        })?;
        client::create_personal_access_token(app, &owner, &name, scope, validity, None).await
    }
}
