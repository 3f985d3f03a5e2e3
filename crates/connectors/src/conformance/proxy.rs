//! A TCP proxy that misbehaves when told to.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use self::connection::pass;
pub use self::trouble::{Moment, Trouble, Write};

mod connection;
mod trouble;

/// Passes everything on, until it is told not to.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
    accepting: AbortHandle,
}

struct State {
    upstream: String,
    passed: [AtomicU64; 2],
    plan: Mutex<Option<Plan>>,
    struck: AtomicU64,
    is_down: AtomicBool,
    connections: Mutex<Vec<AbortHandle>>,
}

/// What is to happen, once.
#[derive(Clone, Copy, Debug)]
struct Plan {
    at: At,
    trouble: Trouble,
}

/// Where it is to happen.
#[derive(Clone, Copy, Debug)]
enum At {
    /// When so many more bytes have passed in a direction.
    Bytes(Direction, u64),
    /// At a write.
    Write(Write, Moment),
    /// When the server has answered the write that has just passed.
    Answer,
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
            passed: [AtomicU64::new(0), AtomicU64::new(0)],
            plan: Mutex::default(),
            struck: AtomicU64::new(0),
            is_down: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if shared.is_down.load(Ordering::SeqCst) {
                    continue;
                }
                let task = tokio::spawn(serve(Arc::clone(&shared), client)).abort_handle();
                shared.connections().push(task);
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
        for connection in self.state.connections().drain(..) {
            connection.abort();
        }
    }

    /// From now on, or no longer: no connection is left, and new ones are closed at once.
    pub fn set_down(&self, is_down: bool) {
        self.state.is_down.store(is_down, Ordering::SeqCst);
        if is_down {
            self.cut();
        }
    }

    /// Lets `bytes` more through in one direction, then closes the connection they came on, once.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.plan(At::Bytes(direction, bytes), Trouble::Cut);
    }

    /// Makes trouble at the next write, once.
    pub fn strike(&self, write: Write, moment: Moment, trouble: Trouble) {
        self.plan(At::Write(write, moment), trouble);
    }

    /// Forgets what has not come yet.
    pub fn heal(&self) {
        *self.state.plan() = None;
    }

    /// How often it made trouble.
    pub fn struck(&self) -> u64 {
        self.state.struck.load(Ordering::SeqCst)
    }

    /// How many bytes have passed in a direction, ever.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.state.counter(direction).load(Ordering::SeqCst)
    }

    fn plan(&self, at: At, trouble: Trouble) {
        *self.state.plan() = Some(Plan { at, trouble });
    }
}

impl State {
    fn plan(&self) -> MutexGuard<'_, Option<Plan>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counter(&self, direction: Direction) -> &AtomicU64 {
        let [request, answer] = &self.passed;
        if direction == Direction::Request { request } else { answer }
    }

    /// How many of a record's bytes pass before trouble, if there is to be any in it.
    fn due(&self, direction: Direction, record: &[u8]) -> Option<(usize, Trouble)> {
        let mut planned = self.plan();
        let Plan { at, trouble } = planned.as_mut()?;
        let passing = match at {
            At::Answer => (direction == Direction::Answer).then_some(0),
            At::Bytes(of, left) if *of == direction => {
                let length = record.len() as u64;
                let passing = (*left < length).then(|| usize::try_from(*left).unwrap_or(0));
                *left = left.saturating_sub(length);
                passing
            }
            At::Write(write, moment) if direction == Direction::Request && write.is(record) => {
                match moment {
                    Moment::Before => Some(0),
                    Moment::During => Some(record.len() / 2),
                    Moment::After => {
                        *at = At::Answer;
                        None
                    }
                }
            }
            At::Bytes(..) | At::Write(..) => None,
        };
        let due = passing.map(|passing| (passing, *trouble));
        if due.is_some() {
            *planned = None;
            self.struck.fetch_add(1, Ordering::SeqCst);
        }
        due
    }
}

async fn serve(state: Arc<State>, client: TcpStream) {
    if let Ok(server) = TcpStream::connect(&state.upstream).await {
        pass(&state, client, server).await;
    }
}
