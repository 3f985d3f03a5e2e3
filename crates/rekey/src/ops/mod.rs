//! The operator's side: the commands, the declarative configuration, the checks of an installation,
//! and the demo.

pub mod apply;
pub mod cli;
pub mod demo;
pub mod doctor;
pub mod open;
