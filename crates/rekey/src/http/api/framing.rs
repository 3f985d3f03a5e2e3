//! Requests that two readers may take for different ones: a proxy in front of rekey, say, and rekey.
//!
//! What hyper lets through and HTTP/1.1 does not (RFC 9112, sections 3.2 and 6.1) is refused before
//! anything else is looked at, and the connection ends with it.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header},
    middleware::Next,
    response::Response,
};

use super::error::answer;

/// Lets only requests through that everyone reads alike.
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

/// Whether the body comes as it is, or in chunks and nothing else.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(is_chunked) && codings.next().is_none()
}
