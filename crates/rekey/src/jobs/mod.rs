//! Background work: it continues after the request that caused it was answered.

mod aggregate;
pub mod chain;
pub mod change_password;
mod gather;
mod gone;
pub mod queue;
pub mod sweep;
pub mod worker;

pub use self::queue::run_jobs;
