//! A person's presence on a source.

use serde_json::{Map, Value};

use crate::{
    clock::Micros,
    id::{AccountId, IdentityId, SourceId},
    store::{Json, from_row},
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
