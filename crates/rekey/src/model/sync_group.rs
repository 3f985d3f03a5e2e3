//! A sync group.

use super::{
    column::from_row,
    id::{PolicyId, SyncGroupId},
    time::Micros,
};

/// Sources whose accounts share one password.
#[derive(Clone, Debug)]
pub struct SyncGroup {
    /// Rekey's name for it: a dashed UUID.
    pub id: SyncGroupId,
    /// The name people read.
    pub name: String,
    /// The policy of all its sources.
    pub policy_id: PolicyId,
    /// When it was made.
    pub created: Micros,
    /// When it was last changed.
    pub modified: Micros,
}

from_row!(SyncGroup { id, name, policy_id, created, modified });
