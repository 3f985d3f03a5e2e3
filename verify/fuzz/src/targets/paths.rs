//! Arbitrary request targets: a normalised path is well formed, and every path is answered.

use crate::front;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(uri) = text.parse() else { return };
    if let Some((once, _)) = rekey::http::api::normalise(&uri) {
        assert!(once.path().starts_with('/') && !once.path().contains("//"), "{once}");
    }
    for method in ["GET", "POST"] {
        front().ask(method, text, &[], true, b"{}");
    }
}
