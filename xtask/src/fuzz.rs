//! Arbitrary bytes for every parser of what others wrote.
//!
//! The folder `verify/fuzz/` has cargo-fuzz's layout, and `cargo fuzz run TARGET` works there; here it is
//! built without it, with the same instrumentation, on the pinned stable compiler: the coverage
//! passes are the code generator's own, and only sanitizers would need a nightly one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use clap::Args;

use crate::shell::{self, Result, cargo, root};

/// Coverage instrumentation: the fuzzer learns which branches an input took.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The target that must break.
const CONTROL: &str = "control";
/// An input that takes longer, in seconds, is a find.
const SLOW: u32 = 20;
/// And one that takes more memory, in MiB: a connector, a store and the fuzzer's own.
const MEMORY: u32 = 2048;

/// How long, and what.
#[derive(Args)]
pub(crate) struct Options {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only this target; may be given more than once
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result {
    fuzz(options.seconds, &options.target)
}

/// Ten seconds of each target.
pub(crate) fn quick() -> Result {
    fuzz(10, &[])
}

fn fuzz(seconds: u32, wanted: &[String]) -> Result {
    let all = targets()?;
    if let Some(unknown) = wanted.iter().find(|name| !all.iter().any(|one| one == *name)) {
        return Err(format!("there is no target {unknown:?}: {}", all.join(", ")));
    }
    let chosen = |name: &&String| wanted.is_empty() || wanted.contains(name);
    let chosen: Vec<_> = all.iter().filter(chosen).collect();
    let binaries = build()?;
    control(&binaries)?;
    // Two at a time: each is one thread.
    let mut failed = Vec::new();
    for pair in chosen.chunks(2) {
        thread::scope(|scope| {
            let running: Vec<_> = pair
                .iter()
                .map(|name| (name, scope.spawn(|| one(&binaries, name, seconds))))
                .collect();
            for (name, thread) in running {
                match thread.join() {
                    Ok(Ok(())) => {}
                    Ok(Err(reason)) => failed.push(format!("{name}: {reason}")),
                    Err(_) => failed.push(format!("{name}: its thread broke")),
                }
            }
        });
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// The fuzzer finds what only coverage leads to, or it finds nothing at all.
fn control(binaries: &Path) -> Result {
    // Nothing of an earlier run leads to it.
    let _ = std::fs::remove_dir_all(shell::target().join("fuzz-corpus").join(CONTROL));
    match one(binaries, CONTROL, 60) {
        Err(reason) if reason.contains("\nfound\n") => Ok(()),
        Err(reason) => Err(format!("the control did not run: {reason}")),
        Ok(()) => Err("the control was not found in 60 s: this run proves nothing".to_owned()),
    }
}

/// The targets, by name: one file each.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("verify/fuzz/fuzz_targets");
    let files = std::fs::read_dir(&folder);
    let files = files.map_err(|e| format!("cannot read {}: {e}", folder.display()))?;
    let stem = |file: PathBuf| Some(file.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<_> = files.flatten().filter_map(|file| stem(file.path())).collect();
    names.retain(|name| name != CONTROL);
    names.sort();
    Ok(names)
}

/// Builds every target; the folder they are in.
fn build() -> Result<PathBuf> {
    let host = shell::output(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc does not say what it builds for")?;
    let target = shell::target().join("fuzz");
    let mut cargo = cargo();
    cargo.args(["build", "--profile", "fuzz", "--package", "rekey-fuzz", "--bins"]);
    // Named, so that what runs while building is not instrumented.
    cargo.args(["--target", host]).env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &target);
    shell::run(&mut cargo)?;
    Ok(target.join(host).join("fuzz"))
}

/// One target: the committed corpus first, then what grows from it. What it finds is kept.
fn one(binaries: &Path, name: &str, seconds: u32) -> Result {
    let grown = shell::target().join("fuzz-corpus").join(name);
    let finds = shell::target().join("fuzz-finds").join(name);
    shell::make_folder(&grown)?;
    shell::make_folder(&finds)?;
    let mut command = Command::new(binaries.join(name));
    command.arg(&grown);
    let seeds = root().join("verify/fuzz/corpus").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-timeout={SLOW}")).arg(format!("-rss_limit_mb={MEMORY}"));
    command.arg(format!("-artifact_prefix={}/", finds.display()));
    command.args(["-max_len=8192", "-print_final_stats=1", "-verbosity=1"]);
    let out = command.output().map_err(|e| format!("cannot start it: {e}"))?;
    let said = String::from_utf8_lossy(&out.stderr);
    let number = |of: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(of));
        line.map_or("?", str::trim).to_owned()
    };
    let tried = number("stat::number_of_executed_units:");
    println!("{name:<16} {tried:>10} tries, {:>6} a second", number("stat::average_exec_per_sec:"));
    if out.status.success() {
        return Ok(());
    }
    // From the panic on, if it was one.
    let lines: Vec<_> = said.lines().collect();
    let panic = lines.iter().position(|line| line.contains("panicked at"));
    let from = panic.unwrap_or(lines.len().saturating_sub(60));
    let report = lines.iter().skip(from).take(60).copied().collect::<Vec<_>>().join("\n");
    Err(format!("{}\n{report}\nthe input is in {}", out.status, finds.display()))
}
