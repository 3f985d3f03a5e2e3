//! `rekey token`: credentials for programs.

use std::process::ExitCode;

use serde_json::json;

use super::out::{self, say};
use crate::{
    App, Error,
    client::{self, Created, GrantType},
};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a personal access token, or an API client. Its secret is shown once.
    Create(Create),
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

impl Command {
    pub(super) async fn run(self, app: &App, json: bool) -> Result<ExitCode, Error> {
        let Self::Create(create) = self;
        let Created { id, secret } = create.run(app).await?;
        if json {
            out::json(&json!({ "clientId": id, "clientSecret": secret }));
        } else {
            say!("client id      {id}");
            say!("client secret  {secret}");
            say!("The secret is not shown again.");
        }
        Ok(ExitCode::SUCCESS)
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
