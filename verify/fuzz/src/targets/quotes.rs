//! Arbitrary bytes of a connection: the result does not depend on how they are split, and nothing
//! but quotes is changed.

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let [cut, rest @ ..] = bytes else { return };
    let whole = rekey::testing::repaired(&[rest]);
    let (head, tail) = rest.split_at(usize::from(*cut).min(rest.len()));
    assert_eq!(whole, rekey::testing::repaired(&[head, tail]));
    let quotes = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("%22", "\"");
    assert_eq!(quotes(&whole), quotes(rest));
}
