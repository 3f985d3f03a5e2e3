//! A server's log from one moment on.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use rekey_harness::Result;

/// The part of a log that follows a position.
pub(crate) struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    /// The part that follows the log's present end.
    pub(crate) fn from_now(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let from = path.metadata()?.len();
        Ok(Self { path, from })
    }

    /// The text logged since then.
    pub(crate) fn text(&self) -> Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
