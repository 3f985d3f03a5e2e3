//! The real rekey in a folder of its own, and a client that costs little: what measurements and
//! proofs are made of.
//!
//! 1. [`place`]: a folder, a store, and the binary that works there;
//! 2. [`server`]: `rekey serve` in it, started, killed and started again;
//! 3. [`http`]: one kept-alive connection to it;
//! 4. [`sources`]: what it must know of the systems it is connected to;
//! 5. [`password`]: a password encrypted as clients do, with the key from query-password-info;
//! 6. [`rows`]: the store as its operator sees it.

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

/// What can go wrong here needs no more than a sentence.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// Or that sentence.
pub type Result<T> = std::result::Result<T, Error>;
