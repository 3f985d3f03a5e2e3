//! OAuth 2.0 as ISC speaks it (contract, section 2): no token is asked for here.

use axum::{Router, routing::post};

use crate::App;

mod parameters;
mod token;

/// The endpoints without a token.
pub(super) fn router() -> Router<App> {
    Router::new().route("/oauth/token", post(token::handler))
}
