//! The audit rows of requests that change nothing: requests that are refused, and reads that only
//! administrators and API clients may do.

use axum::{
    extract::Request,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::measure::{known_method, route};
use crate::{
    App, Error,
    access::Caller,
    audit::{Attempt, Party, attempted},
    model::audit::UNKNOWN,
};

/// Routes that return people, accounts and sources. `public-identities` is not among them, since
/// every caller may read it.
const SHOWN: [&str; 3] = ["/accounts", "/identities", "/sources"];
/// The longest id: 32 hexadecimal digits, or a UUID with hyphens.
const LONGEST_ID: usize = 36;

/// The facts about a request that its audit row needs, kept while a handler consumes the request.
pub(super) struct Watched {
    method: Method,
    route: String,
    /// The id in the path, if the route has one.
    object: Option<String>,
    actor: String,
    /// Whether the caller may read more than their own objects.
    is_powerful: bool,
}

/// The object of a refused request if the path does not name it; an extension of the response.
#[derive(Clone)]
struct About(String);

/// The response to an error about an object that only the body names.
pub(super) fn about(error: Error, object: &str) -> Response {
    let mut response = error.into_response();
    response.extensions_mut().insert(About(object.to_owned()));
    response
}

impl Watched {
    pub(super) fn new(request: &Request, caller: &Caller) -> Self {
        let route = route(request).to_owned();
        let mut parts = route.split('/').zip(request.uri().path().split('/'));
        Self {
            method: request.method().clone(),
            object: parts.find(|(part, _)| *part == "{id}").map(|(_, id)| id.to_owned()),
            route,
            actor: caller.principal().to_owned(),
            is_powerful: caller.is_api_authority() || !caller.levels.is_empty(),
        }
    }

    /// Records the request if it was refused or was an administrative read.
    pub(super) fn record(&self, app: &App, response: &Response) {
        let shows = || SHOWN.iter().any(|shown| self.route.starts_with(shown));
        let is_read = self.method == Method::GET;
        match response.status() {
            StatusCode::FORBIDDEN => self.refused(app, response, "the caller may not do this"),
            // A 404 may hide an object that the caller may not see, so a write that gets one counts
            // as refused.
            StatusCode::NOT_FOUND if !is_read && self.object.is_some() => {
                self.refused(
                    app,
                    response,
                    "there is no such object, or the caller may not see it",
                );
            }
            StatusCode::OK if is_read && self.is_powerful && shows() => self.has_read(app),
            _ => {}
        }
    }

    fn refused(&self, app: &App, response: &Response, why: &'static str) {
        let about = response.extensions().get().map(|About(object)| object);
        let object = about.or(self.object.as_ref()).filter(|object| is_id(object));
        let attempt = Attempt {
            actor: &self.actor,
            action: "ACCESS_DENIED",
            object: object.map_or(UNKNOWN, String::as_str),
            why: Some(why),
            detail: json!({ "operation": self.operation() }),
            party: Party::Known(self.actor.clone()),
        };
        attempted(&app.audit, attempt);
    }

    fn has_read(&self, app: &App) {
        let attempt = Attempt {
            actor: &self.actor,
            action: "ADMINISTRATIVE_READ",
            object: &self.route,
            why: None,
            detail: json!({}),
            party: Party::Reader(self.actor.clone(), self.route.clone()),
        };
        attempted(&app.audit, attempt);
    }

    fn operation(&self) -> String {
        format!("{} {}", known_method(&self.method), self.route)
    }
}

/// Whether a caller's text has the form of an id. No other text of a caller enters the trail.
fn is_id(text: &str) -> bool {
    text.len() <= LONGEST_ID && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
