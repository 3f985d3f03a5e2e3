//! Measures whether response times reveal if a padding was right, or which accounts exist.
//!
//! The real build is measured first, then a build that leaks: if the leak is not detected, the
//! measurement proves nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::build;
use crate::shell::{self, Result, cargo};

/// Linux's file system in memory.
const MEMORY: &str = "/dev/shm";
/// The exit code of `rekey-timing` when it finds a difference.
const LEAKS: i32 = 1;
/// The exit code of `rekey-timing` when the machine is too noisy or there are too few samples.
const UNDECIDED: i32 = 2;

/// What is measured, and how often.
#[derive(Args)]
pub(crate) struct Options {
    /// Rounds of each comparison [default: 100000, with --http 20000]
    #[arg(long)]
    samples: Option<usize>,
    /// Only this padding
    #[arg(long, value_name = "NAME")]
    padding: Option<String>,
    /// Measure over HTTP, and also who and what exists
    #[arg(long)]
    http: bool,
    /// Only this part of what --http measures; may be given more than once
    #[arg(long, requires = "http", value_parser = ["paddings", "existence", "sign-in"])]
    only: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result {
    let padding = options.padding.as_deref();
    if options.http {
        over_http(options.samples.unwrap_or(20_000), padding, &options.only)
    } else {
        in_process(options.samples.unwrap_or(100_000), padding, true)
    }
}

/// A measurement with few samples, which proves no narrow bound: the leaking build must be
/// detected, and the real one must not be flagged.
pub(crate) fn quick() -> Result {
    in_process(1_000, None, false)
}

/// Measures one padding or all, in process, from the ciphertext to the policy check. Unless
/// `strict`, an undecided measurement of the real build passes.
fn in_process(samples: usize, padding: Option<&str>, strict: bool) -> Result {
    let real = build("proof", "rekey-timing")?;
    let leaky = build("leaky", "rekey-timing")?;
    println!("\n== the padding");
    let code = measure(&real, samples, padding)?;
    println!("\n== the same with a padding that leaks: it must be flagged");
    // A twentieth of the samples is enough to detect a leak as large as that of OpenSSL's padding.
    let fewer = if strict { samples.div_ceil(20) } else { samples };
    let control = measure(&leaky, fewer, padding)?;
    if control != LEAKS {
        return Err("the leaking build was not flagged: this run proves nothing".to_owned());
    }
    match code {
        0 => Ok(()),
        UNDECIDED if !strict => Ok(()),
        UNDECIDED => Err("undecided: take more samples, or a quieter machine".to_owned()),
        _ => Err("response times reveal whether a padding was right".to_owned()),
    }
}

/// Measures the paddings (or one of them), existence and sign-in through the HTTP API of the real
/// binary, or `only` some of these.
fn over_http(samples: usize, padding: Option<&str>, only: &[String]) -> Result {
    shell::run(cargo().args(["build", "--release", "--package", "rekey"]))?;
    let proof = build("proof", "rekey-proof")?;
    let mut proof = Command::new(proof);
    proof.args(["timing", "--samples", &samples.to_string()]);
    proof.args(padding.iter().flat_map(|name| ["--padding", name]));
    proof.args(only.iter().flat_map(|one| ["--only", one.as_str()]));
    proof.env("REKEY_BINARY", shell::target().join("release/rekey"));
    // A store in memory avoids the noise of a disk.
    if Path::new(MEMORY).is_dir() {
        proof.env("TMPDIR", MEMORY);
    }
    shell::run(&mut proof)
}

/// Builds a package with the proof switches, or with the padding check that leaks.
fn build(switches: &str, package: &str) -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.args(["build", "--release", "--package", package]);
    shell::run(build::switched(&mut cargo, switches))?;
    Ok(shell::target().join(switches).join("release").join(package))
}

/// Runs a measurement and returns its exit code.
fn measure(binary: &PathBuf, samples: usize, padding: Option<&str>) -> Result<i32> {
    let mut command = Command::new(binary);
    command.args(["--samples", &samples.to_string()]);
    command.args(padding.iter().flat_map(|name| ["--padding", name]));
    let status = command.status();
    let status = status.map_err(|e| format!("cannot start {}: {e}", binary.display()))?;
    status.code().filter(|code| *code <= UNDECIDED).ok_or_else(|| format!("it ended with {status}"))
}
