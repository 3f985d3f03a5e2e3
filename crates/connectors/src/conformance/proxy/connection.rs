//! A connection through the proxy.

use std::{
    future::pending,
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    time::{Instant, sleep, sleep_until},
};

use super::{Direction, State, Trouble, trouble::record};

/// The pace at which bytes are forwarded.
#[derive(Clone, Copy, Default)]
enum Pace {
    #[default]
    Freely,
    /// Nothing before this time.
    From(Instant),
    Never,
    OneByOne,
    /// This many bytes a second.
    Slowly(u32),
}

/// The way in which a connection ends.
enum End {
    Closed,
    Reset,
    Slowly(Duration),
}

/// Forwards bytes until either side or a disturbance ends the connection.
pub(super) async fn pass(state: &State, mut client: TcpStream, mut server: TcpStream) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let pace = Mutex::new(Pace::default());
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    // The end of one direction ends the other.
    let end = tokio::select! {
        end = copy(state, Direction::Request, from_client, to_server, &pace) => end,
        end = copy(state, Direction::Answer, from_server, to_client, &pace) => end,
    };
    match end {
        End::Closed => {}
        End::Reset => {
            for side in [&client, &server] {
                let _ = SockRef::from(side).set_linger(Some(Duration::ZERO));
            }
        }
        End::Slowly(after) => {
            drop(server);
            sleep(after).await;
        }
    }
}

async fn copy(
    state: &State,
    direction: Direction,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    pace: &Mutex<Pace>,
) -> End {
    let mut waiting = Vec::with_capacity(16 * 1024);
    while let Ok(1..) = from.read_buf(&mut waiting).await {
        // Only whole records are forwarded: a disturbance happens before, in or after one.
        while let Some(length) =
            record(&waiting).filter(|length| (1..=waiting.len()).contains(length))
        {
            let record: Vec<u8> = waiting.drain(..length).collect();
            let (before, after) = match state.due(direction, &record) {
                None => (record.as_slice(), None),
                Some((passing, trouble)) => {
                    let (before, rest) = record.split_at(passing);
                    (before, Some((rest, trouble)))
                }
            };
            if !send(state, direction, &mut to, before, pace).await {
                return End::Closed;
            }
            let Some((rest, trouble)) = after else { continue };
            let next = match trouble {
                Trouble::Bandwidth(bytes) => Pace::Slowly(bytes),
                Trouble::Cut => return End::Closed,
                Trouble::Latency(time) => Pace::From(Instant::now() + time),
                Trouble::Reset => return End::Reset,
                Trouble::Silence => Pace::Never,
                Trouble::Slices => Pace::OneByOne,
                Trouble::SlowClose(after) => return End::Slowly(after),
            };
            *pace.lock().unwrap_or_else(PoisonError::into_inner) = next;
            if !send(state, direction, &mut to, rest, pace).await {
                return End::Closed;
            }
        }
    }
    End::Closed
}

/// Sends bytes at the current pace; returns whether it succeeded.
async fn send(
    state: &State,
    direction: Direction,
    to: &mut WriteHalf<'_>,
    bytes: &[u8],
    pace: &Mutex<Pace>,
) -> bool {
    if bytes.is_empty() {
        return true;
    }
    let now = *pace.lock().unwrap_or_else(PoisonError::into_inner);
    let (at_once, pause) = match now {
        Pace::Freely => (bytes.len(), None),
        Pace::From(moment) => {
            sleep_until(moment).await;
            (bytes.len(), None)
        }
        Pace::Never => return pending().await,
        Pace::OneByOne => (1, Some(Duration::from_micros(200))),
        Pace::Slowly(per_second) => {
            let tenth = usize::try_from(per_second / 10).unwrap_or(1).max(1);
            (tenth, Some(Duration::from_millis(100)))
        }
    };
    for piece in bytes.chunks(at_once) {
        if to.write_all(piece).await.is_err() {
            return false;
        }
        state.counter(direction).fetch_add(piece.len() as u64, Ordering::SeqCst);
        if let Some(pause) = pause {
            sleep(pause).await;
        }
    }
    true
}
