//! The real binary, on a free port, with a store in a temporary folder.

use std::{
    env,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Result,
    http::{self, Connection},
};

/// A running `rekey serve`.
pub(crate) struct Server {
    child: Child,
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// An API client's access token.
    pub(crate) token: String,
}

/// Where it keeps everything.
pub(crate) struct Place {
    /// The folder it runs in.
    pub(crate) folder: TempDir,
    /// What `rekey init` said.
    pub(crate) bootstrap: Value,
    url: Option<String>,
}

impl Place {
    /// A new store.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut place =
            Self { folder, bootstrap: Value::Null, url: env::var("REKEY_BENCH_STORE").ok() };
        place.bootstrap = serde_json::from_str(&place.rekey(&["init", "--json"])?)?;
        Ok(place)
    }

    /// The store, as the server names it.
    pub(crate) fn store_url(&self) -> String {
        self.url
            .clone()
            .unwrap_or_else(|| self.folder.path().join("rekey-data/rekey.db").display().to_string())
    }

    /// Runs a rekey command; what it printed.
    pub(crate) fn rekey(&self, words: &[&str]) -> Result<String> {
        let done = self.command().args(words).output()?;
        if !done.status.success() {
            return Err(
                format!("rekey {words:?}: {}", String::from_utf8_lossy(&done.stderr)).into()
            );
        }
        Ok(String::from_utf8(done.stdout)?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.folder.path());
        if let Some(url) = &self.url {
            command.env("REKEY_STORE__URL", url);
        }
        command
    }
}

impl Server {
    /// Starts it with `workers` changes at once; 0 for a node that only accepts.
    pub(crate) async fn start(place: &Place, workers: usize) -> Result<Self> {
        let address = free_address()?;
        let child = place
            .command()
            .arg("serve")
            .env("REKEY_SERVER__LISTEN", &address)
            .env("REKEY_LIMITS__REQUESTS_PER_10S", "0")
            .env("REKEY_CHANGES__WORKERS", workers.to_string())
            .env("REKEY_LOG__FILTER", "error")
            .stdout(Stdio::null())
            .spawn()?;
        let mut server = Self { child, address, token: String::new() };
        server.token = server.ready(&place.bootstrap).await?;
        Ok(server)
    }

    async fn ready(&self, bootstrap: &Value) -> Result<String> {
        let mut connection = loop {
            match Connection::open(&self.address).await {
                Ok(connection) => break connection,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let text = |name: &str| bootstrap.get(name).and_then(Value::as_str).unwrap_or_default();
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            text("apiClientId"),
            text("apiClientSecret")
        );
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = connection.ask(&http::request("POST", "/oauth/token", kind, &body)).await?;
        let token: Value = serde_json::from_str(&answer.body)?;
        Ok(token.get("access_token").and_then(Value::as_str).ok_or("no token")?.to_owned())
    }

    /// The headers of a JSON request by the API client.
    pub(crate) fn headers(&self) -> String {
        format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.token)
    }

    /// Its processor time so far, in seconds.
    pub(crate) fn processor_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
        // utime and stime, in hundredths of a second on Linux.
        Ok((ticks(12) + ticks(13)) / 100.0)
    }

    /// Its resident memory, in KiB.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        Ok(line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is being thrown away: there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// `rekey` beside this binary.
fn binary() -> PathBuf {
    let beside = env::current_exe().map(|exe| exe.with_file_name("rekey")).unwrap_or_default();
    env::var("REKEY_BENCH_BINARY").map_or(beside, PathBuf::from)
}
