//! What the targets share: a whole rekey to ask, and servers that answer whatever they are told to.

mod front;
pub mod server;

pub use self::front::{Front, front};

/// The parts of an input, between zero bytes: what is read as several texts.
pub fn words(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split(|byte| *byte == 0).collect()
}

/// Percent-encoded, every byte.
pub fn encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}
