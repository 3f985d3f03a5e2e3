//! Simulates the effect of a power failure on files: synced data stays, and of the rest a random
//! part.
//!
//! 1. The [`journal`] keeps, for every file below a folder, what must be undone as long as it is
//!    not synced. `powerloss-shim`, preloaded into a program, writes it.
//! 2. [`undo`] simulates the failure: it undoes all unsynced changes, or a random part in units of
//!    a sector.

pub mod journal;
pub mod undo;
