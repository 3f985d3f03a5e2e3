//! A row of the audit trail: its content, its digest, and its position in the tree of all rows.

pub mod event;
pub mod origin;
pub mod personal;
pub mod tree;

/// The actor or the object of an attempt, if rekey does not know it.
pub const UNKNOWN: &str = "unknown";

/// The actor if there is no caller: the operator on the machine, or a job.
pub const ACTOR: &str = "rekey";

pub use self::{
    event::{Content, Event},
    origin::Origin,
    personal::{Address, Addresses, Personal},
    tree::Hash,
};
