//! What HTTP clients see: the listeners, the API and the pages.
//!
//! Modules here read requests and write answers. What a request means and who may make it is decided
//! by the domain modules that they call.

pub mod api;
pub(crate) mod portal;
pub mod serve;
