//! A person's presence on a source.

use serde_json::{Map, Value};

use crate::{
    Error,
    clock::Micros,
    id::{AccountId, IdentityId, SourceId},
    identity::Identity,
    source::Source,
    store::{Json, Tx, from_row},
};

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
    /// The name people read. The wire's `accountName`.
    pub name: String,
    /// Its attributes.
    pub attributes: Json<Map<String, Value>>,
    /// Whether the source disabled it.
    pub disabled: bool,
    /// Whether the source locked it.
    pub locked: bool,
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
    name,
    attributes,
    disabled,
    locked,
    created,
    modified,
});

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
        id: AccountId::new(),
        source_id: source.id.clone(),
        identity_id: Some(person.id.clone()),
        native_identity: person.alias.clone(),
        name: person.name.clone(),
        attributes: Json(attributes),
        disabled: !person.enabled,
        locked: false,
        created: now,
        modified: now,
    };
    tx.insert_account(&account)?;
    Ok(account)
}
