//! OAuth 2.0 as ISC implements it (docs/contract.md#oauth). These endpoints need no bearer token.

use axum::{
    Router,
    routing::{get, post},
};

use crate::{App, http::portal};

mod info;
mod parameters;
mod token;

pub(crate) use self::parameters::Parameters;

/// The OAuth endpoints. `GET /oauth/authorize` is the sign-in page itself.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/oauth/authorize", get(portal::sign_in::page))
        .route("/oauth/info", get(info::handler))
        .route("/oauth/token", post(token::handler))
}
