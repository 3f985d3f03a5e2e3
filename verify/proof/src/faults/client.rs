//! A client that requests a change and reads its status.

use std::time::Duration;

use rekey_harness::{Connection, Result, request, text};
use serde_json::Value;

/// The interval between two readings of a status.
const POLL: Duration = Duration::from_millis(200);
/// The pause of a client after a `503`.
const AGAIN: Duration = Duration::from_millis(500);

/// A connection whose headers carry an access token.
pub(crate) struct Client {
    connection: Connection,
    headers: String,
}

/// How a change ended.
pub(crate) struct Ended {
    /// True if the change is `FINISHED`, false if it is `FAILED`.
    pub(crate) is_finished: bool,
    /// The errors in the status.
    pub(crate) errors: Vec<String>,
}

impl Client {
    pub(crate) async fn open(address: &str, headers: &str) -> Result<Self> {
        Ok(Self { connection: Connection::open(address).await?, headers: headers.to_owned() })
    }

    /// Sends the body of a set-password request, and returns the `requestId`.
    pub(crate) async fn change(&mut self, body: &str) -> Result<String> {
        let asked = request("POST", "/v3/set-password", &self.headers, body);
        let answer = self.ask(&asked, 202).await?;
        Ok(text(&answer, "requestId"))
    }

    /// Repeats a request while it is answered `503`; any other status than `wanted` is an error.
    async fn ask(&mut self, asked: &[u8], wanted: u16) -> Result<Value> {
        loop {
            let answer = self.connection.ask(asked).await?;
            if answer.status == wanted {
                return Ok(serde_json::from_str(&answer.body)?);
            }
            if answer.status != 503 {
                return Err(format!("{}: {}", answer.status, answer.body).into());
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Polls the status until the change has ended.
    pub(crate) async fn ended(&mut self, id: &str) -> Result<Ended> {
        loop {
            let status = self.state(id).await?;
            let errors =
                status.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
            let errors = errors.iter().filter_map(|e| e.as_str().map(str::to_owned)).collect();
            match text(&status, "state").as_str() {
                "FINISHED" => return Ok(Ended { is_finished: true, errors }),
                "FAILED" => return Ok(Ended { is_finished: false, errors }),
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Reads the status of a change; an unknown change is an error.
    pub(crate) async fn state(&mut self, id: &str) -> Result<Value> {
        let path = format!("/v3/password-change-status/{id}");
        let asked = request("GET", &path, &self.headers, "");
        self.ask(&asked, 200).await
    }
}
