//! rekey changes people's passwords on the systems that hold them.
//!
//! The code is best read along one request, `POST /set-password`:
//!
//! 1. [`http::api`] parses the request and authenticates the caller;
//! 2. [`password::accept`] decides on public facts only and fixes the change's place in the order
//!    of acceptance, in one durable transaction: the `202`;
//! 3. [`store`] stores the change in SQLite or in PostgreSQL;
//! 4. [`jobs::change_password`] decrypts, judges, announces, writes, verifies and ends it;
//! 5. `rekey_connectors` talks to the system that holds the account.
//!
//! The modules at this level are layered, from [`model`], which uses no other, to [`ops`]: each
//! imports only from those below it. ARCHITECTURE.md has the table, and `tests/it/layers.rs` checks
//! every import against it.

pub mod access;
pub mod account;
pub mod app;
pub mod audit;
pub mod bootstrap;
pub mod client;
pub mod config;
pub mod connector;
pub mod error;
pub mod grant;
pub mod http;
pub mod identity;
pub mod jitter;
pub mod jobs;
pub mod keys;
pub mod metrics;
pub mod model;
pub mod ops;
pub mod password;
pub mod policy;
pub mod proof;
pub mod sign_in;
pub mod source;
pub mod store;
pub mod sync_group;
pub mod testing;
pub mod tls;
pub mod token;
pub mod waiters;

pub use self::{app::App, error::Error};
