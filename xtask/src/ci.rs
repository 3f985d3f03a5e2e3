//! Everything a change must pass, in the order in which it is cheapest to fail.

use crate::shell::{Result, cargo};
use crate::{deny, shell, test};

pub(crate) fn run() -> Result {
    step("format");
    shell::run(cargo().args(["fmt", "--all", "--check"]))?;

    step("lints");
    let clippy = ["clippy", "--workspace", "--all-targets", "--all-features", "--"];
    shell::run(cargo().args(clippy).args(["-D", "warnings"]))?;

    step("documentation");
    let doc = ["doc", "--workspace", "--no-deps"];
    shell::run(cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings"))?;

    step("dependencies");
    deny::check()?;

    step("tests");
    test::run(&[])
}

fn step(name: &str) {
    println!("\n== {name}");
}
