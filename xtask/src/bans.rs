//! The crates that must not come in, not even through another one, each with its reason.
//!
//! `deny.toml` says the same to `cargo deny`, which not everyone has; this check needs only cargo.

use crate::shell::{self, Result, cargo, which};

const FORBIDDEN: &[(&str, &str)] = &[
    ("native-tls", "TLS is rustls, the same everywhere and without the system's libraries"),
    ("openssl-sys", "one cryptographic library, AWS-LC; nothing to install beside the binary"),
    ("ring", "one cryptographic library, AWS-LC"),
    ("rsa", "its private operation leaks the key through timing (RUSTSEC-2023-0071)"),
    ("serde_yaml", "no longer maintained; serde_yaml_ng is its continuation"),
    ("sqlx", "its SQLite costs 100 µs a row, and it cannot share a graph with rusqlite"),
];

pub(crate) fn check() -> Result {
    // Not `cargo metadata`: its graph has the optional crates that features merely mention.
    let tree = ["tree", "--workspace", "--all-features", "--prefix=none", "--format={p}"];
    let tree = shell::output(cargo().args(tree))?;
    let found = offenders(&tree);
    for (name, reason) in &found {
        println!("{name} is in the build: {reason}; it came in by");
        let way = ["tree", "--workspace", "--all-features", "--invert", name];
        shell::run(cargo().args(way))?;
    }
    if !found.is_empty() {
        return Err("forbidden crates are in the build".to_owned());
    }
    println!("no forbidden crate is in the build");
    if which("cargo-deny").is_some() {
        return shell::run(cargo().args(["deny", "check", "bans"]));
    }
    println!("cargo-deny is not installed; its own check was left out");
    Ok(())
}

/// The forbidden crates among these lines, each of the form `name v1.2.3 (*)`.
fn offenders(tree: &str) -> Vec<&'static (&'static str, &'static str)> {
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    FORBIDDEN.iter().filter(|(name, _)| names.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The negative control: a build with a forbidden crate must not pass.
    #[test]
    fn a_forbidden_crate_is_found_and_one_of_a_similar_name_is_not() {
        let tree = "rekey v0.1.0 (/here)\nring-compat v0.8.0\nring v0.17.14\nring v0.17.14 (*)\n";
        let names: Vec<&str> = offenders(tree).iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["ring"]);
    }
}
