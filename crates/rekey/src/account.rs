//! A person's presence on a source.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::{
    App, Error,
    access::{Caller, ENDPOINT},
    clock::Micros,
    error::BadRequest,
    id::{AccountId, IdentityId, SourceId},
    identity::Identity,
    source::{self, Source},
    store::{Asked, Audit, Json, Listing, Page, Tx, from_row},
};

/// The id of no identity: see [`Account::confirmed_owner`].
pub const NOBODY: &str = "nobody";

/// An account, as aggregated from its source.
#[derive(Clone, Debug)]
pub struct Account {
    /// Rekey's name for it.
    pub id: AccountId,
    /// Where it is.
    pub source_id: SourceId,
    /// Whose it is; none while uncorrelated.
    pub identity_id: Option<IdentityId>,
    /// The source's name for it: a DN, a login, a role. The wire's `accountId`.
    pub native_identity: String,
    /// The system's id of it, which outlives a rename; none where it has none or none was read yet.
    pub stable_id: Option<String>,
    /// The name people read. The wire's `accountName`.
    pub name: String,
    /// Its attributes.
    pub attributes: Json<Map<String, Value>>,
    /// Whether the source disabled it.
    pub disabled: bool,
    /// Whether the source locked it.
    pub locked: bool,
    /// The correlation generation of its source that it was last confirmed in: while the source has
    /// a newer one, its password cannot be changed.
    pub generation: i64,
    /// The person that its correlation attribute names; an aggregation that saw all accounts makes
    /// them its owner if no other account of the source names them.
    pub claims: Option<IdentityId>,
    /// Whether an administrator said whose it is; aggregations leave that alone.
    pub manually_correlated: bool,
    /// The person that it first belonged to, or that an administrator confirmed: while it belongs to
    /// another one, it takes no part in sync groups. [`NOBODY`] if its correlation attribute gained a
    /// value while it was nobody's: who can write that value could choose its first owner.
    pub confirmed_owner: Option<IdentityId>,
    /// Why it belongs to nobody, where an aggregation took it from its person or gave it to none of
    /// several; or why it keeps its person and cannot be changed.
    pub uncorrelated_because: Option<String>,
    /// When rekey first saw it.
    pub created: Micros,
    /// When rekey last saw a change of it.
    pub modified: Micros,
}

from_row!(Account {
    id,
    source_id,
    identity_id,
    native_identity,
    stable_id,
    name,
    attributes,
    disabled,
    locked,
    generation,
    claims,
    manually_correlated,
    confirmed_owner,
    uncorrelated_because,
    created,
    modified,
});

impl Account {
    /// An account that belongs to nobody, first seen at `now`, under the name that its source gives
    /// it; confirmed in the first correlation generation.
    pub fn new(source_id: SourceId, native_identity: &str, now: Micros) -> Self {
        Self {
            id: AccountId::new(),
            source_id,
            identity_id: None,
            native_identity: native_identity.to_owned(),
            stable_id: None,
            name: native_identity.to_owned(),
            attributes: Json::default(),
            disabled: false,
            locked: false,
            generation: 1,
            claims: None,
            manually_correlated: false,
            confirmed_owner: None,
            uncorrelated_because: None,
            created: now,
            modified: now,
        }
    }

    /// Gives it to a person, or to nobody with the reason; remembers its first owner.
    pub fn set_owner(&mut self, owner: Option<IdentityId>, because: Option<String>) {
        let first = self.identity_id.as_ref().or(owner.as_ref());
        self.confirmed_owner = self.confirmed_owner.take().or_else(|| first.cloned());
        self.identity_id = owner;
        self.uncorrelated_because = because;
    }

    /// Whether it has never belonged to anybody.
    pub fn is_new_to_owners(&self) -> bool {
        self.identity_id.is_none() && self.confirmed_owner.is_none()
    }

    /// Whether nobody has confirmed yet that it belongs to somebody else than before.
    pub fn is_unconfirmed(&self) -> bool {
        self.identity_id.is_some()
            && self.confirmed_owner.is_some()
            && self.identity_id != self.confirmed_owner
    }

    /// Whether what clients see of it differs from `old`.
    pub(crate) fn shows_otherwise(&self, old: &Self) -> bool {
        (&self.identity_id, &self.native_identity, &self.name, &self.attributes)
            != (&old.identity_id, &old.native_identity, &old.name, &old.attributes)
            || (self.disabled, self.locked) != (old.disabled, old.locked)
    }

    /// Whether all that is kept of it but the time is as in `old`.
    pub(crate) fn is_as(&self, old: &Self) -> bool {
        !self.shows_otherwise(old)
            && (&self.stable_id, self.generation, &self.claims)
                == (&old.stable_id, old.generation, &old.claims)
            && (&self.confirmed_owner, &self.uncorrelated_because)
                == (&old.confirmed_owner, &old.uncorrelated_because)
    }
}

/// An account with what it refers to.
#[derive(Clone, Debug)]
pub struct Described {
    /// The account.
    pub account: Account,
    /// Where it is.
    pub source: Option<source::Described>,
    /// Whose it is.
    pub identity: Option<Identity>,
}

/// The accounts a caller may see: those of the sources they may see.
pub async fn list(app: &App, caller: &Caller, asked: &Asked) -> Result<Page<Described>, Error> {
    let mut listing = Listing::of_accounts(asked)?;
    if let Some(owner) = source::only_own(caller) {
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

/// An account a caller may see.
pub async fn one(app: &App, caller: &Caller, id: AccountId) -> Result<Described, Error> {
    let caller = caller.clone();
    app.store
        .read(move |tx| {
            let account = match source::only_own(&caller) {
                Some(owner) => tx.account_of_owner(&id, owner)?,
                None => tx.account(&id)?,
            };
            let account = account.ok_or(Error::NotFound("account"))?;
            describe(tx, account, &mut HashMap::new())
        })
        .await
}

/// What an administrator says of whose an account is.
#[derive(Clone, Debug)]
pub struct Correlated {
    /// The person, or nobody.
    pub identity_id: Option<IdentityId>,
    /// Whether aggregations must leave that alone.
    pub manually: bool,
}

/// Gives an account to a person by hand, or confirms the owner that an aggregation gave it.
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

/// An account that no aggregation writes until the caller's transaction ends.
pub fn hold(tx: &mut Tx<'_>, id: &AccountId) -> Result<Account, Error> {
    let account = tx.account(id)?.ok_or(Error::NotFound("account"))?;
    let source = tx.source(&account.source_id)?.ok_or(Error::NotFound("account"))?;
    tx.hold_source(&source.id, source.version)?;
    tx.account(id)?.ok_or(Error::NotFound("account"))
}

/// Keeps what an administrator said, inside the caller's transaction; the account is held.
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

/// Looks each source up once.
fn describe(
    tx: &mut Tx<'_>,
    account: Account,
    sources: &mut HashMap<SourceId, source::Described>,
) -> Result<Described, Error> {
    if !sources.contains_key(&account.source_id)
        && let Some(found) = tx.source(&account.source_id)?
    {
        sources.insert(account.source_id.clone(), source::describe(tx, found)?);
    }
    let identity = match &account.identity_id {
        Some(id) => tx.identity(id)?,
        None => None,
    };
    Ok(Described { source: sources.get(&account.source_id).cloned(), identity, account })
}

/// The account of a person on a built-in source, inside the caller's deed: under their alias.
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
