//! OAuth 2.0 as ISC speaks it (docs/contract.md#oauth): no token is asked for here.

use axum::{
    Router,
    routing::{get, post},
};

use crate::{App, http::portal};

mod info;
mod parameters;
mod token;

pub(crate) use self::parameters::Parameters;

/// The endpoints without a token. `GET /oauth/authorize` is the sign-in page itself.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/oauth/authorize", get(portal::sign_in::page))
        .route("/oauth/info", get(info::handler))
        .route("/oauth/token", post(token::handler))
}
