//! The HTTP layer: the listeners, the API and the pages.
//!
//! Modules here parse requests and format responses. The domain modules that they call decide what
//! a request means and whether its caller is authorized.

pub mod api;
pub(crate) mod portal;
pub mod serve;
