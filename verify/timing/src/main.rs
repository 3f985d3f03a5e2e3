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
use rekey_vault::Padding;

#[cfg(rekey_proof)]
use self::paddings::PADDINGS;

#[cfg(rekey_proof)]
fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((paddings, samples)) = asked(&words) else {
        eprintln!("rekey-timing: the options are --samples NUMBER and --padding NAME");
        return ExitCode::from(2);
    };
    match paddings::run(&paddings, samples) {
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

/// What is to be measured, and how often.
#[cfg(rekey_proof)]
fn asked(words: &[String]) -> Option<(Vec<Padding>, usize)> {
    let (mut paddings, mut samples) = (PADDINGS.to_vec(), 100_000);
    for option in words.chunks(2) {
        match option {
            [name, number] if name == "--samples" => samples = number.parse().ok()?,
            [name, padding] if name == "--padding" => paddings = vec![Padding::parse(padding)?],
            _ => return None,
        }
    }
    Some((paddings, samples))
}

#[cfg(not(rekey_proof))]
fn main() -> ExitCode {
    eprintln!("rekey-timing: it must look inside the vault; `cargo xtask timing` builds it so");
    ExitCode::from(2)
}
