//! Arbitrary `rekey.toml` files and environments.

use std::os::unix::ffi::OsStrExt;

use crate::words;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let mut parts = words(bytes).into_iter();
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let os = |bytes: &[u8]| std::ffi::OsStr::from_bytes(bytes).to_owned();
    let mut environment = Vec::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        environment.push((os(name), os(value)));
    }
    rekey::testing::config(&text, environment);
}
