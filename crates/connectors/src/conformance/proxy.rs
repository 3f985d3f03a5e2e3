//! A TCP proxy that disturbs connections on request.

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

/// Forwards everything until a disturbance is planned.
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

/// A disturbance that happens once.
#[derive(Clone, Copy, Debug)]
struct Plan {
    at: At,
    trouble: Trouble,
}

/// The position at which a disturbance happens.
#[derive(Clone, Copy, Debug)]
enum At {
    /// After this many more bytes in a direction.
    Bytes(Direction, u64),
    /// At a write.
    Write(Write, Moment),
    /// At the answer to the write that has just passed.
    Answer,
}

/// A direction, as seen from the client.
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

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Closes every connection at once; new connections are accepted.
    pub fn cut(&self) {
        for connection in self.state.connections().drain(..) {
            connection.abort();
        }
    }

    /// With `true`, closes every connection, and from then on each new one; `false` ends that.
    pub fn set_down(&self, is_down: bool) {
        self.state.is_down.store(is_down, Ordering::SeqCst);
        if is_down {
            self.cut();
        }
    }

    /// Forwards `bytes` more in one direction, then closes the connection that carried them, once.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.plan(At::Bytes(direction, bytes), Trouble::Cut);
    }

    /// Disturbs the next matching write, once.
    pub fn strike(&self, write: Write, moment: Moment, trouble: Trouble) {
        self.plan(At::Write(write, moment), trouble);
    }

    /// Cancels a planned disturbance that has not happened yet.
    pub fn heal(&self) {
        *self.state.plan() = None;
    }

    /// The number of disturbances so far.
    pub fn struck(&self) -> u64 {
        self.state.struck.load(Ordering::SeqCst)
    }

    /// The number of bytes forwarded in a direction since the start.
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

    /// The number of the record's bytes to forward before a disturbance; `None` if none is due in
    /// it.
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
