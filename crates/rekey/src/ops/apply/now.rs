//! The state that a plan starts from, updated by the steps planned so far.

use std::collections::HashSet;

use super::file::illegal;
use rekey_connectors::nearest;

use crate::{
    App, Error,
    model::{
        client::Client,
        id::{IdentityId, PolicyId, SourceId},
        identity::{Identity, name_key},
        policy::PasswordPolicy,
        source::{IDENTITY_NOW, Source},
        sync_group::SyncGroup,
    },
    policy::DICTIONARY,
    sync_group,
};

/// All objects that a plan compares the file with.
pub(super) struct Now {
    pub(super) people: Vec<Identity>,
    /// The aliases of people who have a sign-in password.
    pub(super) with_password: HashSet<String>,
    pub(super) policies: Vec<PasswordPolicy>,
    pub(super) dictionary: Option<String>,
    pub(super) sources: Vec<Source>,
    pub(super) groups: Vec<(SyncGroup, Vec<SourceId>)>,
    pub(super) clients: Vec<Client>,
}

impl Now {
    pub(super) async fn read(app: &App) -> Result<Self, Error> {
        let groups = sync_group::all(app).await?;
        app.store
            .read(move |tx| {
                let sources = tx.sources()?;
                let sign_in = sources.iter().find(|source| source.name == IDENTITY_NOW);
                let with_password = match sign_in {
                    Some(source) => tx.builtin_accounts_with_password(&source.id)?,
                    None => Vec::new(),
                };
                Ok(Self {
                    people: tx.identities()?,
                    with_password: with_password.into_iter().collect(),
                    policies: tx.policies()?,
                    dictionary: tx.setting(DICTIONARY)?,
                    sources,
                    groups,
                    clients: tx.api_clients()?,
                })
            })
            .await
    }

    /// The API client of this name; the oldest if several have it.
    pub(super) fn client(&self, name: &str) -> Option<&Client> {
        self.clients.iter().find(|client| name_key(&client.name) == name_key(name))
    }

    /// The id of the person with this alias; the error begins with `what`.
    pub(super) fn person(&self, alias: &str, what: &str) -> Result<IdentityId, Error> {
        let found = self.people.iter().find(|person| name_key(&person.alias) == name_key(alias));
        found.map(|person| person.id.clone()).ok_or_else(|| {
            let near = nearest(alias, self.people.iter().map(|person| person.alias.as_str()));
            illegal(format!("{what}: there is no identity {alias}{near}"))
        })
    }

    pub(super) fn policy(&self, name: &str, what: &str) -> Result<PolicyId, Error> {
        let found = self.policies.iter().find(|policy| name_key(&policy.name) == name_key(name));
        found.map(|policy| policy.id.clone()).ok_or_else(|| {
            let near = nearest(name, self.policies.iter().map(|policy| policy.name.as_str()));
            illegal(format!("{what}: there is no policy {name}{near}"))
        })
    }

    pub(super) fn source(&self, name: &str, what: &str) -> Result<SourceId, Error> {
        let found = self.sources.iter().find(|source| name_key(&source.name) == name_key(name));
        found.map(|source| source.id.clone()).ok_or_else(|| {
            let near = nearest(name, self.sources.iter().map(|source| source.name.as_str()));
            illegal(format!("{what}: there is no source {name}{near}"))
        })
    }
}
