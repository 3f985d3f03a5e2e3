//! Arbitrary filters, sorters and pages, at every list: no answer may be a 500.

use std::fmt::Write;

use crate::{encoded, front, words};

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let [route, rest @ ..] = bytes else { return };
    let lists = front().lists();
    let Some(path) = lists.get(usize::from(*route) % lists.len()) else { return };
    let mut query = String::new();
    for (name, value) in ["filters", "sorters", "limit", "offset", "count"].iter().zip(words(rest))
    {
        let _ = write!(query, "{name}={}&", encoded(value));
    }
    front().ask("GET", &format!("{path}?{query}"), &[], true, b"");
}
