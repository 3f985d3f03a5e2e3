//! Arbitrary JSON patches of arbitrary documents.

use crate::words;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let mut parts = words(bytes).into_iter();
    let (Some(document), Some(patch)) = (parts.next(), parts.next()) else { return };
    let Some(document) = rekey::testing::body(document) else { return };
    if let Some(patched) = rekey::testing::patched(document, patch) {
        assert!(patched.to_string().len() <= 256 * 1024);
    }
}
