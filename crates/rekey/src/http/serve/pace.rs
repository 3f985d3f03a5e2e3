//! Timeouts for clients that keep their connection waiting.
//!
//! hyper's own timeout runs from the end of one head to the end of the next, so it cannot
//! distinguish an idle connection from an unfinished head, and it ignores clients that read no
//! responses. Here each kind of wait has a timeout of its own. A connection has one timer, which is
//! touched only during a wait.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{
    places::Place,
    quotes::{Quotes, Within},
};

/// The longest times that a client may keep its connection waiting.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Until the first byte of a connection.
    pub(super) first_byte: Duration,
    /// Until the end of a request's head, from its first byte.
    pub(super) head: Duration,
    /// Until the next request, from the last byte of a response.
    pub(super) next_request: Duration,
    /// Until the client reads bytes of a response: see [`BYTE`].
    pub(super) write: Duration,
}

/// The time by which each byte that a client reads extends the deadline for writing, up to a whole
/// [`Patience::write`]. A client that reads a response byte by byte does not gain enough.
const BYTE: Duration = Duration::from_millis(1);

/// The waits for bytes of the client. Bodies have their timeout where they are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    FirstByte,
    Head,
    NextRequest,
}

/// A connection's stream, which fails once the client has kept it waiting for too long.
pub(super) struct Paced<S> {
    stream: Quotes<S>,
    place: Arc<Place>,
    patience: Patience,
    /// Whether the client was sent at least a part of a response.
    is_answered: bool,
    /// The current wait for the client's bytes, and its deadline.
    read: Option<(Wait, Instant)>,
    /// The deadline for the client to read pending output.
    write: Option<Instant>,
    /// Fires at the earlier deadline or before it; if it fires too early, it is set again.
    timer: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, place: Arc<Place>, patience: Patience) -> Self {
        Self {
            stream: Quotes::new(stream),
            place,
            patience,
            is_answered: false,
            read: None,
            write: None,
            timer: Box::pin(sleep(patience.first_byte)),
        }
    }

    /// Starts or continues a wait, after a read found no bytes.
    fn waits_to_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let within = self.stream.within();
        // hyper also reads while a request is processed, to notice a client that disconnects.
        if within == Within::Body || !self.place.is_waiting() {
            self.read = None;
        } else {
            let (wait, patience) = match within {
                Within::Head => (Wait::Head, self.patience.head),
                Within::Nothing | Within::Body if self.is_answered => {
                    (Wait::NextRequest, self.patience.next_request)
                }
                // Blank lines before a request do not start it.
                Within::Nothing | Within::Body => (Wait::FirstByte, self.patience.first_byte),
            };
            if self.read.is_none_or(|(former, _)| former != wait) {
                self.read = Some((wait, Instant::now() + patience));
            }
        }
        self.check(cx)
    }

    fn after_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let patience = self.patience.write;
        if let Poll::Ready(Ok(bytes)) = written {
            self.is_answered = true;
            // The time for the next request starts with the last byte of the response.
            self.read = None;
            if let Some(until) = &mut self.write {
                let bought = BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX));
                *until = (*until + bought.min(patience)).min(Instant::now() + patience);
            }
        } else if written.is_pending() {
            self.place.answered();
            self.write.get_or_insert_with(|| Instant::now() + patience);
            self.check(cx)?;
        }
        written
    }

    /// Fails if a deadline has passed; otherwise makes the timer wake the task at the earlier one.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let read = self.read.map(|(_, until)| until);
        let Some(until) = read.into_iter().chain(self.write).min() else { return Ok(()) };
        if until < self.timer.deadline() {
            self.timer.as_mut().reset(until);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= until {
                let why = "the client has kept the connection waiting for too long";
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            self.timer.as_mut().reset(until);
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if read.is_pending() {
            this.waits_to_read(cx)?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.after_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.after_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when the client's socket has taken all of its output.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write = None;
        self.place.answered();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, net::IpAddr};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::timeout,
    };

    use super::*;
    use crate::http::serve::places::Places;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_hours(1);
    const PATIENT: Patience =
        Patience { first_byte: LONG, head: LONG, next_request: LONG, write: LONG };
    const WHOLE: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

    async fn pair(patience: Patience) -> (DuplexStream, Paced<DuplexStream>, Arc<Place>) {
        let place = Places::new(1, None).take(None::<IpAddr>).await.ok().unwrap();
        let (place, (client, server)) = (Arc::new(place), duplex(64));
        (client, Paced::new(server, place.clone(), patience), place)
    }

    async fn reads(server: &mut Paced<DuplexStream>) -> io::Result<usize> {
        server.read(&mut [0; 64]).await
    }

    fn is_too_long(read: io::Result<usize>) -> bool {
        read.is_err_and(|error| error.kind() == ErrorKind::TimedOut)
    }

    #[tokio::test]
    async fn each_wait_for_the_client_has_its_own_time() {
        let (_client, mut server, _) = pair(Patience { first_byte: SHORT, ..PATIENT }).await;
        assert!(is_too_long(reads(&mut server).await), "no first byte");

        let (mut client, mut server, _) = pair(Patience { first_byte: SHORT, ..PATIENT }).await;
        client.write_all(b"\r\n\r\n").await.unwrap();
        assert_eq!(reads(&mut server).await.unwrap(), 4);
        assert!(is_too_long(reads(&mut server).await), "blank lines are no first byte");

        let (mut client, mut server, _) =
            pair(Patience { first_byte: SHORT, head: SHORT, ..PATIENT }).await;
        client.write_all(b"GET /").await.unwrap();
        assert_eq!(reads(&mut server).await.unwrap(), 5);
        assert!(is_too_long(reads(&mut server).await), "half a head");

        let (mut client, mut server, place) =
            pair(Patience { first_byte: SHORT, next_request: SHORT, ..PATIENT }).await;
        client.write_all(WHOLE).await.unwrap();
        assert_eq!(reads(&mut server).await.unwrap(), WHOLE.len());
        place.work().unwrap();
        let working = timeout(SHORT * 5, reads(&mut server)).await;
        assert!(working.is_err(), "no time runs while a request is carried out");
        place.answer();
        server.write_all(b"x").await.unwrap();
        server.flush().await.unwrap();
        assert!(place.is_waiting());
        assert!(is_too_long(reads(&mut server).await), "no next request");
    }

    #[tokio::test]
    async fn an_idle_connection_stays_and_its_next_head_has_its_time() {
        let (mut client, mut server, place) = pair(Patience { head: SHORT, ..PATIENT }).await;
        assert!(timeout(SHORT * 5, reads(&mut server)).await.is_err(), "it may stay idle");
        client.write_all(WHOLE).await.unwrap();
        assert_eq!(reads(&mut server).await.unwrap(), WHOLE.len());
        place.work().unwrap();
        place.answer();
        server.write_all(b"x").await.unwrap();
        server.flush().await.unwrap();
        assert!(timeout(SHORT * 5, reads(&mut server)).await.is_err(), "it may stay idle again");
        client.write_all(b"GET / HT").await.unwrap();
        assert_eq!(reads(&mut server).await.unwrap(), 8);
        assert!(is_too_long(reads(&mut server).await));
    }

    #[tokio::test]
    async fn an_answer_must_be_taken_and_not_byte_by_byte() {
        let (_client, mut server, place) = pair(Patience { write: SHORT, ..PATIENT }).await;
        let refused = server.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TimedOut);
        assert!(place.is_waiting());

        // At one millisecond per byte, 1000 bytes would take a second; after 20 ms no time is left.
        let (mut client, mut server, _) = pair(Patience { write: SHORT, ..PATIENT }).await;
        let slow = tokio::spawn(async move {
            while client.read_u8().await.is_ok() {
                tokio::time::sleep(SHORT / 4).await;
            }
        });
        let refused = server.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TimedOut);
        drop(server);
        slow.await.unwrap();

        // A client that keeps reading gets the whole response, however long that takes.
        let write = SHORT * 50;
        let (mut client, mut server, _) = pair(Patience { write, ..PATIENT }).await;
        let steady = tokio::spawn(async move {
            let (mut all, mut some) = (0, [0; 64]);
            while let Ok(read @ 1..) = client.read(&mut some).await {
                all += read;
                tokio::time::sleep(SHORT / 2).await;
            }
            all
        });
        let begun = Instant::now();
        server.write_all(&[0; 64 * 120]).await.unwrap();
        assert!(begun.elapsed() > write, "else it shows nothing");
        drop(server);
        assert_eq!(steady.await.unwrap(), 64 * 120);
    }
}
