//! Password policies: which one is in force. Judging a password is the vault's.

use rekey_vault::Policy;

use crate::{
    Error,
    clock::Micros,
    id::{PolicyId, SourceId},
    store::{Json, Tx, from_row},
};

/// The setting that keeps the dictionary's text, as it was uploaded.
pub const DICTIONARY: &str = "password_dictionary";

/// A named policy.
#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    /// Rekey's name for it.
    pub id: PolicyId,
    /// The name people read; unique, compared without regard to case.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it asks of a password.
    pub members: Json<Policy>,
    /// Whether it is in force where no other is; exactly one is.
    pub default_policy: bool,
    /// When it was made.
    pub created: Micros,
    /// When it was last changed.
    pub modified: Micros,
}

from_row!(PasswordPolicy { id, name, description, members, default_policy, created, modified });

/// The policy in force on a source: its sync group's, else its own, else the tenant's default.
pub fn in_force(
    tx: &mut Tx<'_>,
    source: &SourceId,
    own: Option<&PolicyId>,
) -> Result<Policy, Error> {
    let named = match (tx.group_of(source)?, own) {
        (Some(group), _) => tx.policy(&group.policy_id)?,
        (None, Some(own)) => tx.policy(own)?,
        (None, None) => None,
    };
    let policy = match named {
        Some(policy) => Some(policy),
        None => tx.default_policy()?,
    };
    Ok(policy.map(|policy| policy.members.0).unwrap_or_default())
}
