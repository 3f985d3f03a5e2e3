//! Arbitrary OAuth parameters, in query, form, multipart form and HTTP Basic.

use crate::{encoded, front};

const KINDS: [&str; 4] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "multipart/form-data",
    "text/plain",
];

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let [how, rest @ ..] = bytes else { return };
    let kind = KINDS.get(usize::from(how % 4)).copied().unwrap_or_default();
    match how >> 2 {
        0..40 => front().ask("POST", "/oauth/token", &[("content-type", kind)], false, rest),
        40..50 => {
            let path = format!("/oauth/authorize?{}", String::from_utf8_lossy(rest));
            front().ask("GET", &path, &[], false, b"")
        }
        50..56 => {
            let path = format!("/oauth/authorize?client_id={}", encoded(rest));
            front().ask("GET", &path, &[], false, b"")
        }
        _ => {
            let header = format!("Basic {}", String::from_utf8_lossy(rest));
            let headers = [("content-type", kind), ("authorization", header.as_str())];
            front().ask("POST", "/oauth/token", &headers, false, b"grant_type=client_credentials")
        }
    };
}
