//! A row of the audit trail: its content, its digest, its place in the tree of all rows.

pub mod event;
pub mod origin;
pub mod personal;
pub mod tree;

/// The actor, or the object, of an attempt where rekey does not know it.
pub const UNKNOWN: &str = "unknown";

/// The actor where no caller acts: the operator at the machine, or a job.
pub const ACTOR: &str = "rekey";

pub use self::{
    event::{Content, Event},
    origin::Origin,
    personal::{Address, Addresses, Personal},
    tree::Hash,
};
