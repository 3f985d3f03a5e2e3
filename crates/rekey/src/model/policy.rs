//! A named password policy.

use rekey_vault::Policy;

use super::{
    column::{Json, from_row},
    id::PolicyId,
    time::Micros,
};

/// A named password policy.
#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    /// The policy's id.
    pub id: PolicyId,
    /// The display name; unique, compared without regard to case.
    pub name: String,
    /// A description for people.
    pub description: Option<String>,
    /// The rules for passwords.
    pub members: Json<Policy>,
    /// Whether it is the default, which applies where no other policy does. Exactly one policy is.
    pub default_policy: bool,
    /// The time of creation.
    pub created: Micros,
    /// The time of the last modification.
    pub modified: Micros,
}

from_row!(PasswordPolicy { id, name, description, members, default_policy, created, modified });
