//! `GET` and `POST /sign-in`: a person signs in for an application, which sent them here through
//! `/oauth/authorize`.
//!
//! The application's parameters travel in hidden fields. They are validated again when the form
//! comes back, so changing them gains nothing.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use rekey_vault::Password;

use super::{is_ours, notice, show};
use crate::{
    App, Error, bootstrap,
    grant::{self, Ask, Asked, Denied, Refusal},
    http::api::{Limits, Parameters, client_address},
    model::identity::Identity,
    sign_in::Network,
};

const TITLE: &str = "You cannot sign in here";
/// The name of the password field.
const PASSWORD: &str = "password";
/// The application's parameters, which the form carries.
const CARRIED: [&str; 7] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page<'a> {
    application: Option<&'a str>,
    carried: Vec<(&'a str, &'a str)>,
    user_name: &'a str,
    failed: bool,
    cancel: Option<String>,
}

/// The page that the administrator sees after each sign-in until the first password is changed.
#[derive(Template)]
#[template(path = "first_password.html")]
struct FirstPassword<'a> {
    user_name: &'a str,
    file: String,
    base: String,
    /// The application's redirect URI, with the code.
    to: Option<String>,
}

/// `GET`: the form.
pub(crate) async fn page(State(app): State<App>, request: Request) -> Response {
    let parameters = match Parameters::of_query(request.uri()) {
        Ok(parameters) if parameters.get(PASSWORD).is_some() => return in_address(&app),
        Ok(parameters) => parameters,
        Err(refusal) => return unreadable(&app, refusal),
    };
    match asked(&app, &parameters).await {
        Ok(asked) => form(&app, &parameters, asked.as_ref(), StatusCode::OK),
        Err(response) => response,
    }
}

/// `POST`: the filled form.
pub(crate) async fn submit(
    State(app): State<App>,
    Extension(limits): Extension<Arc<Limits>>,
    request: Request,
) -> Response {
    if !is_ours(&app, request.headers()) {
        let text = "The form was sent from another site. Open the sign-in page and try again.";
        return notice(&app, StatusCode::FORBIDDEN, TITLE, text);
    }
    if let Err(seconds) = limits.sign_in(request.extensions()) {
        let text = "Too many people try to sign in from your network. Wait a moment and try again.";
        let mut response = notice(&app, StatusCode::TOO_MANY_REQUESTS, TITLE, text);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        return response;
    }
    if Parameters::of_query(request.uri()).is_ok_and(|query| query.get(PASSWORD).is_some()) {
        return in_address(&app);
    }
    let from = Network::from(client_address(request.extensions()));
    let mut parameters = match Parameters::of_body(request).await {
        Ok(Ok(parameters)) => parameters,
        Ok(Err(refusal)) => return unreadable(&app, refusal),
        Err(response) => return response,
    };
    let password = Password::new(parameters.take(PASSWORD).unwrap_or_default());
    let asked = match asked(&app, &parameters).await {
        Ok(asked) => asked,
        Err(response) => return response,
    };
    let user_name = parameters.get("userName").unwrap_or_default();
    let who = match app.sign_ins.sign_in(from, user_name, password).await {
        Ok(Some(who)) => who,
        Ok(None) => return form(&app, &parameters, asked.as_ref(), StatusCode::FORBIDDEN),
        Err(Error::Busy(_)) => return busy(&app),
        Err(error) => return error.into_response(),
    };
    let first = match bootstrap::is_first_password(&app, &who.identity).await {
        Ok(first) => first,
        Err(error) => return error.into_response(),
    };
    let Some(asked) = asked else {
        if first {
            return first_password(&app, &who.identity, None);
        }
        let text = "Your user name and password are right. No application asked for you, so there is nothing more to do here.";
        return notice(&app, StatusCode::OK, "You are who you say", text);
    };
    match grant::give_code(&app, &asked, &who).await {
        Ok(to) if first => first_password(&app, &who.identity, Some(to)),
        Ok(to) => redirect(&to),
        Err(error) => error.into_response(),
    }
}

/// The application's authorization request; `None` if no application sent the person here.
async fn asked(app: &App, parameters: &Parameters) -> Result<Option<Asked>, Response> {
    if !CARRIED.iter().any(|name| parameters.get(name).is_some()) {
        return Ok(None);
    }
    let ask = Ask {
        client_id: parameters.get("client_id"),
        redirect_uri: parameters.get("redirect_uri"),
        response_type: parameters.get("response_type"),
        scope: parameters.get("scope"),
        state: parameters.get("state"),
        code_challenge: parameters.get("code_challenge"),
        code_challenge_method: parameters.get("code_challenge_method"),
    };
    match grant::asked(app, ask).await {
        Ok(asked) => Ok(Some(asked)),
        Err(Denied::Failed(error)) => Err(error.into_response()),
        Err(Denied::Page(text)) => Err(notice(app, StatusCode::BAD_REQUEST, TITLE, text)),
        Err(Denied::Redirect(to)) => Err(redirect(&to)),
    }
}

fn form(app: &App, parameters: &Parameters, asked: Option<&Asked>, status: StatusCode) -> Response {
    let page = Page {
        application: asked.map(|asked| asked.client.name.as_str()),
        carried: CARRIED.iter().filter_map(|name| Some((*name, parameters.get(name)?))).collect(),
        user_name: parameters.get("userName").unwrap_or_default(),
        failed: status != StatusCode::OK,
        cancel: asked
            .map(|asked| asked.refused(app, "access_denied", "the person did not sign in")),
    };
    show(app, status, &page, asked.map(|asked| asked.redirect_uri.as_str()))
}

fn first_password(app: &App, who: &Identity, to: Option<String>) -> Response {
    let file = bootstrap::file(app).display().to_string();
    let page = FirstPassword { user_name: &who.alias, file, base: app.config.base_url(), to };
    show(app, StatusCode::OK, &page, None)
}

/// A redirect to the client's own URI with the result: 302, as ISC answers.
fn redirect(to: &str) -> Response {
    let headers = [(header::LOCATION, to), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::FOUND, headers).into_response()
}

/// The answer to a password in the URL, which ends up in browser histories and proxy logs.
fn in_address(app: &App) -> Response {
    let text = "A password was sent in the address of the page, where others may read it. Change that password, and type it into the form only.";
    notice(app, StatusCode::BAD_REQUEST, TITLE, text)
}

fn busy(app: &App) -> Response {
    let text = "Too many people try to sign in just now. Wait a few seconds and try again.";
    let mut response = notice(app, StatusCode::SERVICE_UNAVAILABLE, TITLE, text);
    response.headers_mut().insert(header::RETRY_AFTER, 2.into());
    response
}

fn unreadable(app: &App, refusal: Refusal) -> Response {
    let text = if let Refusal::InvalidRequest(text) = refusal { text } else { String::new() };
    notice(app, StatusCode::BAD_REQUEST, TITLE, &text)
}
