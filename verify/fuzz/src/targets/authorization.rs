//! Arbitrary Authorization headers and tokens must get a 401, and nothing else.

use crate::front;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let [how, token @ ..] = bytes else { return };
    let Ok(token) = std::str::from_utf8(token) else { return };
    let header = match how % 3 {
        0 => token.to_owned(),
        1 => format!("Bearer {token}"),
        // A real token, changed in one place.
        _ => front().spoilt(token.as_bytes()),
    };
    let status = front().ask("GET", "/v3/sources", &[("authorization", &header)], false, b"");
    assert!(status.is_none_or(|status| status == 401), "{status:?}");
}
