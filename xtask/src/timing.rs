//! Whether time tells what nobody may know: of the padding of a password, and of who exists.
//!
//! What must not leak is measured first, then a build that leaks: a measurement that does not flag
//! that one has proven nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Result, cargo};

/// Where Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";
/// What `rekey-timing` and `rekey-proof timing` end with when time tells something.
const TOLD: i32 = 1;
/// And when nothing can be said: too noisy, or too few samples.
const BLIND: i32 = 2;

pub(crate) fn run(options: &[&str]) -> Result {
    let (mut samples, mut padding) = (None, None);
    let (mut http, mut only) = (false, Vec::new());
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--http" => http = true,
            "--only" => only.push(*options.next().ok_or("--only takes a name")?),
            "--samples" => {
                let number = options.next().and_then(|number| number.parse().ok());
                samples = Some(number.ok_or("--samples takes a number")?);
            }
            "--padding" => padding = Some(*options.next().ok_or("--padding takes a name")?),
            unknown => return Err(format!("there is no option {unknown:?}")),
        }
    }
    if http {
        over_http(samples.unwrap_or(20_000), padding, &only)
    } else if !only.is_empty() {
        Err("--only is for what --http measures".to_owned())
    } else {
        in_process(samples.unwrap_or(100_000), padding, true)
    }
}

/// Few samples, so that nothing narrow is proven: the leaking build must be told, the real one must
/// not.
pub(crate) fn quick() -> Result {
    in_process(1_000, None, false)
}

/// The paddings, or one, from the ciphertext to the judgement. If not `strict`, that nothing can be said
/// of the real build is enough.
fn in_process(samples: usize, padding: Option<&str>, strict: bool) -> Result {
    let real = build("proof", "rekey-timing", "--cfg rekey_proof")?;
    let leaky = build("leaky", "rekey-timing", "--cfg rekey_proof --cfg rekey_leaky")?;
    println!("\n== the padding");
    let code = measure(&real, samples, padding)?;
    println!("\n== the same with a padding that leaks: it must be told");
    // A twentieth is enough to see what leaks as OpenSSL's padding did.
    let fewer = if strict { samples.div_ceil(20) } else { samples };
    let control = measure(&leaky, fewer, padding)?;
    if control != TOLD {
        return Err("the leaking build was not told: this run proves nothing".to_owned());
    }
    match code {
        0 => Ok(()),
        BLIND if !strict => Ok(()),
        BLIND => Err("nothing can be said: take more samples, or a quieter machine".to_owned()),
        _ => Err("time tells whether a padding was right".to_owned()),
    }
}

/// The same classes, or one padding's, through the front door of the real binary, and who exists; or
/// `only` some of it.
fn over_http(samples: usize, padding: Option<&str>, only: &[&str]) -> Result {
    shell::run(cargo().args(["build", "--release", "--package", "rekey"]))?;
    let proof = build("proof", "rekey-proof", "--cfg rekey_proof")?;
    let mut proof = Command::new(proof);
    proof.args(["timing", "--samples", &samples.to_string()]);
    proof.args(padding.iter().flat_map(|name| ["--padding", name]));
    proof.args(only.iter().flat_map(|one| ["--only", one]));
    proof.env("REKEY_BINARY", shell::target().join("release/rekey"));
    // A store in memory: a disk is noise.
    if Path::new(MEMORY).is_dir() {
        proof.env("TMPDIR", MEMORY);
    }
    shell::run(&mut proof)
}

/// Builds a package with these flags, in a folder of its own: they are part of everything.
fn build(folder: &str, package: &str, flags: &str) -> Result<PathBuf> {
    let target = shell::target().join(folder);
    let mut cargo = cargo();
    cargo.args(["build", "--release", "--package", package]);
    shell::run(cargo.env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", flags))?;
    Ok(target.join("release").join(package))
}

/// Runs it; what it ended with.
fn measure(binary: &PathBuf, samples: usize, padding: Option<&str>) -> Result<i32> {
    let mut command = Command::new(binary);
    command.args(["--samples", &samples.to_string()]);
    command.args(padding.iter().flat_map(|name| ["--padding", name]));
    let status = command.status();
    let status = status.map_err(|e| format!("cannot start {}: {e}", binary.display()))?;
    status.code().filter(|code| *code <= BLIND).ok_or_else(|| format!("it ended with {status}"))
}
