//! Errors as HTTP responses (docs/contract.md#errors).

use axum::{
    Json,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tracing::{Instrument, field::Empty};

use super::{
    client_address::ClientAddress,
    measure::{known_method, route},
};
use crate::{Error, error::BadRequest, model::audit::Origin, store};

const TRACKING_HEADER: HeaderName = HeaderName::from_static("slpt-request-id");

/// The contract's `ErrorResponseDto`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    detail_code: &'static str,
    tracking_id: String,
    messages: [Message; 1],
    causes: [Message; 1],
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    locale: &'static str,
    locale_origin: &'static str,
    text: String,
}

/// Gives each request a tracking id and a tracing span, and each response the headers that all of
/// them have.
pub async fn tracking(request: Request, next: Next) -> Response {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let span = tracing::info_span!(
        "request",
        tracking_id = id,
        method = known_method(request.method()),
        path = request.uri().path(),
        route = route(&request),
        request_id = Empty,
        status = Empty,
    );
    let ip = request.extensions().get::<ClientAddress>().map(|client| client.0);
    let user_agent = request.headers().get(header::USER_AGENT).and_then(|v| v.to_str().ok());
    let origin = Origin::of_request(id.clone(), ip, user_agent);
    let mut response = origin.scope(next.run(request).instrument(span.clone())).await;
    span.record("status", i64::from(response.status().as_u16()));
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(TRACKING_HEADER, value);
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The tracking id of the current request.
pub(super) fn tracking_id() -> String {
    Origin::tracking_id()
}

/// A response with the contract's error body.
pub(super) fn answer(
    status: StatusCode,
    detail_code: &'static str,
    text: impl Into<String>,
) -> Response {
    let message = Message { locale: "en-US", locale_origin: "DEFAULT", text: text.into() };
    let body = ErrorBody {
        detail_code,
        tracking_id: tracking_id(),
        messages: [message.clone()],
        causes: [message],
    };
    (status, Json(body)).into_response()
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::BadRequest { code, text } => {
                answer(StatusCode::BAD_REQUEST, detail_code(code), text)
            }
            error @ Self::Busy(_) => {
                let text = error.to_string();
                let mut response =
                    answer(StatusCode::SERVICE_UNAVAILABLE, "503 Service unavailable", text);
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
                response
            }
            Self::Fault(fault) => {
                tracing::warn!(error = &fault as &dyn std::error::Error, "a connector failed");
                answer(StatusCode::BAD_REQUEST, "400.1 Bad request content", fault.message)
            }
            Self::Forbidden(text) => answer(StatusCode::FORBIDDEN, "403 Forbidden", text),
            Self::NotFound(what) => answer(
                StatusCode::NOT_FOUND,
                "404 Not found",
                format!("there is no {what} with this id, or the caller may not see it"),
            ),
            Self::Store(store::Error::TooLong(_)) => answer(
                StatusCode::BAD_REQUEST,
                detail_code(BadRequest::Limit),
                "the list takes too long to read: narrow the filter, ask for a page further in front, or leave out count",
            ),
            Self::Store(store::Error::Busy) => {
                let text = "too many lists are asked for at once: wait as long as Retry-After says, and send the request again";
                let mut response =
                    answer(StatusCode::SERVICE_UNAVAILABLE, "503 Service unavailable", text);
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
                response
            }
            Self::Store(error) if error.is_unavailable() => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the store is not available"
                );
                let text = "rekey cannot reach its store just now: send the same request again, it is carried out once";
                let mut response =
                    answer(StatusCode::SERVICE_UNAVAILABLE, "503 Service unavailable", text);
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                response
            }
            error @ (Self::Internal(_) | Self::Setup(_) | Self::Store(_) | Self::Vault(_)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
                answer(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "500.0 Internal fault",
                    "An internal fault occurred: tell the operator the trackingId",
                )
            }
            Self::Unauthenticated(text) => unauthenticated(&text),
            Self::Unprocessable(text) => {
                answer(StatusCode::UNPROCESSABLE_ENTITY, "422 Unprocessable entity", text)
            }
        }
    }
}

/// A 401 with the body of ISC's gateway instead of the contract's `ErrorResponseDto`.
fn unauthenticated(text: &str) -> Response {
    let body = Json(serde_json::json!({ "error": text }));
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")];
    (StatusCode::UNAUTHORIZED, challenge, body).into_response()
}

/// A 429 with the body of ISC's gateway, including the blanks around its text.
pub(super) fn too_many(retry_after_seconds: u64) -> Response {
    let body = Json(serde_json::json!({ "message": " Rate Limit Exceeded " }));
    let after = [(header::RETRY_AFTER, retry_after_seconds.max(1).to_string())];
    (StatusCode::TOO_MANY_REQUESTS, after, body).into_response()
}

/// The 404 for a path without a route.
pub(super) async fn no_such_path() -> Response {
    answer(
        StatusCode::NOT_FOUND,
        "404 Not found",
        "The server did not find a current representation for the target resource: there is no such path",
    )
}

/// The 405 for a path that has other methods; axum names those in `Allow`.
pub(super) async fn wrong_method() -> Response {
    answer(
        StatusCode::METHOD_NOT_ALLOWED,
        "405 Method not allowed",
        "this path does not take this method: the Allow header names those it takes",
    )
}

fn detail_code(code: BadRequest) -> &'static str {
    match code {
        BadRequest::Conflict => "400.1.409 Reference conflict",
        BadRequest::Content => "400.1 Bad request content",
        BadRequest::IllegalUpdate => "400.1.1 Illegal update attempt",
        BadRequest::IllegalValue => "400.1.3 Illegal value",
        BadRequest::InUse => "400.2.1.0 Object in use by another",
        BadRequest::Length => "400.1.2 Value length out of range",
        BadRequest::Limit => "400.1.4 Limit violation",
        BadRequest::Missing => "400.1.0 Required data missing or empty",
        BadRequest::Referenced => "400.1.404 Referenced object not found",
        BadRequest::Syntax => "400.0 Bad request syntax",
    }
}
