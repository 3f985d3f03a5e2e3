//! The negative control: panics on one word, which only coverage feedback leads to. The fuzzer must
//! find it.

/// Runs one input.
pub fn run(bytes: &[u8]) {
    if bytes.first() == Some(&b'f')
        && bytes.get(1) == Some(&b'i')
        && bytes.get(2) == Some(&b'n')
        && bytes.get(3) == Some(&b'd')
    {
        panic!("found");
    }
}
