//! The output of the commands. Colours appear only on a terminal, and not with `NO_COLOR`.

use std::io::Write;

use serde::Serialize;

pub(crate) const BOLD: &str = "\u{1b}[1m";
pub(crate) const CYAN: &str = "\u{1b}[36m";
pub(crate) const DIM: &str = "\u{1b}[2m";
pub(crate) const GREEN: &str = "\u{1b}[32m";
pub(crate) const PLAIN: &str = "\u{1b}[0m";
pub(crate) const RED: &str = "\u{1b}[31m";
pub(crate) const YELLOW: &str = "\u{1b}[33m";

/// Prints a line of text on standard output. Errors are ignored, such as a closed pipe.
macro_rules! say {
    ($($text:tt)*) => { $crate::ops::cli::out::line(format_args!($($text)*)) };
}
pub(crate) use say;

pub(crate) fn line(text: std::fmt::Arguments<'_>) {
    let mut out = anstream::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// Prints a JSON value on a line of its own.
pub(crate) fn json(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        line(format_args!("{text}"));
    }
}

/// Prints the reason for which a command failed on standard error.
pub(super) fn error(error: &crate::Error) {
    drop(writeln!(anstream::stderr(), "{BOLD}{RED}error{PLAIN}: {error}"));
}
