//! People: creating, changing, listing and removing them.

use rekey_vault::Password;
use serde_json::{Map, Value};

use crate::{
    App, Error,
    access::Caller,
    account::{self, correlation},
    connector::built_in,
    error::BadRequest,
    model::{
        column::Json,
        id::IdentityId,
        identity::{Identity, LONGEST_ALIAS, holds_controls, may_be_alias},
        level::Level,
        source::IDENTITY_NOW,
        time::Micros,
    },
    store::{Asked, Audit, Listing, Page, Tx},
};

/// The data of a new person.
#[derive(Clone, Debug, Default)]
pub struct NewIdentity {
    /// See [`Identity::alias`].
    pub alias: String,
    /// See [`Identity::name`].
    pub name: String,
    /// See [`Identity::email`].
    pub email: Option<String>,
    /// See [`Identity::capabilities`].
    pub capabilities: Vec<Level>,
    /// See [`Identity::attributes`].
    pub attributes: Map<String, Value>,
    /// The opposite of [`Identity::enabled`].
    pub disabled: bool,
}

/// Creates a person.
pub async fn create(app: &App, new: NewIdentity, actor: &str) -> Result<Identity, Error> {
    let identity = prepare(new)?;
    let actor = actor.to_owned();
    app.store.write(move |tx| insert(tx, identity.clone(), &actor)).await
}

/// Checks everything that needs no store. The times of the result are not set yet.
pub fn prepare(new: NewIdentity) -> Result<Identity, Error> {
    let alias = new.alias.trim().to_owned();
    if alias.is_empty() {
        return Err(Error::bad(BadRequest::Missing, "alias is missing: give the login name"));
    }
    if !may_be_alias(&alias) || holds_controls(&alias) {
        return Err(Error::bad(
            BadRequest::Length,
            format!(
                "alias: give at most {LONGEST_ALIAS} characters, none of them a control character"
            ),
        ));
    }
    check_display_name(&new.name)?;
    Ok(Identity {
        id: IdentityId::new(),
        name: Some(new.name).filter(|name| !name.trim().is_empty()).unwrap_or(alias.clone()),
        alias,
        email: new.email,
        capabilities: Json(new.capabilities),
        attributes: Json(new.attributes),
        enabled: !new.disabled,
        generation: 0,
        created: Micros(0),
        modified: Micros(0),
    })
}

fn check_display_name(name: &str) -> Result<(), Error> {
    if holds_controls(name) {
        return Err(Error::bad(
            BadRequest::IllegalValue,
            "name: give one line without control characters, hidden ones or marks of text direction",
        ));
    }
    Ok(())
}

/// Adds a person with an account on every built-in source, inside the caller's transaction.
pub fn insert(tx: &mut Tx<'_>, identity: Identity, actor: &str) -> Result<Identity, Error> {
    let now = tx.now()?;
    let identity = Identity { created: now, modified: now, ..identity };
    if tx.identity_with_alias(&identity.alias)?.is_some() {
        return Err(Error::bad(
            BadRequest::Conflict,
            format!("there is an identity with the alias {} already", identity.alias),
        ));
    }
    tx.insert_identity(&identity)?;
    for source in tx.sources()?.iter().filter(|source| source.is_built_in()) {
        account::insert_built_in(tx, source, &identity)?;
    }
    let detail = serde_json::json!({ "personal": { "alias": identity.alias } });
    tx.audit(Audit { actor, action: "USER_CREATE", object: identity.id.as_str(), detail })?;
    Ok(identity)
}

/// Stores a changed person, inside the caller's transaction. A person who now has capabilities
/// loses the accounts that such people cannot have (`correlation::release_privileged`).
pub fn update(tx: &mut Tx<'_>, identity: Identity, actor: &str) -> Result<Identity, Error> {
    check_display_name(&identity.name)?;
    let identity = Identity { modified: tx.now()?, ..identity };
    tx.update_identity(&identity)?;
    tx.follow_identity(&identity)?;
    let released = if identity.capabilities.0.is_empty() {
        Vec::new()
    } else {
        correlation::release_privileged(tx, &identity.id)?
    };
    let detail = serde_json::json!({
        "personal": { "alias": identity.alias, "uncorrelated": released },
    });
    tx.audit(Audit { actor, action: "USER_UPDATE", object: identity.id.as_str(), detail })?;
    Ok(identity)
}

/// Removes a person, inside the caller's transaction. Their unfinished changes end by themselves.
/// Refused while they own a source.
pub fn remove(tx: &mut Tx<'_>, identity: &Identity, actor: &str) -> Result<(), Error> {
    if let Some(owned) = tx.sources()?.into_iter().find(|source| source.owner_id == identity.id) {
        return Err(Error::bad(
            BadRequest::InUse,
            format!("{} owns the source {}: give it another owner", identity.alias, owned.name),
        ));
    }
    tx.remove_identity(identity)?;
    let detail = serde_json::json!({ "personal": { "alias": identity.alias } });
    tx.audit(Audit { actor, action: "USER_DELETE", object: identity.id.as_str(), detail })?;
    Ok(())
}

/// The people that a caller may see: only themselves, unless their level allows more.
pub async fn list(app: &App, caller: &Caller, asked: &Asked) -> Result<Page<Identity>, Error> {
    let mut listing = Listing::of_identities(asked)?;
    if let Some(own) = caller.identity_id.as_ref().filter(|_| !caller.may_see_others()) {
        listing = listing.only("id", own.as_str());
    }
    app.store.list(caller.principal(), move |tx| Ok(tx.identities_page(&listing)?)).await
}

/// All people: every caller may see their names.
pub async fn list_public(
    app: &App,
    caller: &Caller,
    asked: &Asked,
) -> Result<Page<Identity>, Error> {
    let listing = Listing::of_identities(asked)?;
    app.store.list(caller.principal(), move |tx| Ok(tx.identities_page(&listing)?)).await
}

/// A person, if the caller may see them; else not found.
pub async fn one(app: &App, caller: &Caller, id: IdentityId) -> Result<Identity, Error> {
    if !caller.may_see_others() && !caller.is(&id) {
        return Err(Error::NotFound("identity"));
    }
    let found: Option<Identity> = app.store.read(move |tx| tx.identity(&id)).await?;
    found.ok_or(Error::NotFound("identity"))
}

/// Sets the first password of a person, to sign in with. Returns false if they already have one.
pub async fn set_first_password(
    app: &App,
    identity: &Identity,
    password: Password,
) -> Result<bool, Error> {
    let verifier = first_verifier(&password).await?;
    let identity = identity.clone();
    app.store
        .write(move |tx| {
            insert_first_password(tx, &identity, &verifier, crate::model::audit::ACTOR)
        })
        .await
}

/// The verifier for [`insert_first_password`]. It is slow to compute: not inside a transaction.
pub async fn first_verifier(password: &Password) -> Result<String, Error> {
    let salt = rekey_vault::random()?;
    Ok(built_in::hash(password, salt).await?)
}

/// Stores a first password, inside the caller's transaction. Returns false if there is one already.
pub fn insert_first_password(
    tx: &mut Tx<'_>,
    identity: &Identity,
    verifier: &str,
    actor: &str,
) -> Result<bool, Error> {
    let source = tx.source_named(IDENTITY_NOW)?.ok_or_else(|| {
        Error::Setup("there is no source IdentityNow to sign in to: run `rekey init`".into())
    })?;
    if tx.builtin_password(&source.id, &identity.alias)?.is_some()
        || !tx.set_builtin_password(&source.id, &identity.alias, verifier, 0)?
    {
        return Ok(false);
    }
    let detail = serde_json::json!({ "personal": { "alias": identity.alias } });
    tx.audit(Audit { actor, action: "USER_FIRST_PASSWORD", object: identity.id.as_str(), detail })?;
    Ok(true)
}
