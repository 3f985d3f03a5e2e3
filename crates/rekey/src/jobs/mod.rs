//! Work that outlives the request that asked for it.

mod aggregate;
pub mod chain;
pub mod change_password;
mod gather;
mod gone;
pub mod queue;
pub mod sweep;
pub mod worker;

pub use self::queue::run_jobs;
