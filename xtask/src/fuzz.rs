//! Fuzzes every parser of foreign input.
//!
//! The folder `verify/fuzz/` has cargo-fuzz's layout, and `cargo fuzz run TARGET` works there. This
//! command builds the targets without cargo-fuzz, with the same instrumentation, on the pinned
//! stable compiler: the coverage passes are part of LLVM, and only sanitizers would need a nightly
//! compiler.

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

/// The negative control: a target that must fail.
const CONTROL: &str = "control";
/// The time in seconds from which on an input counts as a finding.
const SLOW: u32 = 20;
/// The memory in MiB from which on an input counts as a finding; it includes a connector, a store
/// and the fuzzer's own.
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

/// Runs each target for ten seconds.
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
    // Two run at a time, since each uses one thread.
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

/// Checks that the fuzzer finds an input that only coverage leads to; otherwise a run proves
/// nothing.
fn control(binaries: &Path) -> Result {
    // The corpus of an earlier run could contain the input.
    let _ = std::fs::remove_dir_all(shell::target().join("fuzz-corpus").join(CONTROL));
    match one(binaries, CONTROL, 60) {
        Err(reason) if reason.contains("\nfound\n") => Ok(()),
        Err(reason) => Err(format!("the control did not run: {reason}")),
        Ok(()) => Err("the control was not found in 60 s: this run proves nothing".to_owned()),
    }
}

/// The names of the targets, which have one file each.
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

/// Builds all targets. Returns the folder of their binaries.
fn build() -> Result<PathBuf> {
    let host = shell::output(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc does not say what it builds for")?;
    let target = shell::target().join("fuzz");
    let mut cargo = cargo();
    cargo.args(["build", "--profile", "fuzz", "--package", "rekey-fuzz", "--bins"]);
    // With an explicit `--target`, build scripts and procedural macros are not instrumented.
    cargo.args(["--target", host]).env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &target);
    shell::run(&mut cargo)?;
    Ok(target.join(host).join("fuzz"))
}

/// Runs one target, first on the committed corpus and then on inputs derived from it. Findings are
/// kept.
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
    // The report starts at the panic, if there was one.
    let lines: Vec<_> = said.lines().collect();
    let panic = lines.iter().position(|line| line.contains("panicked at"));
    let from = panic.unwrap_or(lines.len().saturating_sub(60));
    let report = lines.iter().skip(from).take(60).copied().collect::<Vec<_>>().join("\n");
    Err(format!("{}\n{report}\nthe input is in {}", out.status, finds.display()))
}
