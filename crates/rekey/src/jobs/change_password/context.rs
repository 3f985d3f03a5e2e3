//! The facts about a change, and the judgement of its decrypted password.

use std::error::Error as StdError;

use rekey_connectors::Stamp;
use rekey_vault::{About, Dictionary, Judgement, Policy, Purpose};

use super::target::{Owner, Target};
use crate::{
    App, Error,
    connector::kind,
    model::{account::Account, identity::Identity, source::Source, source_key::SourceKey},
    policy,
    store::{ChangeParties, Claimed, ClaimedTarget, Sourced, Tx},
};

/// The facts about a change, read once for each attempt.
pub struct ChangeContext {
    pub(super) key: Option<SourceKey>,
    pub(super) identity: Option<Identity>,
    account: Option<Account>,
    policy: Policy,
    dictionary: Option<String>,
    targets: Vec<Sourced>,
}

/// Reads the facts about a change.
pub(super) async fn read(app: &App, change: &Claimed) -> Result<ChangeContext, Error> {
    let change = change.clone();
    app.store
        .read_unsynced(move |tx: &mut Tx<'_>| {
            let (targets, parties) = tx.change_context(&change)?;
            let ChangeParties { key, identity, account, policy } = parties;
            let policy = policy.unwrap_or_default().0;
            let dictionary =
                if policy.use_dictionary { tx.setting(policy::DICTIONARY)? } else { None };
            Ok(ChangeContext { key, identity, account, policy, dictionary, targets })
        })
        .await
}

impl ChangeContext {
    /// Returns the targets of the change, each with the handle of its source or the reason why
    /// there is none.
    pub(super) fn targets(&self, app: &App) -> Result<Vec<Target>, Error> {
        let mut targets = Vec::with_capacity(self.targets.len());
        for (row, source) in &self.targets {
            let link = match source {
                None => Err("the source was removed".to_owned()),
                Some(_) if row.native_identity.is_empty() => Err("the account was removed".to_owned()),
                Some(_) if row.identity_id.as_ref() != self.identity.as_ref().map(|who| &who.id) => {
                    Err("the account belongs to someone else now".to_owned())
                }
                Some(source) if !source.has_password() => {
                    Err("the source no longer offers password changes".to_owned())
                }
                Some(source) => app.handles.get(source).map_err(|error| {
                    tracing::error!(source.id = %source.id, error = &error as &dyn StdError, "a source cannot be opened");
                    "the source is not configured correctly".to_owned()
                }),
            };
            let owner = match (source, &self.identity) {
                (Some(source), Some(identity)) => owner(source, row, identity),
                _ => Ok(None),
            };
            // A source whose correlation cannot be read fails its own target, and does not keep the
            // change from ending.
            let (link, owner) = match owner {
                Ok(owner) => (link, owner),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn StdError,
                        "a correlation cannot be read"
                    );
                    (Err("the source is not configured correctly".to_owned()), None)
                }
            };
            let generation = source.as_ref().filter(|source| !source.is_built_in());
            let is_confirmed =
                generation.is_none_or(|source| row.generation.unwrap_or(0) >= source.generation);
            let salt = row.salt.as_deref().and_then(|salt| salt.try_into().ok());
            targets.push(Target {
                state: row.state,
                announced: None,
                asked: None,
                salt: match salt {
                    Some(salt) => salt,
                    None => rekey_vault::random()?,
                },
                stamp: Stamp(row.stamp.clone().unwrap_or_default()),
                result: None,
                owner,
                is_confirmed,
                link,
                row: row.clone(),
            });
        }
        Ok(targets)
    }
}

/// Returns the value that the account must show to prove that it belongs to the person. `None` if
/// an administrator assigned the account, or the source has no correlation.
fn owner(
    source: &Source,
    row: &ClaimedTarget,
    identity: &Identity,
) -> Result<Option<Owner>, Error> {
    if source.is_built_in() || row.manually_correlated == Some(true) {
        return Ok(None);
    }
    let Some(correlation) = source.correlation()? else { return Ok(None) };
    Ok(Some(Owner {
        value: identity.attribute(&correlation.identity_attribute).unwrap_or_default(),
        attribute: correlation.account_attribute,
        ignores_case: kind(&source.connector)?.ignores_case,
    }))
}

/// Decrypts and judges the password, off the threads that serve requests. The work is the same
/// whatever the padding: the vault guarantees that.
pub(super) async fn judge(
    app: &App,
    change: &Claimed,
    context: &ChangeContext,
) -> Result<Judgement, Error> {
    let (Some(payload), Some(key)) = (&change.payload, &context.key) else {
        return Err(Error::Internal("a change without payload or key".into()));
    };
    let ciphertext = app.sealer.open(Purpose::PasswordChange, &change.bound_to(), payload)?;
    let private = app.keys.open(key)?;
    let policy = context.policy.clone();
    let dictionary = context.dictionary.as_deref().map(Dictionary::parse).transpose();
    let dictionary = dictionary.map_err(Error::Internal)?;
    let native = context.account.as_ref().map(|a| a.native_identity.clone()).unwrap_or_default();
    let name = context.account.as_ref().map(|a| a.name.clone()).unwrap_or_default();
    let account = context.account.as_ref().map(|a| texts(&a.attributes.0)).unwrap_or_default();
    let identity = context.identity.as_ref().map(values).unwrap_or_default();
    let _turn = app.decryptions.acquire().await.map_err(|e| Error::Internal(e.to_string()))?;
    let metrics = app.metrics().clone();
    tokio::task::spawn_blocking(move || {
        let about = About {
            dictionary: dictionary.as_ref(),
            account_id: &native,
            account_name: &name,
            account_attributes: &account,
            identity_attributes: &identity,
        };
        metrics.judged(|| Ok(private.decrypt(&ciphertext)?.judge(&policy, &about)))
    })
    .await
    .map_err(|e| Error::Internal(e.to_string()))?
}

fn values(identity: &Identity) -> Vec<String> {
    let mut all = texts(&identity.attributes.0);
    all.extend([identity.alias.clone(), identity.name.clone()]);
    all.extend(identity.email.clone());
    all
}

fn texts(attributes: &serde_json::Map<String, serde_json::Value>) -> Vec<String> {
    attributes.values().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}
