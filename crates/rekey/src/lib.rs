//! rekey changes people's passwords where they live.
//!
//! Read it along one request, `POST /set-password`:
//!
//! 1. [`api`] reads the request and names the caller;
//! 2. [`password::accept`] decides on public facts only, and takes the request's place in the
//!    order of acceptance, in one durable transaction: the `202`;
//! 3. [`store`] keeps it, in SQLite or in PostgreSQL;
//! 4. [`jobs::change_password`] decrypts, judges, announces, writes, verifies and ends it;
//! 5. `rekey_connectors` speaks to the system that holds the account.
//!
//! The modules at this level are the vocabulary; they know no SQL and no HTTP. `api` and `jobs`
//! call them; they call `store`, which knows their shapes and none of their rules.

pub mod access;
pub mod account;
pub mod api;
pub mod app;
pub mod apply;
pub mod audit;
pub mod bootstrap;
pub mod builtin;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod error;
pub mod fuzz;
pub mod grant;
pub mod id;
pub mod identity;
pub mod jitter;
pub mod jobs;
pub mod keys;
pub mod metrics;
pub mod open;
pub mod password;
pub mod policy;
pub mod portal;
pub mod proof;
pub mod secrets;
pub mod serve;
pub mod sign_in;
pub mod source;
pub mod store;
pub mod sync_group;
pub mod tls;
pub mod token;

pub(crate) use rekey_connectors::nearest;

pub use self::{app::App, error::Error};

/// Who did it, in the audit trail, when no caller did: the operator at the machine, or a job.
pub const ACTOR: &str = "rekey";
