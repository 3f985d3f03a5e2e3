//! Reads JSON bodies; failures answer with the contract's errors instead of the framework's.

use std::{collections::HashSet, fmt, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor},
};

use super::error::answer;
use crate::{App, Error, error::BadRequest};

/// The largest JSON body, in bytes.
pub(super) const JSON_LIMIT: usize = 64 * 1024;
/// The deepest nesting of a JSON body, in levels.
pub(super) const DEPTH: usize = 16;
/// The time within which a whole body must arrive; otherwise the answer is 408.
const PATIENCE: Duration = Duration::from_secs(10);

/// A JSON body of at most [`JSON_LIMIT`] bytes and 16 levels. A body that repeats a member within
/// one object, is not UTF-8 or has the wrong type answers 400, never 422. A media type other than
/// JSON answers 415; a request without `Content-Type` is read as JSON.
pub(super) struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &App) -> Result<Self, Response> {
        if !is_json(&request) {
            return Err(answer(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "415 Unsupported media type",
                "send the body as Content-Type: application/json",
            ));
        }
        let bytes = read(request.into_body(), JSON_LIMIT).await?;
        parse(&bytes).map(Self).map_err(IntoResponse::into_response)
    }
}

/// Reads a body of at most `limit` bytes: 413 if it is larger, 408 if it has not arrived within
/// `PATIENCE`.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, Response> {
    let whole = tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect()).await;
    match whole {
        Err(_) => Err(answer(
            StatusCode::REQUEST_TIMEOUT,
            "408 Request timeout",
            "the body did not arrive within 10 seconds",
        )),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(answer(
            StatusCode::PAYLOAD_TOO_LARGE,
            "413 Payload too large",
            format!("the body is larger than {limit} bytes"),
        )),
        Ok(Err(_)) => {
            Err(Error::bad(BadRequest::Syntax, "the body could not be read to its end")
                .into_response())
        }
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

/// Parses JSON. Errors of syntax and type name the line and column, and never a value.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    if depth(bytes) > DEPTH {
        return Err(Error::bad(
            BadRequest::Syntax,
            format!("The request could not be parsed: it is nested deeper than {DEPTH} levels"),
        ));
    }
    if holds_nul(bytes) {
        return Err(Error::bad(
            BadRequest::IllegalValue,
            "the body holds the character U+0000, which no value may have",
        ));
    }
    let parsed = serde_json::from_slice::<Distinct>(bytes).and(serde_json::from_slice(bytes));
    parsed.map_err(|error| {
        let text = if bytes.iter().all(u8::is_ascii_whitespace) {
            "The request could not be parsed: the body is empty, send a JSON object".to_owned()
        } else {
            format!("The request could not be parsed: {}", without_values(&error))
        };
        Error::bad(BadRequest::Syntax, text)
    })
}

/// Any JSON in which no object repeats a member. serde would keep the last of them in a map, while
/// another parser of the same body (a proxy's, say) may keep the first.
struct Distinct;

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Distinct {
    type Value = Self;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut seen = HashSet::new();
        while let Some((name, Self)) = members.next_entry::<String, Self>()? {
            if let Some(name) = seen.replace(name) {
                return Err(A::Error::custom(format!("duplicate field `{name}`")));
            }
        }
        Ok(self)
    }
}

/// The text of a serde error without the offending value: a value may be a secret, so the text
/// names only the expected type and the position.
fn without_values(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Data => {
            let text = error.to_string();
            let expected =
                text.find("expected ").and_then(|at| text.get(at..)).unwrap_or("another type");
            let expected = expected.split(" at line").next().unwrap_or(expected);
            if text.starts_with("missing field")
                || text.starts_with("duplicate field")
                || text.starts_with("unknown field")
            {
                text
            } else {
                format!("wrong type, {expected} at {place}")
            }
        }
        serde_json::error::Category::Eof => format!("it ends too early, at {place}"),
        serde_json::error::Category::Io | serde_json::error::Category::Syntax => {
            format!("it is not JSON, at {place}")
        }
    }
}

fn is_json(request: &Request) -> bool {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else { return true };
    let kind = value.to_str().unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Whether the JSON holds U+0000, which PostgreSQL cannot store in a text. Valid JSON can contain
/// it only as the escape `\u0000`, since control characters must be escaped.
fn holds_nul(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'\\', [b'u', b'0', b'0', b'0', b'0', ..]) => return true,
            (b'\\', [_, after @ ..]) => after,
            _ => tail,
        };
    }
    false
}

/// The deepest nesting of objects and arrays outside strings; the bytes need not be valid JSON.
pub(super) fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut most, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match (in_text, *byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_text = false,
            (false, b'"') => in_text = true,
            (false, b'{' | b'[') => {
                now += 1;
                most = most.max(now);
            }
            (false, b'}' | b']') => now = now.saturating_sub(1),
            (true | false, _) => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn no_object_may_repeat_a_member_however_deep() {
        for (text, good) in [
            (r#"{"a":[{"b":1,"c":-1.5},{"b":true,"c":null}],"b":"x"}"#, true),
            (r#"{"a":1,"a":1}"#, false),
            (r#"{"a":1,"\u0061":2}"#, false),
            (r#"[{"a":{"b":[],"c":0,"b":[]}}]"#, false),
        ] {
            assert_eq!(parse::<Value>(text.as_bytes()).is_ok(), good, "{text}");
        }
        let told = parse::<Value>(br#"{"a":1,"a":2}"#).unwrap_err().to_string();
        assert!(told.contains("duplicate field `a` at line 1"), "{told}");
    }
}
