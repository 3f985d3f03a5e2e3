//! The audit rows of requests that change nothing: those whose caller may not do what they ask,
//! and reads that only administrators and programs may do.

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

/// Routes that show people, accounts and systems. `public-identities` is for everybody.
const SHOWN: [&str; 3] = ["/accounts", "/identities", "/sources"];
/// Ids are 32 hexadecimal digits, or UUIDs with hyphens.
const LONGEST_ID: usize = 36;

/// What the trail needs to know of a request that has been passed on.
pub(super) struct Watched {
    method: Method,
    route: String,
    /// The id in the path.
    object: Option<String>,
    actor: String,
    /// Whether the caller may see more than themselves.
    is_powerful: bool,
}

/// Names the object of a refusal where the path does not.
#[derive(Clone)]
struct About(String);

/// The answer to an error about an object that only the body names.
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

    /// Records the request, if it is one of those.
    pub(super) fn record(&self, app: &App, response: &Response) {
        let shows = || SHOWN.iter().any(|shown| self.route.starts_with(shown));
        let is_read = self.method == Method::GET;
        match response.status() {
            StatusCode::FORBIDDEN => self.refused(app, response, "the caller may not do this"),
            // Somebody else's object reads as one that is not there.
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

/// Whether a caller's text can be the id of something: no other text of theirs gets into the trail.
fn is_id(text: &str) -> bool {
    text.len() <= LONGEST_ID && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
