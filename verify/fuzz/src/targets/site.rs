//! Arbitrary `site.yaml` files.

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    rekey::testing::site(text);
}
