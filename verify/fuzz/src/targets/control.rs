//! The control: breaks on one word, to which only the ways the code takes lead. The fuzzer must find
//! it.

/// Tries it.
pub fn run(bytes: &[u8]) {
    if bytes.first() == Some(&b'f')
        && bytes.get(1) == Some(&b'i')
        && bytes.get(2) == Some(&b'n')
        && bytes.get(3) == Some(&b'd')
    {
        panic!("found");
    }
}
