//! The folder of one run, with all servers' data, logs and secrets; removed if the run succeeds.

use std::path::{Path, PathBuf};

use crate::shell::{self, Result};

pub(crate) struct Run {
    folder: PathBuf,
}

impl Run {
    /// Creates the folder, named after this process, and removes those of processes that have
    /// ended.
    pub(crate) fn begin() -> Result<Self> {
        let runs = shell::target().join("test-run");
        shell::make_folder(&runs)?;
        for old in std::fs::read_dir(&runs).into_iter().flatten().flatten() {
            if !Path::new("/proc").join(old.file_name()).exists() {
                let _ = std::fs::remove_dir_all(old.path());
            }
        }
        let folder = runs.join(std::process::id().to_string());
        shell::make_folder(&folder)?;
        Ok(Self { folder })
    }

    /// A part of another process's run; that process removes the folder.
    pub(crate) fn part_of(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        shell::make_folder(&folder)?;
        Ok(folder)
    }

    /// The file that lists the compiled tests.
    pub(crate) fn tests(&self) -> PathBuf {
        self.folder.join("tests.json")
    }

    /// Removes the folder if the run succeeded; otherwise keeps it until the next run.
    pub(crate) fn end(self, is_well: bool) {
        if is_well {
            let _ = std::fs::remove_dir_all(&self.folder);
        } else {
            println!("logs: {}", self.folder.display());
        }
    }
}
