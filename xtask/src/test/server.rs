//! A server process that lives no longer than its handle, nor than this process.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::shell::{self, Result, which};

pub(crate) struct Server {
    name: String,
    child: Child,
    log: PathBuf,
    /// The signal after which this server stops quickly but in order.
    stop: &'static str,
}

impl Server {
    /// Starts a server from a command that [`command`] made. Its output is appended to the log.
    pub(crate) fn start(
        name: &str,
        command: &mut Command,
        log: &Path,
        stop: &'static str,
    ) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.map_err(|e| format!("cannot open {}: {e}", log.display()))?;
        let errors = file.try_clone().map_err(|e| format!("cannot open the log twice: {e}"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("cannot start {name}: {e}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_path_buf(), stop })
    }

    /// Waits up to 30 seconds for `ready`; a server that exits before that is an error.
    pub(crate) fn wait_until(&mut self, mut ready: impl FnMut() -> bool) -> Result {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{} ended: {status}\n{}", self.name, self.last_words()));
            }
            if ready() {
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
        Err(format!("{} was not ready within 30 s\n{}", self.name, self.last_words()))
    }

    fn last_words(&self) -> String {
        let log = shell::read(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.child.id().to_string();
        let _ = Command::new("kill").args(["-s", self.stop, &process]).status();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command whose process gets the signal `stop` when this process dies, however it dies. It runs
/// as `user` if one is given. Without `setpriv` on the machine, it does neither.
pub(crate) fn command(program: &Path, stop: &str, user: Option<&str>) -> Command {
    if which("setpriv").is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", stop]);
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    command.arg("--").arg(program);
    command
}

/// A free port of the loopback address. Another process could still take it.
pub(crate) fn free_port() -> Result<u16> {
    let socket = TcpListener::bind("127.0.0.1:0");
    let address = socket.and_then(|socket| socket.local_addr());
    address.map(|address| address.port()).map_err(|e| format!("no free port: {e}"))
}
