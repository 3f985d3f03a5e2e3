//! What reads what others wrote, tried with any bytes: the targets, and what they share, a whole rekey
//! to ask and servers that answer whatever they are told to.
//!
//! The folder has cargo-fuzz's layout. A fuzzer drives the targets where `--cfg fuzzing` is given
//! (`cargo xtask fuzz`); the tests here try each file of `corpus/` once.
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

/// The program of a target: what a fuzzer drives, or, without one, what tries the files it is given.
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

/// The parts of an input, between zero bytes: what is read as several texts.
pub fn words(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split(|byte| *byte == 0).collect()
}

/// Percent-encoded, every byte.
pub fn encoded(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "%{byte:02X}");
        text
    })
}
