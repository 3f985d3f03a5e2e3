//! Any filter, sorter and page, at every list: understood or a 400.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rekey_fuzz::{encoded, front, words};

fuzz_target!(|bytes: &[u8]| {
    let [route, rest @ ..] = bytes else { return };
    let lists = front().lists();
    let Some(path) = lists.get(usize::from(*route) % lists.len()) else { return };
    let mut query = String::new();
    for (name, value) in ["filters", "sorters", "limit", "offset", "count"].iter().zip(words(rest))
    {
        query.push_str(&format!("{name}={}&", encoded(value)));
    }
    front().ask("GET", &format!("{path}?{query}"), &[], true, b"");
});
