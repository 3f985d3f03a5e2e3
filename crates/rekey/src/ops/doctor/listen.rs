//! The address to listen on: free, served by rekey, or taken by another program.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::Report;
use crate::config::Config;

/// The longest time for a response.
const ANSWER: Duration = Duration::from_secs(5);

/// Checks the address. Returns whether rekey serves on it.
pub(super) async fn check(report: &mut Report, config: &Config) -> bool {
    let address = config.server.listen;
    if config.server.listen.port() == 0 {
        report.ok("address", format!("{address} takes a free port at each start"));
        return false;
    }
    if TcpListener::bind(address).await.is_ok() {
        report.warn(
            "address",
            format!("{address} is free, so no rekey serves here: start `rekey serve`"),
        );
        return false;
    }
    match timeout(ANSWER, ask(address)).await {
        Ok(Some(answer)) if answer.contains("\"status\":\"UP\"") => {
            report.ok("address", format!("rekey serves on {address}"));
            true
        }
        Ok(_) | Err(_) => {
            report.fail("address", format!("{address} is taken, and what is there does not answer as rekey does: stop that, or set server.listen to another port"));
            false
        }
    }
}

async fn ask(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let ask = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await.ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}
