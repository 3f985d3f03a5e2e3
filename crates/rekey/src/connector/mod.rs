//! Access to the connected systems: the kinds of connectors, the secrets among their attributes,
//! and the open handles, each with a circuit breaker and permits.
//!
//! The effect of an answer on an account is decided elsewhere; the protocols are in the crate
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

/// Returns every kind of connector: those of the crate `rekey_connectors`, and the built-in source.
pub fn kinds() -> impl Iterator<Item = &'static Entry> {
    rekey_connectors::KINDS.iter().chain([&built_in::KIND])
}

/// Finds a kind by its name. The error lists the kinds of this build.
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
