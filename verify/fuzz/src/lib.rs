//! Fuzz targets for every parser of untrusted input, and what they share: a whole rekey to call,
//! and servers that send given answers.
//!
//! The folder has cargo-fuzz's layout. A fuzzer drives the targets if `--cfg fuzzing` is given
//! (`cargo xtask fuzz`); the tests here run each file of `corpus/` once.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a target that breaks is what is looked for"
)]

#[cfg(test)]
mod corpus;
mod front;
mod replay;
pub mod server;
pub mod targets;

pub use self::{
    front::{Front, front},
    replay::replay,
};

/// Defines the program of a target: driven by a fuzzer, or, without one, run on the files it is
/// given.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::targets::$name::run(bytes));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            $crate::replay(std::env::args_os().skip(1), $crate::targets::$name::run)
        }
    };
}

/// Splits an input at zero bytes, for targets that take several texts.
pub fn words(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split(|byte| *byte == 0).collect()
}

/// Percent-encodes every byte.
pub fn encoded(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "%{byte:02X}");
        text
    })
}
