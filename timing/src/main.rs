//! Whether the time of decrypting and judging a password tells if its padding was right.
//!
//! The classes are those of the Marvin toolkit, each with a fresh ciphertext in each round; what
//! is measured is what a worker does with a ciphertext: the private operation, taking the padding
//! off, and the judgement up to the question whether the message is genuine. `cargo xtask timing`
//! runs this, and then a build that leaks, which it must flag.
//!
//! Ends with 0 if nothing is told, with 1 if something is, with 2 if nothing can be said.
#![expect(clippy::print_stderr, reason = "a command talks")]
#![cfg_attr(rekey_proof, expect(clippy::print_stdout, reason = "a command talks"))]

#[cfg(rekey_proof)]
mod paddings;

use std::process::ExitCode;

#[cfg(rekey_proof)]
fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let samples = match words.as_slice() {
        [] => Some(100_000),
        ["--samples", number] => number.parse().ok(),
        _ => None,
    };
    let Some(samples) = samples else {
        eprintln!("rekey-timing: the only option is --samples NUMBER");
        return ExitCode::from(2);
    };
    match paddings::run(samples) {
        Ok(end) => {
            println!("{}", end.sentence());
            ExitCode::from(end.code())
        }
        Err(error) => {
            eprintln!("rekey-timing: {error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(not(rekey_proof))]
fn main() -> ExitCode {
    eprintln!("rekey-timing: it must look inside the vault; `cargo xtask timing` builds it so");
    ExitCode::from(2)
}
