//! The parameters that all collections share (docs/contract.md#collections), and the response with
//! one page.

use axum::{
    Json,
    extract::{FromRequestParts, Query},
    http::{HeaderName, HeaderValue, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    App, Error,
    error::BadRequest,
    store::{Asked, Page},
};

/// The largest page, and the default `limit`: the SDKs' paginators stop at the first page that is
/// shorter than 250 rows.
const MOST: i64 = 250;

const TOTAL: HeaderName = HeaderName::from_static("x-total-count");

/// `limit`, `offset`, `count`, `filters`, `sorters`, and a list's own parameters.
pub(super) struct PageQuery {
    /// The query for the store.
    pub(super) asked: Asked,
    all: Vec<(String, String)>,
}

impl PageQuery {
    /// The value of a parameter that only this list has; the last one if it is repeated.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.all.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter that only this list has is `true`; absent means `false`.
    pub(super) fn is(&self, name: &str) -> Result<bool, Error> {
        boolean(name, self.value(name))
    }
}

impl FromRequestParts<App> for PageQuery {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Error> {
        let Query(all) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| illegal("the query string is not what a form would send"))?;
        let found = |name: &str| {
            let value = all.iter().rev().find(|(key, _)| key == name);
            value.map(|(_, value)| value.as_str())
        };
        let limit = number("limit", found("limit"), MOST)?;
        if limit > MOST {
            return Err(illegal(format!("limit is {limit}: give a number from 0 to {MOST}")));
        }
        let asked = Asked {
            filters: found("filters").map(str::to_owned),
            sorters: found("sorters").map(str::to_owned),
            limit,
            offset: number("offset", found("offset"), 0)?,
            count: boolean("count", found("count"))?,
        };
        Ok(Self { asked, all })
    }
}

/// A non-negative number that fits into 31 bits.
fn number(name: &str, text: Option<&str>, default: i64) -> Result<i64, Error> {
    let Some(text) = text else { return Ok(default) };
    text.parse::<u32>()
        .ok()
        .and_then(|number| i32::try_from(number).ok())
        .map(i64::from)
        .ok_or_else(|| must_be(name, text, "a whole number from 0"))
}

fn boolean(name: &str, text: Option<&str>) -> Result<bool, Error> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(text) => Err(must_be(name, text, "true or false")),
    }
}

/// The error for a bad value. An empty value is an error, not an absent parameter: the contract's
/// schema has no empty number.
fn must_be(name: &str, text: &str, what: &str) -> Error {
    let otherwise = if text.is_empty() { ": it is empty, give one or leave it out" } else { "" };
    illegal(format!("{name} must be {what}{otherwise}"))
}

fn illegal(text: impl Into<String>) -> Error {
    Error::bad(BadRequest::IllegalValue, text)
}

/// The response with one page: a bare JSON array, and the number of all rows in `X-Total-Count` if
/// `count` was set.
pub(super) fn answer<T, W: Serialize>((rows, total): Page<T>, wire: impl Fn(T) -> W) -> Response {
    let rows: Vec<W> = rows.into_iter().map(wire).collect();
    let mut response = Json(rows).into_response();
    if let Some(total) = total {
        response.headers_mut().insert(TOTAL, HeaderValue::from(total));
    }
    response
}

/// One page of a short list that was read as a whole.
pub(super) fn cut<T>(rows: Vec<T>, asked: &Asked) -> Page<T> {
    let total = asked.count.then(|| i64::try_from(rows.len()).unwrap_or(i64::MAX));
    let size = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    (rows.into_iter().skip(size(asked.offset)).take(size(asked.limit)).collect(), total)
}
