//! How this node reaches the systems: the kinds of connectors, the secrets among their attributes,
//! and the open handles with a circuit breaker and permits each.
//!
//! What a change means for an account is decided elsewhere; the protocols are in the crate
//! `rekey_connectors`.

pub mod built_in;
mod handles;
mod permits;
pub mod secrets;

use rekey_connectors::{Entry, Fault, FaultKind};

pub use self::{
    handles::{Handles, SourceHandle},
    permits::Permit,
};

/// Every kind of connector: those of the connectors' crate, and the built-in source.
pub fn kinds() -> impl Iterator<Item = &'static Entry> {
    rekey_connectors::KINDS.iter().chain([&built_in::KIND])
}

/// Finds a kind, or says which there are.
pub fn kind(name: &str) -> Result<&'static Entry, Fault> {
    kinds().find(|entry| entry.name == name).ok_or_else(|| {
        let names: Vec<_> = kinds().map(|entry| entry.name).collect();
        Fault::new(
            FaultKind::Misconfigured,
            format!(
                "there is no connector `{name}` in this build: use one of {}",
                names.join(", ")
            ),
        )
    })
}
