//! An account: a person's presence on a source.

use serde_json::{Map, Value};

use super::{
    column::{Json, from_row},
    id::{AccountId, IdentityId, SourceId},
    time::Micros,
};

/// The id of no identity: see [`Account::confirmed_owner`].
pub const NOBODY: &str = "nobody";

/// An account, as aggregated from its source.
#[derive(Clone, Debug)]
pub struct Account {
    /// The account's id.
    pub id: AccountId,
    /// Its source.
    pub source_id: SourceId,
    /// Its owner; none while it is uncorrelated.
    pub identity_id: Option<IdentityId>,
    /// The source's own name for it, such as a DN, a login or a role. The wire's `accountId`.
    pub native_identity: String,
    /// The source's stable id of it, which does not change with a rename; none if the source has no
    /// such id or none was read yet.
    pub stable_id: Option<String>,
    /// The display name. The wire's `accountName`.
    pub name: String,
    /// Its attributes.
    pub attributes: Json<Map<String, Value>>,
    /// Whether it is disabled on the source.
    pub disabled: bool,
    /// Whether it is locked on the source.
    pub locked: bool,
    /// The correlation generation of its source in which it was last confirmed: while the source
    /// has a newer one, its password cannot be changed.
    pub generation: i64,
    /// The person that its correlation attribute names. An aggregation that read all accounts makes
    /// them its owner if no other account of the source names them.
    pub claims: Option<IdentityId>,
    /// Whether an administrator assigned its owner; aggregations do not change it then.
    pub manually_correlated: bool,
    /// Its first owner, or the owner that an administrator confirmed: while it belongs to another
    /// person, it takes no part in sync groups. [`NOBODY`] if its correlation attribute gained a
    /// value while the account had no owner: a writer of that attribute could choose its first
    /// owner.
    pub confirmed_owner: Option<IdentityId>,
    /// Why it has no owner, if an aggregation removed its owner or assigned it to none of several
    /// people; or why it keeps its owner and cannot be changed.
    pub uncorrelated_because: Option<String>,
    /// When an aggregation first found it.
    pub created: Micros,
    /// When rekey last observed a change of it.
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
    /// An account without an owner, first found at `now`, named by its native identity, and
    /// confirmed in the first correlation generation.
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

    /// Sets the owner, or none with the reason. The first owner is remembered in `confirmed_owner`.
    pub fn set_owner(&mut self, owner: Option<IdentityId>, because: Option<String>) {
        let first = self.identity_id.as_ref().or(owner.as_ref());
        self.confirmed_owner = self.confirmed_owner.take().or_else(|| first.cloned());
        self.identity_id = owner;
        self.uncorrelated_because = because;
    }

    /// Whether it has never had an owner.
    pub fn is_new_to_owners(&self) -> bool {
        self.identity_id.is_none() && self.confirmed_owner.is_none()
    }

    /// Whether it has a new owner that nobody has confirmed.
    pub fn is_unconfirmed(&self) -> bool {
        self.identity_id.is_some()
            && self.confirmed_owner.is_some()
            && self.identity_id != self.confirmed_owner
    }

    /// Whether clients see a difference between this account and `old`.
    pub(crate) fn shows_otherwise(&self, old: &Self) -> bool {
        (&self.identity_id, &self.native_identity, &self.name, &self.attributes)
            != (&old.identity_id, &old.native_identity, &old.name, &old.attributes)
            || (self.disabled, self.locked) != (old.disabled, old.locked)
    }

    /// Whether everything stored but the time equals `old`.
    pub(crate) fn is_as(&self, old: &Self) -> bool {
        !self.shows_otherwise(old)
            && (&self.stable_id, self.generation, &self.claims)
                == (&old.stable_id, old.generation, &old.claims)
            && (&self.confirmed_owner, &self.uncorrelated_because)
                == (&old.confirmed_owner, &old.uncorrelated_because)
    }
}
