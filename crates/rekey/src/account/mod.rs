//! Accounts: their owners, and the accounts that a caller may see.

pub mod correlation;

use std::collections::HashMap;

use serde_json::Map;

use crate::{
    App, Error,
    access::{Caller, ENDPOINT},
    error::BadRequest,
    model::{
        account::Account,
        column::Json,
        id::{AccountId, IdentityId, SourceId},
        identity::Identity,
        source::Source,
    },
    store::{Asked, Audit, DescribedSource, Listing, Page, Tx},
};

/// An account with the objects it refers to.
#[derive(Clone, Debug)]
pub struct Described {
    /// The account.
    pub account: Account,
    /// Its source.
    pub source: Option<DescribedSource>,
    /// Its owner.
    pub identity: Option<Identity>,
}

/// The accounts that a caller may see: those of the sources that they may see.
pub async fn list(app: &App, caller: &Caller, asked: &Asked) -> Result<Page<Described>, Error> {
    let mut listing = Listing::of_accounts(asked)?;
    if let Some(owner) = caller.only_own_sources() {
        listing = listing.only_owned(owner);
    }
    app.store
        .list(caller.principal(), move |tx| {
            let (accounts, count) = tx.accounts_page(&listing)?;
            let mut sources = HashMap::new();
            let mut described = Vec::with_capacity(accounts.len());
            for account in accounts {
                described.push(describe(tx, account, &mut sources)?);
            }
            Ok((described, count))
        })
        .await
}

/// An account, if the caller may see it; else not found.
pub async fn one(app: &App, caller: &Caller, id: AccountId) -> Result<Described, Error> {
    let caller = caller.clone();
    app.store
        .read(move |tx| {
            let account = match caller.only_own_sources() {
                Some(owner) => tx.account_of_owner(&id, owner)?,
                None => tx.account(&id)?,
            };
            let account = account.ok_or(Error::NotFound("account"))?;
            describe(tx, account, &mut HashMap::new())
        })
        .await
}

/// An administrator's decision about the owner of an account.
#[derive(Clone, Debug)]
pub struct Correlated {
    /// The new owner, or none.
    pub identity_id: Option<IdentityId>,
    /// Whether aggregations must not change the owner.
    pub manually: bool,
}

/// Assigns an account to a person manually, or confirms the owner that an aggregation gave it.
/// Forbidden unless the caller may point sources ([`Caller::may_point_sources`]).
pub async fn correlate(
    app: &App,
    caller: &Caller,
    id: AccountId,
    change: impl Fn(&Account) -> Result<Correlated, Error> + Send + 'static,
) -> Result<(), Error> {
    if !caller.may_point_sources() {
        return Err(Error::Forbidden(format!(
            "whose an account is decides who receives passwords there: ask an organization administrator (ORG_ADMIN), or use an API client with the scope {ENDPOINT}"
        )));
    }
    let actor = caller.principal().to_owned();
    app.store
        .write(move |tx| {
            let account = hold(tx, &id)?;
            let wanted = change(&account)?;
            keep_correlated(tx, &account, wanted, &actor)
        })
        .await
}

/// Locks an account and returns it: no aggregation writes it until the caller's transaction ends.
pub fn hold(tx: &mut Tx<'_>, id: &AccountId) -> Result<Account, Error> {
    let account = tx.account(id)?.ok_or(Error::NotFound("account"))?;
    let source = tx.source(&account.source_id)?.ok_or(Error::NotFound("account"))?;
    tx.hold_source(&source.id, source.version)?;
    // The account is read again under the lock: an aggregation may have changed it before.
    tx.account(id)?.ok_or(Error::NotFound("account"))
}

/// Stores an administrator's decision, inside the caller's transaction. The account must be locked
/// by [`hold`].
pub fn keep_correlated(
    tx: &mut Tx<'_>,
    old: &Account,
    wanted: Correlated,
    actor: &str,
) -> Result<(), Error> {
    let Correlated { identity_id, manually } = wanted;
    let source = tx.source(&old.source_id)?.ok_or(Error::NotFound("account"))?;
    if source.is_built_in() {
        let text = "the accounts of a built-in source belong to their people by name";
        return Err(Error::bad(BadRequest::IllegalUpdate, text));
    }
    if let Some(person) = &identity_id
        && tx.identity(person)?.is_none()
    {
        let text = format!("identityId: there is no identity {person}");
        return Err(Error::bad(BadRequest::Referenced, text));
    }
    let manually_correlated = manually && identity_id.is_some();
    let account = Account {
        claims: old.claims.clone().filter(|_| !manually_correlated),
        manually_correlated,
        confirmed_owner: identity_id.clone(),
        identity_id,
        uncorrelated_because: None,
        modified: tx.now()?,
        ..old.clone()
    };
    tx.update_account(&account)?;
    let detail = serde_json::json!({
        "sourceId": account.source_id,
        "from": old.identity_id,
        "to": account.identity_id,
        "manuallyCorrelated": account.manually_correlated,
    });
    let object = account.id.as_str();
    tx.audit(Audit { actor, action: "ACCOUNT_CORRELATE", object, detail })?;
    Ok(())
}

/// Adds the source and the owner to an account. `sources` caches the sources already read.
fn describe(
    tx: &mut Tx<'_>,
    account: Account,
    sources: &mut HashMap<SourceId, DescribedSource>,
) -> Result<Described, Error> {
    if !sources.contains_key(&account.source_id)
        && let Some(found) = tx.source(&account.source_id)?
    {
        sources.insert(account.source_id.clone(), tx.describe_source(found)?);
    }
    let identity = match &account.identity_id {
        Some(id) => tx.identity(id)?,
        None => None,
    };
    Ok(Described { source: sources.get(&account.source_id).cloned(), identity, account })
}

/// Adds the account of a person on a built-in source, named by their alias, inside the caller's
/// transaction.
pub fn insert_built_in(
    tx: &mut Tx<'_>,
    source: &Source,
    person: &Identity,
) -> Result<Account, Error> {
    let now = tx.now()?;
    let mut attributes = Map::new();
    attributes.insert("alias".into(), person.alias.clone().into());
    let account = Account {
        identity_id: Some(person.id.clone()),
        name: person.name.clone(),
        attributes: Json(attributes),
        disabled: !person.enabled,
        ..Account::new(source.id.clone(), &person.alias, now)
    };
    tx.insert_account(&account)?;
    Ok(account)
}
