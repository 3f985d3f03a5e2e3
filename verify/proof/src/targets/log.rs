//! A server's log, from a moment on.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use rekey_harness::Result;

/// What it says from when this was made.
pub(crate) struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    /// From its present end on.
    pub(crate) fn from_now(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let from = path.metadata()?.len();
        Ok(Self { path, from })
    }

    /// All of it so far.
    pub(crate) fn text(&self) -> Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
