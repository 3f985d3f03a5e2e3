//! The pages for people: plain HTML that needs no script.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};

use crate::{App, Error};

pub(crate) mod sign_in;

const STYLE: &str = include_str!("../../../templates/style.css");

/// The routes of the pages.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/", get(home))
        .route("/sign-in", get(sign_in::page).post(sign_in::submit))
        .route("/style.css", get(style))
}

/// The start page: it explains what rekey is and links to the rest.
#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    base: String,
}

async fn home(State(app): State<App>) -> Response {
    show(&app, StatusCode::OK, &Home { base: app.config.base_url() }, None)
}

/// A page with one sentence, for a request that cannot continue.
#[derive(Template)]
#[template(path = "notice.html")]
struct Notice<'a> {
    title: &'a str,
    text: &'a str,
}

fn notice(app: &App, status: StatusCode, title: &str, text: &str) -> Response {
    show(app, status, &Notice { title, text }, None)
}

async fn style() -> Response {
    let kind = (header::CONTENT_TYPE, "text/css; charset=utf-8");
    ([kind, (header::CACHE_CONTROL, "max-age=3600")], STYLE).into_response()
}

/// A page under a content security policy that forbids scripts and framing.
///
/// `form` is a redirect target that a form of the page may lead to besides this site: browsers
/// apply `form-action` to the redirect after a form, too.
fn show(app: &App, status: StatusCode, page: &impl Template, form: Option<&str>) -> Response {
    let html = match page.render() {
        Ok(html) => html,
        Err(error) => return Error::Internal(error.to_string()).into_response(),
    };
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action 'self' {}; frame-ancestors 'none'; base-uri 'none'",
        form.and_then(origin).unwrap_or_default()
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        // Not `no-referrer`: with it, browsers send `Origin: null` with the form.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if app.config.base_url().starts_with("https://") {
        let value = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    response
}

/// A URI's origin as a source of a content security policy, or only its scheme if the URI has no
/// plain origin.
fn origin(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    let Some(rest) = rest.strip_prefix("//") else { return Some(format!("{scheme}:")) };
    let host = rest.split(['/', '?']).next().filter(|host| !host.is_empty());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    match host.filter(|host| host.bytes().all(plain)) {
        Some(host) if scheme == "http" || scheme == "https" => Some(format!("{scheme}://{host}")),
        _ => Some(format!("{scheme}:")),
    }
}

/// Whether a form was sent from one of rekey's own pages. Browsers report the origin of a form; a
/// request without these headers comes from no browser, so it abuses nobody's session.
fn is_ours(app: &App, headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match text(HeaderName::from_static("sec-fetch-site")) {
        Some("same-origin" | "none") => return true,
        Some(_) => return false,
        None => {}
    }
    let Some(origin) = text(header::ORIGIN) else { return true };
    let host = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
    origin == app.config.base_url()
        || host.is_some_and(|host| text(header::HOST) == Some(host.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_all_a_policy_gets() {
        for (uri, expected) in [
            ("https://portal.example.com/cb?x=1", "https://portal.example.com"),
            ("http://127.0.0.1:7777/cb", "http://127.0.0.1:7777"),
            ("http://[::1]:7777/cb", "http://[::1]:7777"),
            ("com.example.app:/cb", "com.example.app:"),
            ("https://a;script-src/", "https:"),
        ] {
            assert_eq!(origin(uri).as_deref(), Some(expected));
        }
    }
}
