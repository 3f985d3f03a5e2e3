//! `rekey account`: the owners of accounts on connected systems.

use std::process::ExitCode;

use serde_json::json;

use super::{
    out::{self, say},
    source::named,
};
use crate::{
    App, Error,
    account::{self, Correlated},
    model::audit::ACTOR,
    store::Tx,
};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Confirm the owner of an account: it takes part in sync groups again, and aggregations leave
    /// it alone.
    Confirm(Confirm),
}

#[derive(clap::Args)]
pub(super) struct Confirm {
    /// The source, by its name.
    #[arg(long, value_name = "NAME")]
    source: String,
    /// The account, by the name that the source gives it: a DN, a role.
    native_identity: String,
    /// The person it belongs to, by login name; the one it belongs to now unless given.
    #[arg(long, value_name = "ALIAS")]
    identity: Option<String>,
}

impl Command {
    pub(super) async fn run(self, app: &App, json: bool) -> Result<ExitCode, Error> {
        let Self::Confirm(confirm) = self;
        let (native, owner) = confirm.run(app).await?;
        if json {
            out::json(&json!({ "nativeIdentity": native, "identity": owner, "confirmed": true }));
        } else {
            say!("{native} belongs to {owner}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Confirm {
    /// Sets the owner by hand. Returns the account's native identity and its owner's alias.
    async fn run(self, app: &App) -> Result<(String, String), Error> {
        let source = named(app, &self.source).await?;
        let Self { native_identity, identity, .. } = self;
        let confirm = move |tx: &mut Tx<'_>| -> Result<_, Error> {
            let account = tx.account_on(&source.id, &native_identity)?.ok_or_else(|| {
                Error::Setup(format!("there is no account {native_identity} on {}", source.name))
            })?;
            let account = account::hold(tx, &account.id)?;
            let owner = match (&identity, &account.identity_id) {
                (Some(alias), _) => tx
                    .identity_with_alias(alias)?
                    .ok_or_else(|| Error::Setup(format!("there is no identity {alias}")))?,
                (None, Some(id)) => tx.identity(id)?.ok_or(Error::NotFound("identity"))?,
                (None, None) => {
                    return Err(Error::Setup(format!(
                        "{native_identity} belongs to nobody: name its owner with --identity"
                    )));
                }
            };
            let wanted = Correlated { identity_id: Some(owner.id), manually: true };
            account::keep_correlated(tx, &account, wanted, ACTOR)?;
            Ok((account.native_identity, owner.alias))
        };
        app.store.write(confirm).await
    }
}
