//! Resolves a bearer token to a [`Caller`] before the endpoint reads the request.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{FromRequestParts, Request, State},
    http::{header::AUTHORIZATION, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    error::{no_such_path, too_many},
    limit::{Limits, cost},
    path::Style,
    trail::Watched,
};
use crate::{
    App, Error,
    access::{Access, Caller},
    error::BadRequest,
    model::audit::Origin,
};

/// Passes on only requests with a valid token whose client is within its rate limit. Requests with
/// U+0000 in the path (404) or in the query (400) are refused, since the store cannot hold it.
pub(super) async fn authenticate(
    State(app): State<App>,
    Extension(limits): Extension<Arc<Limits>>,
    mut request: Request,
    next: Next,
) -> Response {
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().to_owned())
        .filter(|token| !token.is_empty());
    let Some(token) = token else {
        return Error::Unauthenticated("JWT is required".into()).into_response();
    };
    match app.tokens.caller(&token).await {
        Ok(_) if request.uri().path().contains("%00") => no_such_path().await,
        Ok(_) if request.uri().query().is_some_and(|query| query.contains("%00")) => Error::bad(
            BadRequest::IllegalValue,
            "the query holds the character U+0000, which no value may have",
        )
        .into_response(),
        Ok(caller) => {
            let style = request.extensions().get().copied().unwrap_or(Style::Latest);
            if let Err(seconds) =
                limits.request(&caller.client_id, style, cost(request.uri().query()))
            {
                return too_many(seconds);
            }
            Origin::set_client(&caller.client_id);
            let watched = Watched::new(&request, &caller);
            request.extensions_mut().insert(caller);
            let response = next.run(request).await;
            watched.record(&app, &response);
            response
        }
        Err(error) => error.into_response(),
    }
}

/// Passes on only requests whose caller meets the operation's `access`. If the operation names
/// levels, the caller keeps only those.
pub(super) async fn require(access: &Access, mut request: Request, next: Next) -> Response {
    let allowed = request
        .extensions_mut()
        .get_mut::<Caller>()
        .ok_or_else(|| Error::Unauthenticated("JWT is required".into()))
        .and_then(|caller| {
            caller.require(access)?;
            caller.keep_levels(access);
            Ok(())
        });
    match allowed {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Error> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Error::Unauthenticated("JWT is required".into()))
    }
}
