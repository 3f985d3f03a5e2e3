//! A TCP proxy that misbehaves when told to.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::AbortHandle,
};

/// Passes everything on, until it is told not to.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
    accepting: AbortHandle,
}

struct State {
    upstream: String,
    /// How many bytes may still pass towards the server and towards the client.
    budgets: [AtomicI64; 2],
    passed: [AtomicU64; 2],
    connections: Mutex<Vec<AbortHandle>>,
}

/// A direction, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Request = 0,
    /// From the server to the client.
    Answer = 1,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Proxy {
    /// Listens on a free port of `address`, a loopback address.
    ///
    /// # Panics
    ///
    /// If it cannot listen there.
    pub async fn start(address: &str, upstream: String) -> Self {
        let listener = TcpListener::bind((address, 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("the proxy cannot listen: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let state = Arc::new(State {
            upstream,
            budgets: [AtomicI64::new(i64::MAX), AtomicI64::new(i64::MAX)],
            passed: [AtomicU64::new(0), AtomicU64::new(0)],
            connections: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let task = tokio::spawn(pass(Arc::clone(&shared), client)).abort_handle();
                shared.connections.lock().unwrap_or_else(PoisonError::into_inner).push(task);
            }
        });
        Self { port, state, accepting: accepting.abort_handle() }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Closes every connection at once; new ones are accepted.
    pub fn cut(&self) {
        let mut connections = self.state.connections.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in connections.drain(..) {
            connection.abort();
        }
    }

    /// Lets `bytes` more through in one direction, then closes the connection they came on, once.
    pub fn cut_after(&self, direction: Direction, bytes: i64) {
        self.budget(direction).store(bytes, Ordering::SeqCst);
    }

    /// Forgets a cut that has not come yet.
    pub fn heal(&self) {
        self.cut_after(Direction::Request, i64::MAX);
        self.cut_after(Direction::Answer, i64::MAX);
    }

    /// How many bytes have passed in a direction, ever.
    pub fn passed(&self, direction: Direction) -> u64 {
        let [request, answer] = &self.state.passed;
        if direction == Direction::Request { request } else { answer }.load(Ordering::SeqCst)
    }

    fn budget(&self, direction: Direction) -> &AtomicI64 {
        let [request, answer] = &self.state.budgets;
        if direction == Direction::Request { request } else { answer }
    }
}

/// Serves one connection until either side ends it or a budget does.
async fn pass(state: Arc<State>, client: TcpStream) {
    let Ok(server) = TcpStream::connect(&state.upstream).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let [requests, answers] = &state.budgets;
    let [requested, answered] = &state.passed;
    // Whichever ends first ends the other: both halves are dropped, and with them the connection.
    tokio::select! {
        () = copy(from_client, to_server, requests, requested) => {}
        () = copy(from_server, to_client, answers, answered) => {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    budget: &AtomicI64,
    passed: &AtomicU64,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let length = i64::try_from(read).unwrap_or(i64::MAX);
        let before = budget.fetch_sub(length, Ordering::SeqCst);
        let allowed = usize::try_from(before.clamp(0, length)).unwrap_or(0);
        passed.fetch_add(allowed as u64, Ordering::SeqCst);
        let sent = to.write_all(buffer.get(..allowed).unwrap_or_default()).await;
        if allowed < read {
            budget.store(i64::MAX, Ordering::SeqCst);
            return;
        }
        if sent.is_err() {
            return;
        }
    }
}
