//! Arbitrary bodies, at every endpoint that takes one: no answer may be a 500.

use crate::front;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let [route, body @ ..] = bytes else { return };
    let routes = front().routes_with_body();
    let Some((method, path)) = routes.get(usize::from(*route) % routes.len()) else { return };
    let kind = if method == "PATCH" { "application/json-patch+json" } else { "application/json" };
    front().ask(method, path, &[("content-type", kind)], true, &front().filled(body));
}
