//! `rekey serve`, started, killed and started again.

use std::{
    fs::{self, OpenOptions},
    process::{Child, ExitStatus, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{
    Result,
    http::{self, Connection},
    password::text,
    place::Place,
};

/// A running `rekey serve`.
pub struct Server {
    child: Child,
    /// `HOST:PORT`.
    pub address: String,
    /// The API client's access token; it remains valid after the process that issued it.
    pub token: String,
}

impl Server {
    /// Starts a server on a free address and waits until it is ready. `settings` are environment
    /// variables; they override those of all servers here: no limits on requests and changes, and a
    /// log of errors only.
    pub async fn start(place: &Place, settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_at(place, &free_address()?, settings).await
    }

    /// Starts a server at this address, and waits until it is ready.
    pub async fn start_at(place: &Place, address: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let mut server = Self::launch(place, address, settings)?;
        server.ready(place).await?;
        Ok(server)
    }

    /// Launches the process without waiting: it may end before it is ready.
    pub fn launch(place: &Place, address: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(place.log())?;
        let child = place
            .command()
            .arg("serve")
            .env("REKEY_SERVER__LISTEN", address)
            .env("REKEY_LIMITS__REQUESTS_PER_10S", "0")
            .env("REKEY_LIMITS__CHANGES_PER_ACCOUNT_PER_DAY", "0")
            .env("REKEY_LOG__FILTER", "error")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self { child, address: address.to_owned(), token: String::new() })
    }

    /// Waits until the server answers, and requests the API client's access token. Returns an error
    /// if the process ends before.
    pub async fn ready(&mut self, place: &Place) -> Result<()> {
        let mut connection = loop {
            if let Ok(connection) = Connection::open(&self.address).await {
                break connection;
            }
            if let Some(status) = self.ended()? {
                let log = fs::read_to_string(place.log()).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default();
                return Err(format!("rekey ended before it was ready: {status}: {last}").into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            text(&place.bootstrap, "apiClientId"),
            text(&place.bootstrap, "apiClientSecret")
        );
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = connection.ask(&http::request("POST", "/oauth/token", kind, &body)).await?;
        let token: Value = serde_json::from_str(&answer.body)?;
        self.token = text(&token, "access_token");
        if self.token.is_empty() {
            return Err(format!("no token: {}", answer.body).into());
        }
        Ok(())
    }

    /// The headers of a JSON request by the API client.
    pub fn headers(&self) -> String {
        format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.token)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the process has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Kills the process (`kill -9`) unless it has ended; returns the exit status.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// The processor time that the process has used, in seconds.
    pub fn processor_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
        // `utime` and `stime`, in hundredths of a second on Linux.
        Ok((ticks(12) + ticks(13)) / 100.0)
    }

    /// The resident memory, in KiB.
    pub fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        Ok(line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A destructor cannot report errors.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address with a port that is free at the moment.
pub fn free_address() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
