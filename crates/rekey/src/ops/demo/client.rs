//! A client of rekey such as anyone could write, with HTTP, forms and JSON.

use std::fmt::Write;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use crate::Error;

/// The longest response that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// A client of one rekey.
pub(super) struct Client {
    base: String,
    http: Http<HttpConnector, Full<Bytes>>,
}

/// A response of rekey.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) location: Option<String>,
    body: Bytes,
}

impl Client {
    pub(super) fn new(base: &str) -> Self {
        Self { base: base.to_owned(), http: Http::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends a GET request.
    pub(super) async fn get(&self, path: &str, token: Option<&str>) -> Result<Answer, Error> {
        self.send(Method::GET, path, token, None).await
    }

    /// Sends a form with POST.
    pub(super) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Result<Answer, Error> {
        let body = ("application/x-www-form-urlencoded", encoded(fields));
        self.send(Method::POST, path, None, Some(body)).await
    }

    /// Sends JSON with POST.
    pub(super) async fn json(
        &self,
        path: &str,
        token: &str,
        body: &Value,
    ) -> Result<Answer, Error> {
        let body = ("application/json", body.to_string());
        self.send(Method::POST, path, Some(token), Some(body)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<(&str, String)>,
    ) -> Result<Answer, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Setup(format!("{path}: {error}"));
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let mut bytes = Bytes::new();
        if let Some((kind, body)) = body {
            request = request.header(header::CONTENT_TYPE, kind);
            bytes = Bytes::from(body);
        }
        let request = request.body(Full::new(bytes)).map_err(|error| failed(&error))?;
        let answer = self.http.request(request).await.map_err(|error| failed(&error))?;
        let location = answer.headers().get(header::LOCATION);
        let location = location.and_then(|to| to.to_str().ok()).map(str::to_owned);
        let status = answer.status();
        let body = http_body_util::Limited::new(answer.into_body(), LONGEST);
        let body = body.collect().await.map_err(|error| failed(&error))?.to_bytes();
        Ok(Answer { status, location, body })
    }
}

impl Answer {
    /// The response if it has the expected status, else an error with its body.
    pub(super) fn due(self, status: StatusCode) -> Result<Self, Error> {
        if self.status == status {
            return Ok(self);
        }
        let said = String::from_utf8_lossy(&self.body).into_owned();
        Err(Error::Setup(format!("the answer is {} where {status} was due: {said}", self.status)))
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::Setup(format!("the answer is no JSON: {error}")))
    }
}

/// A text in a body, by its JSON pointer.
pub(super) fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, Error> {
    let text = body.pointer(name).and_then(Value::as_str);
    text.ok_or_else(|| Error::Setup(format!("{name} is missing in the answer {body}")))
}

/// The elements of a list in a body; empty if it is missing.
pub(super) fn list<'a>(body: &'a Value, name: &str) -> &'a [Value] {
    body.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Fields as a percent-encoded form: `a=1&b=2`.
pub(super) fn encoded(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    fields.collect::<Vec<_>>().join("&")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
