//! A limit on the bytes that a server may send: a stream between TLS and the PostgreSQL client that
//! reads the length of every message before the client allocates memory for it.
//!
//! The client buffers whole messages and, in places, whole answers, without a limit of its own.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// The limit until the server is ready for the first statement, in bytes: the sign-in, notices and
/// parameters. A real server sends less than 2 KB.
const SIGN_IN: usize = 64 * 1024;

/// The limit for parameters over the life of a connection, in bytes: the client keeps them all.
const PARAMETERS: usize = SIGN_IN;

/// The limit for the answer to one statement, in bytes, notices included.
const ANSWER: usize = 1024 * 1024;

/// The size of a message's type and length, in bytes.
const HEADER: usize = 5;

/// The reason with which rekey closes a connection.
const TOO_MUCH: &str =
    "the server sent more than rekey takes: 1 MiB for one answer, 64 KiB for the sign-in";

/// The number of bytes that a server may still send, shared by the stream and its user.
pub(super) struct Allowance {
    left: AtomicUsize,
    /// The reason, if rekey closed the stream.
    refused: OnceLock<&'static str>,
}

impl Allowance {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(SIGN_IN), refused: OnceLock::new() })
    }

    /// Sets the limit for the answer to the next statement.
    pub(super) fn renew(&self) {
        self.left.store(ANSWER, Ordering::Relaxed);
    }

    /// The reason why rekey closed the connection; `None` if it did not.
    pub(super) fn refused(&self) -> Option<&'static str> {
        self.refused.get().copied()
    }

    fn spend(&self, size: usize) -> Result<(), &'static str> {
        let take = |left: usize| left.checked_sub(size);
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(drop).map_err(|_| TOO_MUCH)
    }
}

/// A stream of the server's messages; each message is counted before it is passed on.
pub(super) struct Bounded<S> {
    stream: S,
    allowance: Arc<Allowance>,
    header: [u8; HEADER],
    /// The number of bytes of the next header that have arrived.
    arrived: usize,
    /// The number of bytes of the current message's body that have not arrived yet.
    body: usize,
    /// The number of bytes of parameters that the server has sent.
    parameters: usize,
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, allowance: Arc<Allowance>) -> Self {
        Self { stream, allowance, header: [0; HEADER], arrived: 0, body: 0, parameters: 0 }
    }

    /// Parses the message frames in the bytes that arrived; refuses the first frame over the limit.
    fn admit(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            if self.body > 0 {
                let (part, rest) = bytes.split_at(self.body.min(bytes.len()));
                self.body -= part.len();
                bytes = rest;
                continue;
            }
            let wanted = HEADER - self.arrived;
            let (part, rest) = bytes.split_at(wanted.min(bytes.len()));
            if let Some(header) = self.header.get_mut(self.arrived..self.arrived + part.len()) {
                header.copy_from_slice(part);
            }
            self.arrived += part.len();
            bytes = rest;
            if self.arrived == HEADER {
                self.begin()?;
            }
        }
        Ok(())
    }

    /// Starts a message whose header is complete.
    fn begin(&mut self) -> Result<(), &'static str> {
        let [kind, length @ ..] = self.header;
        // The length includes itself, but not the type.
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let body = length.checked_sub(HEADER - 1);
        let body = body.ok_or("the server's answer was not PostgreSQL's")?;
        self.allowance.spend(length.saturating_add(1))?;
        if kind == b'S' {
            self.parameters = self.parameters.saturating_add(body);
            if self.parameters > PARAMETERS {
                return Err(TOO_MUCH);
            }
        }
        self.body = body;
        self.arrived = 0;
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let arrived = buffer.filled().get(before..).unwrap_or_default();
        if let Err(why) = self.admit(arrived) {
            buffer.set_filled(before);
            let why = *self.allowance.refused.get_or_init(|| why);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Bounded<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// TLS whose decrypted stream is bounded. Within the TLS handshake, rustls sets the limits.
pub(super) struct BoundedTls<T> {
    pub(super) tls: T,
    pub(super) allowance: Arc<Allowance>,
}

impl<S, T> TlsConnect<S> for BoundedTls<T>
where
    T: TlsConnect<S>,
    T::Stream: Unpin,
    T::Future: Send + 'static,
{
    type Stream = Bounded<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let Self { tls, allowance } = self;
        let connecting = tls.connect(stream);
        Box::pin(async move { Ok(Bounded::new(connecting.await?, allowance)) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Reads the bytes as a client does, `step` at a time; returns them and the error that ended
    /// the stream.
    fn read(sent: &[u8], step: usize) -> (Vec<u8>, Option<String>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut stream = Bounded::new(sent, Allowance::new());
            let mut all = Vec::new();
            loop {
                let mut part = vec![0; step];
                match stream.read(&mut part).await {
                    Ok(0) => return (all, None),
                    Ok(size) => all.extend_from_slice(&part[..size]),
                    Err(error) => return (all, Some(error.to_string())),
                }
            }
        })
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, body].concat()
    }

    proptest! {
        #[test]
        fn what_is_allowed_passes_unchanged(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            step in 1_usize..700,
        ) {
            let sent: Vec<u8> = bodies.iter().flat_map(|body| message(b'D', body)).collect();
            prop_assert_eq!(read(&sent, step), (sent, None));
        }

        #[test]
        fn nothing_is_passed_on_after_what_is_refused(
            garbage in prop::collection::vec(any::<u8>(), 0..300),
            step in 1_usize..700,
        ) {
            let good = message(b'Z', b"I");
            let sent = [good.clone(), vec![b'D', 0x7f, 0xff, 0xff, 0xff], garbage].concat();
            let (passed, why) = read(&sent, step);
            prop_assert!(passed.len() < good.len() + HEADER);
            prop_assert!(why.unwrap().contains("more than rekey takes"));
        }
    }

    #[test]
    fn many_small_messages_are_as_much_as_a_large_one() {
        let notice = message(b'N', &[0]);
        let (passed, why) = read(&notice.repeat(SIGN_IN), 4096);
        assert!(passed.len() <= SIGN_IN);
        assert!(why.unwrap().contains("more than rekey takes"));
    }

    #[test]
    fn an_allowance_is_for_one_answer() {
        let allowance = Allowance::new();
        allowance.renew();
        allowance.spend(ANSWER).unwrap();
        allowance.spend(1).unwrap_err();
        allowance.renew();
        allowance.spend(ANSWER).unwrap();
    }

    #[test]
    fn parameters_do_not_pile_up_from_answer_to_answer() {
        let allowance = Allowance::new();
        let mut stream = Bounded::new(tokio::io::empty(), Arc::clone(&allowance));
        let answer = message(b'S', &[b'x'; 1024]);
        let taken = (0..1000).take_while(|_| {
            allowance.renew();
            stream.admit(&answer).is_ok()
        });
        assert_eq!(taken.count(), PARAMETERS / 1024);
    }

    #[test]
    fn a_length_shorter_than_itself_is_refused() {
        assert!(read(&[b'Z', 0, 0, 0, 3, 1], 100).1.is_some());
    }
}
