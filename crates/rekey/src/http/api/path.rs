//! One path for every version style (docs/contract.md#paths): `/v3/X`, `/beta/X`, `/v2024/X`,
//! `/latest/X` and `/X/v1` become `/X`. Doubled and trailing slashes are dropped.

use axum::{
    extract::{FromRequestParts, Path},
    http::{Uri, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::{App, Error};

/// An id in the path. A malformed id answers 404, like one that names no object.
pub(super) struct Id<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Id<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let path = Path::<T>::from_request_parts(parts, app).await;
        path.map(|Path(id)| Self(id)).map_err(|_| Error::NotFound("thing"))
    }
}

/// The version style of the request's path; some members of responses differ between styles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// `/beta/…`
    Beta,
    /// `/latest/…`, or no version at all.
    Latest,
    /// `/X/v1/…`
    V1,
    /// `/v2024/…`
    V2024,
    /// `/v2025/…`
    V2025,
    /// `/v2026/…`
    V2026,
    /// `/v3/…`
    V3,
}

/// The path without its version, and the version's style.
///
/// `None` if the rebuilt path is no valid URI.
pub fn normalise(uri: &Uri) -> Option<(Uri, Style)> {
    let mut segments: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let mut style = Style::Latest;
    // A path that is only a version stays as it is, or `/v3` would be the page at `/`.
    let prefix = segments.first().copied().and_then(prefix).filter(|_| segments.len() > 1);
    if let Some(prefix) = prefix {
        style = prefix;
        segments.remove(0);
    } else if segments.get(1).is_some_and(|second| is_version(second)) {
        style = Style::V1;
        segments.remove(1);
    }
    let mut target = format!("/{}", segments.join("/"));
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    Some((target.parse().ok()?, style))
}

fn prefix(segment: &str) -> Option<Style> {
    Some(match segment {
        "beta" => Style::Beta,
        "latest" => Style::Latest,
        "v2024" => Style::V2024,
        "v2025" => Style::V2025,
        "v2026" => Style::V2026,
        "v3" => Style::V3,
        _ => return None,
    })
}

fn is_version(segment: &str) -> bool {
    segment
        .strip_prefix('v')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_is_one_path() {
        for (from, to, style) in [
            ("/v3/set-password", "/set-password", Style::V3),
            ("//set-password/v1", "/set-password", Style::V1),
            ("/v2024//set-password/", "/set-password", Style::V2024),
            (
                "/generate-password-reset-token/v1/digit",
                "/generate-password-reset-token/digit",
                Style::V1,
            ),
            ("/password-change-status/v1/abc", "/password-change-status/abc", Style::V1),
            ("/latest/sources?limit=1", "/sources?limit=1", Style::Latest),
            ("//oauth/token", "/oauth/token", Style::Latest),
            ("/v3", "/v3", Style::Latest),
            ("/", "/", Style::Latest),
        ] {
            let (uri, found) = normalise(&from.parse().unwrap()).unwrap();
            assert_eq!((uri.to_string().as_str(), found), (to, style), "{from}");
        }
    }
}
