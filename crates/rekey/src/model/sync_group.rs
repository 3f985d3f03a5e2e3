//! A sync group.

use super::{
    column::from_row,
    id::{PolicyId, SyncGroupId},
    time::Micros,
};

/// Sources whose accounts share one password.
#[derive(Clone, Debug)]
pub struct SyncGroup {
    /// The group's id: a dashed UUID.
    pub id: SyncGroupId,
    /// The display name.
    pub name: String,
    /// The policy of all its sources.
    pub policy_id: PolicyId,
    /// The time of creation.
    pub created: Micros,
    /// The time of the last modification.
    pub modified: Micros,
}

from_row!(SyncGroup { id, name, policy_id, created, modified });
