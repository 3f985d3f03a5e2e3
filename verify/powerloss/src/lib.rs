//! What a power failure leaves of files: everything that was synced, and of the rest what chance
//! will have.
//!
//! 1. The [`journal`] keeps, for every file below a folder, what must be undone as long as it has
//!    not been synced. `powerloss-shim`, preloaded into a program, writes it.
//! 2. [`undo`] makes the power go: of what was not synced it undoes everything, or only some, in
//!    pieces of a sector.

pub mod journal;
pub mod undo;
