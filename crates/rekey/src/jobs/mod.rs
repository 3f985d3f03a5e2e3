//! Work that outlives the request that asked for it.

pub mod change_password;
pub mod sweep;
pub mod worker;
