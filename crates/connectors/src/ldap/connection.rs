//! A connection to a directory, for one request at a time.
//!
//! No task of its own drives it: once dropped, even in the middle of a request, it sends nothing
//! more. Received bytes are wiped, because an entry may contain the hash of a password.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::{
    ber::{self, Malformed},
    entry::{Entry, Unread},
    filter::Filter,
    message::{
        Answer, Control, INTERMEDIATE, Message, Request, SEARCH_DONE, SEARCH_ENTRY,
        SEARCH_REFERENCE, START_TLS, Scope,
    },
};
use crate::{Fault, FaultKind, net::misconfigured, tls};

/// The limits of the answer to one request, in bytes and in messages.
const ANSWER: usize = 256 * 1024;
const MESSAGES: usize = 500;

/// The limit of one page of a list, in bytes: more than twice what rekey keeps of its entries.
const PAGE: usize = 64 * 1024 * 1024;

/// The number of bytes to read at once.
const CHUNK: usize = 16 * 1024;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection to a directory.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    /// The bytes read from the stream.
    received: Zeroizing<Vec<u8>>,
    /// The index in `received` at which the next message begins.
    next: usize,
    /// The id of the latest request.
    id: u32,
    /// The number of bytes that the directory may still send in answer to that request.
    allowance: usize,
}

/// The failure of a connection.
#[derive(Debug)]
pub(super) struct Broken {
    /// Whether any part of the request may have been sent.
    pub(super) is_sent: bool,
    pub(super) fault: Fault,
}

/// The next item of a search.
pub(super) enum Found {
    /// The end of the search.
    Done(Answer),
    Entry(Entry),
    /// A reference to another server, which is not followed, or an intermediate response.
    Other,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        let stream = Box::new(stream);
        Self { stream, received: Zeroizing::default(), next: 0, id: 0, allowance: 0 }
    }

    /// Starts TLS: at once if the server expects it, or after [`Self::start_tls`].
    pub(super) async fn secure(self, host: &str, tls: &Arc<ClientConfig>) -> Result<Self, Fault> {
        if self.next < self.received.len() {
            // Bytes received in clear must not be read as an answer under TLS.
            return Err(malformed());
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| misconfigured(format!("host: {error}")).caused_by(error))?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, self.stream).await;
        Ok(Self { stream: Box::new(stream.map_err(tls::fault)?), ..self })
    }

    /// Requests TLS from the server.
    pub(super) async fn start_tls(&mut self, limit: Duration) -> Result<Answer, Broken> {
        self.call(limit, Request::extended(START_TLS, None), &[]).await
    }

    /// Sends a request and waits for its answer, at most `limit` for both.
    pub(super) async fn call(
        &mut self,
        limit: Duration,
        request: Request,
        controls: &[Control],
    ) -> Result<Answer, Broken> {
        if self.is_closed() {
            return Err(Broken { is_sent: false, fault: broke() });
        }
        let call = async {
            self.write(&request, controls, ANSWER).await?;
            for _ in 0..MESSAGES {
                let message = self.message().await?;
                match message.operation {
                    INTERMEDIATE => {}
                    tag if tag == request.answer => return Ok(message.answer()?),
                    _ => return Err(Malformed.into()),
                }
            }
            Err(too_much())
        };
        within(limit, call).await
    }

    /// Starts the search of a page; [`Self::found`] returns its items.
    pub(super) async fn search(
        &mut self,
        limit: Duration,
        request: Request,
        controls: &[Control],
    ) -> Result<(), Broken> {
        within(limit, self.write(&request, controls, PAGE)).await
    }

    /// Waits for the next item of the search; entries keep the `wanted` attributes.
    pub(super) async fn found(
        &mut self,
        limit: Duration,
        wanted: &[&str],
    ) -> Result<Found, Broken> {
        let found = async {
            let message = self.message().await?;
            match message.operation {
                SEARCH_ENTRY => match Entry::read(message.content, wanted) {
                    Ok(entry) => Ok(Found::Entry(entry)),
                    Err(Unread::Malformed) => Err(Malformed.into()),
                    Err(Unread::TooLarge(fault)) => Err(fault),
                },
                SEARCH_REFERENCE | INTERMEDIATE => Ok(Found::Other),
                SEARCH_DONE => Ok(Found::Done(message.answer()?)),
                _ => Err(Malformed.into()),
            }
        };
        within(limit, found).await
    }

    /// Reads the one entry at `base`, if it matches the filter.
    pub(super) async fn read(
        &mut self,
        limit: Duration,
        base: &str,
        filter: &Filter,
        attributes: &[&str],
    ) -> Result<(Answer, Option<Entry>), Broken> {
        let search = Request::search(base, Scope::Base, filter, attributes);
        within(limit, self.write(&search, &[], ANSWER)).await?;
        let mut entry = None;
        loop {
            match self.found(limit, attributes).await? {
                Found::Done(answer) => return Ok((answer, entry)),
                Found::Entry(found) if entry.is_none() => entry = Some(found),
                // A name has one entry, and the search of one entry has no references.
                Found::Entry(_) | Found::Other => {
                    return Err(Broken { is_sent: true, fault: malformed() });
                }
            }
        }
    }

    /// Whether the server has closed the connection or sent unsolicited data: a directory sends a
    /// notice before it disconnects (RFC 4511, section 4.4.1).
    pub(super) fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(Waker::noop());
        let read = Pin::new(&mut self.stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte));
        self.next < self.received.len() || !matches!(read, Poll::Pending)
    }

    /// Sends a request, once and as a whole. The directory may answer with `allowance` bytes.
    async fn write(
        &mut self,
        request: &Request,
        controls: &[Control],
        allowance: usize,
    ) -> Result<(), Fault> {
        self.allowance = allowance;
        self.id = self.id.checked_add(1).filter(|id| id >> 31 == 0).ok_or_else(broke)?;
        let message = request.message(self.id, controls);
        let sent = async {
            self.stream.write_all(message.bytes()).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| broke().caused_by(error))
    }

    /// Reads the next message, which must belong to the latest request.
    async fn message(&mut self) -> Result<Message<'_>, Fault> {
        let length = loop {
            let unread = self.received.get(self.next..).unwrap_or_default();
            match ber::length(unread)? {
                Some(length) if length > self.allowance => return Err(too_much()),
                Some(length) if length <= unread.len() => break length,
                length => self.read_more(length).await?,
            }
        };
        let begin = self.next;
        self.next += length;
        self.allowance -= length;
        let bytes = self.received.get(begin..self.next).ok_or(Malformed)?;
        let message = Message::read(bytes)?;
        if message.id == self.id {
            Ok(message)
        } else if message.id == 0 {
            Err(Fault::new(FaultKind::Unreachable, "the directory ended the connection"))
        } else {
            Err(Malformed.into())
        }
    }

    /// Reads a part of a message, whose length may be known already. The buffer grows with the
    /// bytes received, never by an announced length.
    async fn read_more(&mut self, length: Option<usize>) -> Result<(), Fault> {
        let unread = self.received.len() - self.next;
        self.received.copy_within(self.next.., 0);
        self.received.truncate(unread);
        self.next = 0;
        let doubled = CHUNK.max(2 * unread);
        let capacity = length.map_or(CHUNK, |length| doubled.min(CHUNK.max(length)));
        let is_needless = unread == 0 && self.received.capacity() > CHUNK;
        if unread == self.received.capacity() || is_needless {
            ber::grow(&mut self.received, capacity);
        }
        match self.stream.read_buf(&mut *self.received).await {
            Ok(0) => Err(broke()),
            Ok(_) => Ok(()),
            Err(error) => Err(broke().caused_by(error)),
        }
    }
}

/// Waits at most `limit`. After any failure, the request counts as possibly sent.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Fault>> + Send,
) -> Result<T, Broken> {
    let fault = match timeout(limit, call).await {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(fault)) => fault,
        Err(_) => Fault::new(
            FaultKind::Unreachable,
            format!("the directory did not answer within {} seconds", limit.as_secs()),
        ),
    };
    Err(Broken { is_sent: true, fault })
}

fn broke() -> Fault {
    Fault::new(FaultKind::Unreachable, "the connection to the directory broke")
}

fn too_much() -> Fault {
    Fault::new(
        FaultKind::Unreachable,
        "the directory sent more than rekey takes: 256 KiB and 500 messages for one answer, 64 MiB \
         for a page of a list",
    )
}

fn malformed() -> Fault {
    Fault::new(FaultKind::Unreachable, "the directory's answer was not LDAP")
}

impl From<Malformed> for Fault {
    fn from(Malformed: Malformed) -> Self {
        malformed()
    }
}

#[cfg(test)]
mod tests;
