//! What the commands print. Colours only where a person looks: a terminal, without `NO_COLOR`.

use std::io::Write;

use serde::Serialize;

pub(crate) const BOLD: &str = "\u{1b}[1m";
pub(crate) const CYAN: &str = "\u{1b}[36m";
pub(crate) const DIM: &str = "\u{1b}[2m";
pub(crate) const GREEN: &str = "\u{1b}[32m";
pub(crate) const PLAIN: &str = "\u{1b}[0m";
pub(crate) const RED: &str = "\u{1b}[31m";
pub(crate) const YELLOW: &str = "\u{1b}[33m";

/// A line of text for the person; a reader that has gone away is no error.
macro_rules! say {
    ($($text:tt)*) => { $crate::ops::cli::out::line(format_args!($($text)*)) };
}
pub(crate) use say;

pub(crate) fn line(text: std::fmt::Arguments<'_>) {
    let mut out = anstream::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// One JSON value on a line of its own.
pub(crate) fn json(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        line(format_args!("{text}"));
    }
}

/// Why a command failed, in one sentence.
pub(super) fn error(error: &crate::Error) {
    drop(writeln!(anstream::stderr(), "{BOLD}{RED}error{PLAIN}: {error}"));
}
