//! One who asks for a change and for its status.

use std::time::Duration;

use rekey_harness::{Connection, Result, request, text};
use serde_json::Value;

/// How often a status is asked for.
const POLL: Duration = Duration::from_millis(200);
/// How long a client waits after a 503.
const AGAIN: Duration = Duration::from_millis(500);

/// A connection with the right to ask.
pub(crate) struct Client {
    connection: Connection,
    headers: String,
}

/// How a change ended.
pub(crate) struct Ended {
    /// Whether it is FINISHED; else it is FAILED.
    pub(crate) is_finished: bool,
    /// What the status says is wrong.
    pub(crate) errors: Vec<String>,
}

impl Client {
    pub(crate) async fn open(address: &str, headers: &str) -> Result<Self> {
        Ok(Self { connection: Connection::open(address).await?, headers: headers.to_owned() })
    }

    /// Sends the body of a set-password; the request's name.
    pub(crate) async fn change(&mut self, body: &str) -> Result<String> {
        let asked = request("POST", "/v3/set-password", &self.headers, body);
        let answer = self.ask(&asked, 202).await?;
        Ok(text(&answer, "requestId"))
    }

    /// Asks until the answer is no 503, and insists on `wanted`.
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

    /// Asks until it has ended.
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

    /// Its status; an error if nobody knows it.
    pub(crate) async fn state(&mut self, id: &str) -> Result<Value> {
        let path = format!("/v3/password-change-status/{id}");
        let asked = request("GET", &path, &self.headers, "");
        self.ask(&asked, 200).await
    }
}
