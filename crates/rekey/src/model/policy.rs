//! A password policy with a name.

use rekey_vault::Policy;

use super::{
    column::{Json, from_row},
    id::PolicyId,
    time::Micros,
};

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
