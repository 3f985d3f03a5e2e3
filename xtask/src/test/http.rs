//! A minimal HTTP client, to wait for a server and to start aggregations.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::shell::Result;

/// Sends a request and returns status and body. HTTP/1.0 makes the server close the connection at
/// the end of the response.
pub(crate) fn ask(port: u16, request: &Request) -> Result<(u16, Value)> {
    let Request { method, path, token, form } = request;
    let caller = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let kind =
        if form.is_empty() { "" } else { "Content-Type: application/x-www-form-urlencoded\r\n" };
    let text = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n{}{kind}Content-Length: {}\r\n\r\n{form}",
        caller.unwrap_or_default(),
        form.len()
    );

    let failed = |e: std::io::Error| format!("{method} {path}: {e}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(failed)?;
    stream.write_all(text.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_ref(), ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("{method} {path}: no status in {head:?}"))?;
    Ok((status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()))))
}

/// A request; `form` is the body, with its content type unless it is empty.
#[derive(Default)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) form: &'a str,
}
