//! A person.

use rekey_connectors::is_hidden;
use rekey_vault::Password;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    App, Error,
    access::{Caller, Level},
    account, builtin,
    clock::Micros,
    error::BadRequest,
    id::IdentityId,
    source::{self, correlation},
    store::{Asked, Audit, Json, Listing, Page, Tx, from_row},
};

/// A person rekey knows.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Rekey's name for them.
    pub id: IdentityId,
    /// Their login name; unique, compared without regard to case.
    pub alias: String,
    /// The name people read.
    pub name: String,
    /// Where to write to them.
    pub email: Option<String>,
    /// Their user levels.
    pub capabilities: Json<Vec<Level>>,
    /// Free attributes; `uid` is a second login name.
    pub attributes: Json<Map<String, Value>>,
    /// Whether they may sign in.
    pub enabled: bool,
    /// Moves when all their tokens are revoked.
    pub generation: i64,
    /// When they were made.
    pub created: Micros,
    /// When they were last changed.
    pub modified: Micros,
}

from_row!(Identity {
    id,
    alias,
    name,
    email,
    capabilities,
    attributes,
    enabled,
    generation,
    created,
    modified
});

impl Identity {
    /// An attribute as text: `alias`, `name` and `email` too.
    pub fn attribute(&self, name: &str) -> Option<String> {
        match name {
            "alias" => Some(self.alias.clone()),
            "email" => self.email.clone(),
            "name" => Some(self.name.clone()),
            other => match self.attributes.0.get(other)? {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            },
        }
    }
}

/// A person to be made.
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
    /// See [`Identity::enabled`], the other way round.
    pub disabled: bool,
}

/// Makes a person.
pub async fn create(app: &App, new: NewIdentity, actor: &str) -> Result<Identity, Error> {
    let identity = prepare(new)?;
    let actor = actor.to_owned();
    app.store.write(move |tx| insert(tx, identity.clone(), &actor)).await
}

/// Checks what can be checked without the store. The times are not set yet.
pub fn prepare(new: NewIdentity) -> Result<Identity, Error> {
    let alias = new.alias.trim().to_owned();
    if alias.is_empty() {
        return Err(Error::bad(BadRequest::Missing, "alias is missing: give the login name"));
    }
    if !may_be_alias(&alias) || holds_controls(&alias) {
        return Err(Error::bad(
            BadRequest::Length,
            format!("alias: give at most {LONGEST} characters, none of them a control character"),
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

/// Adds a person, inside the caller's deed, with an account on every built-in source.
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

/// Keeps a changed person, inside the caller's deed.
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

/// Removes a person, inside the caller's deed; their unfinished changes end by themselves.
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

/// The people a caller may see: themselves only, unless their level says more.
pub async fn list(app: &App, caller: &Caller, asked: &Asked) -> Result<Page<Identity>, Error> {
    let mut listing = Listing::of_identities(asked)?;
    if let Some(own) = caller.identity_id.as_ref().filter(|_| !caller.may_see_others()) {
        listing = listing.only("id", own.as_str());
    }
    app.store.list(caller.principal(), move |tx| Ok(tx.identities_page(&listing)?)).await
}

/// Everyone: names are no secret within the house.
pub async fn list_public(
    app: &App,
    caller: &Caller,
    asked: &Asked,
) -> Result<Page<Identity>, Error> {
    let listing = Listing::of_identities(asked)?;
    app.store.list(caller.principal(), move |tx| Ok(tx.identities_page(&listing)?)).await
}

/// A person a caller may see.
pub async fn one(app: &App, caller: &Caller, id: IdentityId) -> Result<Identity, Error> {
    if !caller.may_see_others() && !caller.is(&id) {
        return Err(Error::NotFound("identity"));
    }
    let found: Option<Identity> = app.store.read(move |tx| tx.identity(&id)).await?;
    found.ok_or(Error::NotFound("identity"))
}

/// Gives a person without a password their first one, to sign in with; whether it did.
pub async fn set_first_password(
    app: &App,
    identity: &Identity,
    password: Password,
) -> Result<bool, Error> {
    let verifier = first_verifier(&password).await?;
    let identity = identity.clone();
    app.store.write(move |tx| insert_first_password(tx, &identity, &verifier, crate::ACTOR)).await
}

/// What [`insert_first_password`] takes. Takes a while: not for a deed.
pub async fn first_verifier(password: &Password) -> Result<String, Error> {
    let salt = rekey_vault::random()?;
    Ok(builtin::hash(password, salt).await?)
}

/// Keeps a first password, inside the caller's deed; whether there was none.
pub fn insert_first_password(
    tx: &mut Tx<'_>,
    identity: &Identity,
    verifier: &str,
    actor: &str,
) -> Result<bool, Error> {
    let source = tx.source_named(source::IDENTITY_NOW)?.ok_or_else(|| {
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

/// The longest alias, in characters.
const LONGEST: usize = 128;

/// How names are compared: without regard to case.
pub fn name_key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// Whether a name is no longer than a login name may be.
pub fn may_be_alias(name: &str) -> bool {
    name.trim().chars().count() <= LONGEST
}

/// Whether a name could break a line or show itself as another: see [`is_hidden`].
pub fn holds_controls(name: &str) -> bool {
    let mut is_after_ascii = true;
    name.chars().any(|c| {
        // Persian, Hindi and emoji need these; after ASCII they make one name look like another.
        let joins = matches!(c, '\u{200C}' | '\u{200D}' | '\u{FE0F}') && !is_after_ascii;
        is_after_ascii = c.is_ascii();
        is_hidden(c) && !joins
    })
}

/// A reference to a person, as the wire has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdentityRef {
    /// Always `IDENTITY`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who.
    pub id: IdentityId,
    /// Their name.
    #[serde(default)]
    pub name: Option<String>,
}
