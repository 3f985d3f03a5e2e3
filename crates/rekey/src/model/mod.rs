//! The objects that rekey stores, as plain values: their fields, their columns, and the rules that
//! depend on nothing else.
//!
//! Nothing here reads or writes the store, uses a network or depends on a request. The other
//! modules build on this one; it uses none of them.

pub mod account;
pub mod audit;
pub mod change;
pub mod client;
pub mod column;
pub mod id;
pub mod identity;
pub mod job;
pub mod level;
pub mod policy;
pub mod source;
pub mod source_key;
pub mod sync_group;
pub mod time;
