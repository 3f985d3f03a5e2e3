//! What the operator runs: the commands, declarative configuration, checks of an installation, and
//! the demo.

pub mod apply;
pub mod cli;
pub mod demo;
pub mod doctor;
pub mod open;
