//! The real rekey in a folder of its own, and a client of low cost: the basis of measurements and
//! proofs.
//!
//! 1. [`place`]: a folder, a store, and the binary that uses them;
//! 2. [`server`]: `rekey serve` in that folder, started, killed and started again;
//! 3. [`http`]: one persistent connection to it;
//! 4. [`sources`]: aggregations of its sources;
//! 5. [`password`]: passwords encrypted as clients do, with the key from query-password-info;
//! 6. [`rows`]: direct access to the store, as its operator has.

pub mod http;
pub mod password;
pub mod place;
pub mod rows;
pub mod server;
pub mod sources;

pub use self::{
    http::{Answer, Connection, request},
    password::{Info, text},
    place::{Place, fresh_database},
    rows::{Row, Rows},
    server::Server,
    sources::{begin_reading, read_accounts, reading},
};

/// An error with a message only: no caller handles one kind differently from another.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// The result of a helper in this crate.
pub type Result<T> = std::result::Result<T, Error>;
