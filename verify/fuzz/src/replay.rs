//! Replays known inputs.

use std::{fs, io, path::Path};

/// Runs the target on each of these files once.
///
/// # Errors
///
/// If a file cannot be read.
pub fn replay<P: AsRef<Path>>(
    files: impl IntoIterator<Item = P>,
    run: impl Fn(&[u8]),
) -> io::Result<()> {
    files.into_iter().try_for_each(|file| fs::read(file).map(|bytes| run(&bytes)))
}
