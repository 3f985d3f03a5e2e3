//! Measures whether the time of decrypting and judging a password reveals if its padding was valid.
//!
//! The classes are those of the Marvin toolkit, each with a new ciphertext in each round. The
//! measured part is a worker's: the private-key operation, removing the padding, and judging, up to
//! the check whether the message is genuine. `cargo xtask timing` runs this, and then a build that
//! leaks on purpose, which it must report.
//!
//! Exits with 0 if time reveals nothing, with 1 if it does, and with 2 if the measurement is
//! inconclusive.
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

/// The paddings to measure, and the number of rounds.
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
