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
