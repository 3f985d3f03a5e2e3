//! A PostgreSQL server that belongs to the proof, and that it may stop.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rekey_harness::{Result, server::free_address};
use tempfile::TempDir;

/// A server whose data is in a temporary folder; both go when this is dropped.
pub(super) struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    port: String,
}

impl Cluster {
    /// Creates the data folder, and starts the server.
    pub(super) fn start() -> Result<Self> {
        let programs = programs().ok_or("PostgreSQL 14 or newer is not installed")?;
        let address = free_address()?;
        let port = address.rsplit(':').next().unwrap_or_default().to_owned();
        let cluster = Self { folder: tempfile::tempdir()?, programs, port };
        if is_root() {
            // initdb refuses to run as root.
            super::trial::run("chown", &["postgres", &cluster.path("").display().to_string()])?;
        }
        let data = cluster.path("data").display().to_string();
        cluster.program(
            "initdb",
            &["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"],
        )?;
        cluster.resume()?;
        Ok(cluster)
    }

    /// The URL of the database in which other databases can be created.
    pub(super) fn admin_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Stops the server like a crash: sessions end, and nothing more is written.
    pub(super) fn stop(&self) -> Result<()> {
        let data = self.path("data").display().to_string();
        self.program("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"])
    }

    /// Starts the stopped server again on the same port.
    pub(super) fn resume(&self) -> Result<()> {
        let (data, log) = (self.path("data"), self.path("postgres.log"));
        let options = format!("-h 127.0.0.1 -p {} -k '' -c max_connections=100", self.port);
        let words = ["-D", &data.display().to_string(), "-l", &log.display().to_string()];
        self.program("pg_ctl", &[&words[..], &["-o", &options, "-w", "start"]].concat())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs one of PostgreSQL's programs as the user that owns the data.
    fn program(&self, name: &str, words: &[&str]) -> Result<()> {
        let program = self.programs.join(name).display().to_string();
        // The started server outlives the program, and must not hold this process's output open.
        let (user, quiet): (&[&str], _) = if is_root() {
            (&["--reuid", "postgres", "--regid", "postgres", "--init-groups"], self.path("said"))
        } else {
            (&[], self.path("said"))
        };
        let said = fs::File::create(&quiet)?;
        let mut command = Command::new("setpriv");
        command.args(user).arg("--").arg(program).args(words).current_dir(self.folder.path());
        let status = command.stdout(said.try_clone()?).stderr(said).status()?;
        if status.success() {
            return Ok(());
        }
        Err(format!("{name}: {}", fs::read_to_string(quiet)?.trim_end()).into())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// The folder of the newest installed server's programs; Debian keeps them out of `PATH`.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| *version >= 14)
        .max()?;
    let folder = Path::new("/usr/lib/postgresql").join(newest.to_string()).join("bin");
    folder.join("initdb").is_file().then_some(folder)
}
