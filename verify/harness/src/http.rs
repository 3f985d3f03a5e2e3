//! An HTTP client of low cost: requests are encoded beforehand and answers parsed no further than
//! needed, so that the processors are left to the server.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::Result;

/// One persistent connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A server's answer.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// The body; it must be UTF-8.
    pub body: String,
}

impl Answer {
    /// The value of a header; the case of `name` does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim())
    }
}

impl Connection {
    /// Connects to `HOST:PORT`.
    pub async fn open(address: &str) -> Result<Self> {
        Self::over(TcpStream::connect(address).await?)
    }

    /// Connects to `HOST:PORT` from this local address, as a client in another network would.
    pub async fn open_from(address: &str, own: Ipv4Addr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((own, 0).into())?;
        Self::over(socket.connect(address.parse()?).await?)
    }

    fn over(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 16 * 1024] })
    }

    /// Sends a request and reads its answer; the connection stays open for the next request.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        loop {
            let free = self.buffer.get_mut(filled..).filter(|rest| !rest.is_empty());
            let read = self.stream.read(free.ok_or("the answer is too long")?).await?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            filled += read;
            let text = std::str::from_utf8(self.buffer.get(..filled).unwrap_or_default())?;
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse::<usize>().ok())
                .unwrap_or(0);
            if body.len() >= length {
                let status = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
                return Ok(Answer { status, head: head.to_owned(), body: body.to_owned() });
            }
        }
    }
}

/// Encodes a request with a body.
pub fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: rekey\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends requests over `connections` connections for `time`; returns the number of answers with
/// `status` per second. `next` encodes the request with the given number.
pub async fn load(
    address: &str,
    connections: usize,
    time: Duration,
    status: u16,
    next: Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>,
) -> Result<f64> {
    let (number, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let mut connection = Connection::open(address).await?;
        let (number, answered, next) = (number.clone(), answered.clone(), next.clone());
        tasks.push(tokio::spawn(async move {
            while started.elapsed() < time {
                let answer = connection.ask(&next(number.fetch_add(1, Ordering::Relaxed))).await?;
                if answer.status != status {
                    return Err(format!("{}: {}", answer.status, answer.body).into());
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    let count = answered.load(Ordering::Relaxed) as f64;
    Ok(count / started.elapsed().as_secs_f64())
}
