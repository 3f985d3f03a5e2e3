//! Refuses requests that two parsers, such as a proxy's and rekey's, may read differently.
//!
//! hyper accepts some requests that HTTP/1.1 forbids (RFC 9112, sections 3.2 and 6.1). They are
//! refused before authentication, and their connection is closed.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header},
    middleware::Next,
    response::Response,
};

use super::error::answer;

/// Passes on only requests that every conforming parser reads alike; others answer 400.
pub(super) async fn unambiguous(request: Request, next: Next) -> Response {
    let hosts = count(&request, header::HOST);
    let why = if !is_plain(request.headers()) {
        "Transfer-Encoding must come once, and be chunked"
    } else if request.version() == Version::HTTP_11 && hosts != 1 {
        "the request must have exactly one Host"
    } else if count(&request, header::AUTHORIZATION) > 1 {
        "the request must have at most one Authorization: send only that of the client that asks"
    } else {
        return next.run(request).await;
    };
    let mut response = answer(StatusCode::BAD_REQUEST, "400.0 Bad request syntax", why);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn count(request: &Request, name: HeaderName) -> usize {
    request.headers().get_all(name).iter().count()
}

/// Whether the body has no transfer coding, or `chunked` once and no other.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(is_chunked) && codings.next().is_none()
}
