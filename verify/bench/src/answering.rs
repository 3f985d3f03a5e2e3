//! The upper bound of accepts on this machine: a server that answers the same request with a `202`
//! and stores nothing.
//!
//! The server runs rekey's own loop ([`rekey::http::serve::answer`]: connections, limits, heads,
//! paths), reads the whole body, parses it as JSON and its ciphertext as base64, and answers with a
//! new request id. It checks no token and has no store.

use std::process::{Child, Command, Stdio};

use axum::{
    Json, Router,
    body::Bytes,
    http::StatusCode,
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use rekey::http::serve::Bounds;
use rekey_harness::{Connection, Result, server::free_address};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

/// The argument that makes this binary such a server.
pub(crate) const WORD: &str = "answer";

/// Serves on `HOST:PORT` until the process is killed.
pub(crate) async fn serve(address: &str) -> Result<()> {
    let router =
        Router::new().route("/healthz", get(async || "ok")).route("/set-password", post(accepted));
    let (_stop, stopped) = watch::channel(false);
    rekey::http::serve::answer(
        router,
        TcpListener::bind(address).await?,
        Bounds::default(),
        stopped,
    )
    .await;
    Ok(())
}

async fn accepted(body: Bytes) -> (StatusCode, Json<Value>) {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let ciphertext = body.get("encryptedPassword").and_then(Value::as_str).unwrap_or_default();
    let Ok(ciphertext) = BASE64_STANDARD.decode(ciphertext) else {
        return (StatusCode::BAD_REQUEST, Json(Value::Null));
    };
    let chance = rekey_vault::random::<16>().unwrap_or_default();
    let id = format!("{:032x}", u128::from_be_bytes(chance));
    let state = if ciphertext.len() == 256 { "IN_PROGRESS" } else { "FAILED" };
    (StatusCode::ACCEPTED, Json(json!({ "requestId": id, "state": state })))
}

/// The running server, in a separate process.
pub(crate) struct Answering {
    child: Child,
    pub(crate) address: String,
}

impl Answering {
    pub(crate) async fn start() -> Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        let child = command.args([WORD, &address]).stdin(Stdio::null()).spawn()?;
        let answering = Self { child, address };
        while Connection::open(&answering.address).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Ok(answering)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        // A destructor cannot report errors.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
