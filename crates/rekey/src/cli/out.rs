//! What the commands print. Colours only where a person looks: a terminal, without `NO_COLOR`.

use std::io::Write;

use serde::Serialize;

/// A line of text for the person; a reader that has gone away is no error.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::out::line(format_args!($($text)*)) };
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
    let (red, plain) = ("\u{1b}[1;31m", "\u{1b}[0m");
    drop(writeln!(anstream::stderr(), "{red}error{plain}: {error}"));
}
