//! The pipeline in a world without time: see the package `simulation`, which knows the options.

use crate::shell::{self, Result, cargo};

pub(crate) fn run(options: &[&str]) -> Result {
    let mut cargo = cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "rekey-simulation", "--"]);
    shell::run(cargo.args(options))
}
