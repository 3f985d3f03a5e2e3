//! OAuth parameters from every place where clients send them: the query, a form, a multipart form,
//! or several of these at once (docs/contract.md#token-requests).

use std::collections::HashMap;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Multipart, Query, Request},
    http::{HeaderMap, Uri, header},
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{
    grant::{Credentials, Refusal},
    http::api::body,
    model::id::ClientId,
};

/// The largest body, in bytes.
const LIMIT: usize = 16 * 1024;

/// The parameters by name. An empty value counts as absent (RFC 6749, section 3.1).
#[derive(Default)]
pub(crate) struct Parameters {
    values: HashMap<String, String>,
    /// The id and secret of HTTP Basic.
    basic: Option<(String, String)>,
}

type Pairs = Vec<(String, String)>;

impl Parameters {
    /// Reads query, body and HTTP Basic; a parameter in the body takes precedence over one in the
    /// query. The outer error is a finished response, for a body that could not be read.
    pub(crate) async fn read(request: Request) -> Result<Result<Self, Refusal>, Response> {
        let (parts, body) = request.into_parts();
        let bytes = body::read(body, LIMIT).await?;
        Ok(async {
            let mut values = once(query(&parts.uri)?)?;
            let form = form(&parts.headers, bytes).await?;
            values.extend(once(form)?);
            Ok(Self { values, basic: basic(&parts.headers)? })
        }
        .await)
    }

    /// Reads the body only. The outer error is a finished response, for a body that could not be
    /// read.
    pub(crate) async fn of_body(request: Request) -> Result<Result<Self, Refusal>, Response> {
        let (parts, body) = request.into_parts();
        let bytes = body::read(body, LIMIT).await?;
        Ok(async {
            let values = once(form(&parts.headers, bytes).await?)?;
            Ok(Self { values, basic: None })
        }
        .await)
    }

    /// Reads the query only.
    pub(crate) fn of_query(uri: &Uri) -> Result<Self, Refusal> {
        Ok(Self { values: once(query(uri)?)?, basic: None })
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Removes a parameter and returns its value.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// The value of a required parameter.
    pub(super) fn require(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name)
            .ok_or_else(|| Refusal::InvalidRequest(format!("the parameter {name} is missing")))
    }

    /// The client's id and secret. HTTP Basic applies if no `client_secret` is among the parameters
    /// and a `client_id` there does not contradict it.
    pub(super) fn credentials(&self) -> Result<Credentials, Refusal> {
        let (id, secret) = (self.get("client_id"), self.get("client_secret"));
        let (id, secret) = match &self.basic {
            Some((basic, key)) if secret.is_none() && id.is_none_or(|id| id == basic) => {
                (basic.as_str(), Some(key.as_str()))
            }
            _ => (self.require("client_id")?, secret),
        };
        Ok(Credentials { id: ClientId(id.to_owned()), secret: secret.map(str::to_owned) })
    }

    /// Whether the client used HTTP Basic.
    pub(super) fn is_basic(&self) -> bool {
        self.basic.is_some()
    }
}

/// The parameters of one place, where each name may occur once; empty values are dropped.
fn once(pairs: Pairs) -> Result<HashMap<String, String>, Refusal> {
    let mut values = HashMap::new();
    for (name, value) in pairs {
        if values.contains_key(&name) {
            // The error does not repeat the name, which is the caller's own text.
            let text = "a parameter came twice in the same place".to_owned();
            return Err(Refusal::InvalidRequest(text));
        }
        no_nul(&value)?;
        values.insert(name, value);
    }
    values.retain(|_, value| !value.is_empty());
    Ok(values)
}

/// Refuses U+0000: PostgreSQL cannot store it, and no id or name contains it.
fn no_nul(value: &str) -> Result<(), Refusal> {
    if value.contains('\0') {
        let text = "a parameter holds the character U+0000, which no value may have".to_owned();
        return Err(Refusal::InvalidRequest(text));
    }
    Ok(())
}

fn query(uri: &Uri) -> Result<Pairs, Refusal> {
    Query::try_from_uri(uri)
        .map(|Query(pairs)| pairs)
        .map_err(|_| Refusal::InvalidRequest("the query cannot be parsed".into()))
}

async fn form(headers: &HeaderMap, bytes: Bytes) -> Result<Pairs, Refusal> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.unwrap_or("application/x-www-form-urlencoded").split(';').next();
    match essence.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => Ok(form_urlencoded::parse(&bytes)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect()),
        "multipart/form-data" => multipart(headers, bytes).await,
        _ => Err(Refusal::InvalidRequest(
            "send the parameters as application/x-www-form-urlencoded or multipart/form-data"
                .into(),
        )),
    }
}

async fn multipart(headers: &HeaderMap, bytes: Bytes) -> Result<Pairs, Refusal> {
    let unreadable = || Refusal::InvalidRequest("the multipart body cannot be parsed".to_owned());
    let mut request = Request::new(Body::from(bytes));
    *request.headers_mut() = headers.clone();
    let mut parts = Multipart::from_request(request, &()).await.map_err(|_| unreadable())?;
    let mut pairs = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(|_| unreadable())? {
        let name = part.name().ok_or_else(unreadable)?.to_owned();
        pairs.push((name, part.text().await.map_err(|_| unreadable())?));
    }
    Ok(pairs)
}

/// HTTP Basic (RFC 6749, section 2.3.1). rekey's ids and secrets contain no character that form
/// encoding would change, so none is decoded.
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())
    else {
        return Ok(None);
    };
    let Some((scheme, encoded)) = value.split_once(' ') else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let pair = BASE64_STANDARD.decode(encoded.trim()).ok();
    let pair = pair.and_then(|bytes| String::from_utf8(bytes).ok());
    no_nul(pair.as_deref().unwrap_or_default())?;
    pair.and_then(|pair| pair.split_once(':').map(|(id, key)| (id.to_owned(), key.to_owned())))
        .map(Some)
        .ok_or_else(|| Refusal::InvalidRequest("the Basic credentials cannot be parsed".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(uri: &str, kind: &str, body: &str) -> Result<Parameters, Refusal> {
        let request = Request::post(uri).header(header::CONTENT_TYPE, kind);
        let request = request.body(Body::from(body.to_owned())).unwrap();
        Parameters::read(request).await.unwrap()
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[tokio::test]
    async fn the_body_wins_over_the_query() {
        let read = read("/?a=1&b=2&c=", FORM, "a=3&d=%2B+x").await.unwrap();
        let values = ["a", "b", "c", "d"].map(|name| read.get(name));
        assert_eq!(values, [Some("3"), Some("2"), None, Some("+ x")]);
    }

    #[tokio::test]
    async fn a_name_comes_once_in_one_place() {
        for (uri, body) in [
            ("/?a=1&a=1", ""),
            ("/", "a=1&a=2"),
            ("/?a=1", "b=1&b="),
            ("/?a&a", ""),
            ("/?a=%00", ""),
        ] {
            assert!(
                matches!(read(uri, FORM, body).await, Err(Refusal::InvalidRequest(_))),
                "{uri} {body}"
            );
        }
        assert!(read("/?a=1", FORM, "a=1").await.is_ok());
    }

    #[tokio::test]
    async fn multipart_names_need_no_quotes() {
        let kind = "multipart/form-data; boundary=\"a-b\"";
        let part =
            "Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=";
        let body = format!(
            "--a-b\r\n{part}x\r\n\r\n1\r\n2\r\n--a-b\r\n{part}\"y\"\r\n\r\n\r\n--a-b--\r\n"
        );
        let parameters = read("/", kind, &body).await.unwrap();
        assert_eq!((parameters.get("x"), parameters.get("y")), (Some("1\r\n2"), None));
        for end in 0..body.len() - 4 {
            let short = body.get(..end).unwrap();
            let read = read("/", kind, short).await;
            assert!(end == 0 || matches!(read, Err(Refusal::InvalidRequest(_))), "{end}");
        }
    }

    #[tokio::test]
    async fn an_empty_body_may_be_of_any_kind() {
        assert!(read("/?a=1", "application/json", "").await.is_ok());
        assert!(read("/?a=1", "application/json", "{}").await.is_err());
    }

    #[test]
    fn basic_is_an_id_and_a_secret() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            basic(&headers)
        };
        let expected = Some(("id".to_owned(), "a:b".to_owned()));
        assert_eq!(of("basic aWQ6YTpi").unwrap(), expected);
        assert_eq!(of("Bearer x").unwrap(), None);
        assert!(of("Basic ???").is_err());
        assert!(of("Basic aWQ=").is_err(), "no colon");
    }
}
