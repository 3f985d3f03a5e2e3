//! A bound on what a server may send: a stream between TLS and the PostgreSQL client that reads the
//! length of every message before the client makes room for it.
//!
//! The client collects whole messages and, in places, whole answers; neither has a limit of its own.

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

use super::scram::MOST_ITERATIONS;

/// What a server may send until it is ready for the first statement, in bytes: a login, notices and
/// the parameters. A real server sends less than 2 KB.
const SIGN_IN: usize = 64 * 1024;

/// What a server may send in answer to one statement, in bytes, notices included.
pub(super) const ANSWER: usize = 1024 * 1024;

/// A message's type and length.
const HEADER: usize = 5;

/// How much a server may still send, shared by the stream and its user.
pub(super) struct Allowance {
    left: AtomicUsize,
    /// Why the stream was ended, if rekey ended it.
    refused: OnceLock<&'static str>,
}

impl Allowance {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(SIGN_IN), refused: OnceLock::new() })
    }

    /// Allows one more answer.
    pub(super) fn renew(&self) {
        self.left.store(ANSWER, Ordering::Relaxed);
    }

    /// Why rekey ended the connection; `None` if it did not.
    pub(super) fn refused(&self) -> Option<&'static str> {
        self.refused.get().copied()
    }

    fn spend(&self, size: usize) -> Result<(), &'static str> {
        let spend = |left: usize| left.checked_sub(size);
        let spent = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        spent.map(drop).map_err(|_| "the server sent more than the 1 MiB that one answer may have")
    }
}

/// A stream of the server's messages, each of them counted before it is passed on.
pub(super) struct Bounded<S> {
    stream: S,
    allowance: Arc<Allowance>,
    header: [u8; HEADER],
    /// How many bytes of the next header have arrived.
    arrived: usize,
    /// How many bytes of the current message's body are still to come.
    body: usize,
    /// The body of the current message if it asks for a login, so far.
    login: Option<Vec<u8>>,
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, allowance: Arc<Allowance>) -> Self {
        Self { stream, allowance, header: [0; HEADER], arrived: 0, body: 0, login: None }
    }

    /// Follows the frames through the bytes that arrived; refuses the first that is not allowed.
    fn admit(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            if self.body > 0 {
                let (part, rest) = bytes.split_at(self.body.min(bytes.len()));
                self.body -= part.len();
                bytes = rest;
                if let Some(login) = &mut self.login {
                    login.extend_from_slice(part);
                }
                if self.body == 0 {
                    check_login(self.login.take().as_deref())?;
                }
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

    /// A header is complete.
    fn begin(&mut self) -> Result<(), &'static str> {
        let [kind, length @ ..] = self.header;
        // The length counts itself, and not the type.
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let body = length.checked_sub(HEADER - 1);
        let body = body.ok_or("the server's answer was not PostgreSQL's")?;
        self.allowance.spend(length.saturating_add(1))?;
        self.login = (kind == b'R').then(Vec::new);
        self.body = body;
        self.arrived = 0;
        Ok(())
    }
}

/// Refuses a SCRAM challenge (RFC 5802, section 5.1, attribute `i`) that takes too long to answer:
/// the client computes it on a thread that serves others too.
fn check_login(login: Option<&[u8]>) -> Result<(), &'static str> {
    /// The tag of `AuthenticationSASLContinue`.
    const CHALLENGE: [u8; 4] = [0, 0, 0, 11];
    let Some(challenge) = login.and_then(|login| login.strip_prefix(&CHALLENGE)) else {
        return Ok(());
    };
    let mut attributes = challenge.split(|byte| *byte == b',');
    let Some(rounds) = attributes.find_map(|attribute| attribute.strip_prefix(b"i=")) else {
        return Ok(());
    };
    let rounds = str::from_utf8(rounds).ok().and_then(|rounds| rounds.parse::<u32>().ok());
    if rounds.is_some_and(|rounds| rounds <= MOST_ITERATIONS) {
        return Ok(());
    }
    Err("the server asks for more than 200000 iterations of SCRAM: lower scram_iterations and set \
         the password of rekey's own role again")
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

/// TLS whose decrypted stream is bounded. The handshake below it is bounded by rustls.
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

    /// What a client reads of these bytes, `step` at a time, and why it stops.
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

    fn challenge(rounds: &str) -> Vec<u8> {
        let text = format!("r=abc,s=AAAA,i={rounds}");
        message(b'R', &[&[0, 0, 0, 11], text.as_bytes()].concat())
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
            prop_assert!(why.unwrap().contains("more than the 1 MiB"));
        }
    }

    #[test]
    fn many_small_messages_are_as_much_as_a_large_one() {
        let notice = message(b'N', &[0]);
        let (passed, why) = read(&notice.repeat(SIGN_IN), 4096);
        assert!(passed.len() <= SIGN_IN);
        assert!(why.unwrap().contains("more than the 1 MiB"));
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
    fn a_challenge_takes_no_longer_than_is_sensible() {
        for (rounds, is_taken) in [
            ("4096", true),
            ("200000", true),
            ("200001", false),
            ("2147483647", false),
            ("", false),
            ("99999999999", false),
        ] {
            for step in [1, 7, 1000] {
                let sent = challenge(rounds);
                assert_eq!(read(&sent, step).1.is_none(), is_taken, "{rounds}");
            }
        }
    }

    #[test]
    fn a_length_shorter_than_itself_is_refused() {
        assert!(read(&[b'Z', 0, 0, 0, 3, 1], 100).1.is_some());
    }
}
