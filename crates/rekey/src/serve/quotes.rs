//! A bare `"` in a request's target, as `?filters=alias eq "x"` in some clients, is no HTTP: hyper
//! answers 400 before any handler. ISC takes it, so the first line of a request is repaired on its
//! way to hyper: `"` becomes `%22` there, and nowhere else.

use std::{
    io,
    pin::Pin,
    slice,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at once.
const CHUNK: usize = 8 * 1024;
/// Bytes of a header line that are looked at.
const LINE: usize = 64;

/// A stream whose requests are repaired.
pub(super) struct Quotes<S> {
    stream: S,
    repair: Repair,
    /// What was repaired and not yet read, from `read` on.
    ready: Vec<u8>,
    read: usize,
}

impl<S> Quotes<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, repair: Repair::default(), ready: Vec::new(), read: 0 }
    }

    /// What the bytes that were read so far end in.
    pub(super) fn within(&self) -> Within {
        match self.repair.at {
            At::Body(_) => Within::Body,
            At::RequestLine if self.repair.line.is_empty() => Within::Nothing,
            At::RequestLine | At::Header => Within::Head,
            At::Rest => Within::Nothing,
        }
    }
}

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    Body,
    Head,
    /// No request has begun, or it is not plain where the next one does.
    Nothing,
}

impl<S: AsyncRead + Unpin> AsyncRead for Quotes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let left = this.ready.get(this.read..).unwrap_or_default();
        if left.is_empty() {
            if this.repair.at == At::Rest {
                return Pin::new(&mut this.stream).poll_read(cx, buf);
            }
            let mut chunk = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut chunk))?;
            this.ready.clear();
            this.read = 0;
            this.repair.feed(chunk.filled(), &mut this.ready);
        }
        let left = this.ready.get(this.read..).unwrap_or_default();
        let (now, _) = left.split_at(left.len().min(buf.remaining()));
        buf.put_slice(now);
        this.read += now.len();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Quotes<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Follows the requests of a connection as far as is plain; then touches nothing any more.
#[derive(Default)]
struct Repair {
    at: At,
    /// The line so far, cut at [`LINE`] bytes.
    line: Vec<u8>,
    cut: bool,
    /// The length of the body that follows.
    body: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    Body(u64),
    Header,
    #[default]
    RequestLine,
    /// Where the next request begins is not plain.
    Rest,
}

impl Repair {
    fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while !input.is_empty() {
            let end = match self.at {
                At::Rest => input.len(),
                At::Body(left) => usize::try_from(left).unwrap_or(usize::MAX).min(input.len()),
                At::RequestLine | At::Header => {
                    input.iter().position(|byte| *byte == b'\n').map_or(input.len(), |at| at + 1)
                }
            };
            let (part, rest) = input.split_at(end);
            self.follow(part, out);
            input = rest;
        }
    }

    /// Takes what comes up to the end of the line, or of the body, or of the input.
    fn follow(&mut self, part: &[u8], out: &mut Vec<u8>) {
        if self.at == At::RequestLine && part.contains(&b'"') {
            for byte in part {
                out.extend_from_slice(if *byte == b'"' { b"%22" } else { slice::from_ref(byte) });
            }
        } else {
            out.extend_from_slice(part);
        }
        match self.at {
            At::Rest => {}
            At::Body(left) => {
                let left = left.saturating_sub(part.len() as u64);
                self.at = if left > 0 { At::Body(left) } else { At::RequestLine };
            }
            At::RequestLine | At::Header => {
                let line = part.strip_suffix(b"\n").unwrap_or(part);
                let (kept, more) = line.split_at(line.len().min(LINE - self.line.len()));
                self.line.extend(kept.iter().map(u8::to_ascii_lowercase));
                self.cut |= !more.is_empty();
                if line.len() < part.len() {
                    self.end_line();
                }
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let cut = std::mem::take(&mut self.cut);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        if self.at == At::RequestLine {
            // Blank lines before a request are none.
            if !line.is_empty() {
                self.at = At::Header;
            }
        } else if line.is_empty() {
            self.at = match self.body.take() {
                Some(length) if length > 0 => At::Body(length),
                Some(_) | None => At::RequestLine,
            };
        } else if let Some(length) = line.strip_prefix("content-length:") {
            match length.trim().parse() {
                Ok(length) if !cut && self.body.is_none() => self.body = Some(length),
                Ok(_) | Err(_) => self.at = At::Rest,
            }
        } else if line.starts_with("transfer-encoding") || line.starts_with("upgrade") {
            self.at = At::Rest;
        }
    }
}

/// What is made of a connection that sends these chunks.
pub(crate) fn repaired(chunks: &[&[u8]]) -> Vec<u8> {
    let (mut repair, mut out) = (Repair::default(), Vec::new());
    for chunk in chunks {
        repair.feed(chunk, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn repaired(chunks: &[&[u8]]) -> String {
        let (mut repair, mut out) = (Repair::default(), Vec::new());
        for chunk in chunks {
            repair.feed(chunk, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_the_first_line_of_each_request_is_repaired() {
        let sent = "GET /a?b=\"c\" HTTP/1.1\r\nX: \"y\"\r\n\r\n\
                    POST /d HTTP/1.1\r\nContent-Length: 3\r\n\r\n\"e\"\
                    \r\nGET /f?\" HTTP/1.1\r\n\r\n";
        let wanted = "GET /a?b=%22c%22 HTTP/1.1\r\nX: \"y\"\r\n\r\n\
                      POST /d HTTP/1.1\r\nContent-Length: 3\r\n\r\n\"e\"\
                      \r\nGET /f?%22 HTTP/1.1\r\n\r\n";
        assert_eq!(repaired(&[sent.as_bytes()]), wanted);
        let bytes: Vec<_> = sent.as_bytes().chunks(1).collect();
        assert_eq!(repaired(&bytes), wanted);
    }

    #[test]
    fn nothing_is_touched_once_a_body_has_no_plain_end() {
        for header in [
            "Transfer-Encoding: chunked",
            "content-length: x",
            "Content-Length: 1\r\nContent-Length: 1",
            "Upgrade: h2c",
            &format!("Content-Length: {}12", " ".repeat(50)),
        ] {
            let sent = format!("POST / HTTP/1.1\r\n{header}\r\n\r\n\"\r\nGET /\"\r\n");
            assert_eq!(repaired(&[sent.as_bytes()]), sent);
        }
    }

    proptest! {
        #[test]
        fn a_body_is_never_touched(body in "\\PC*") {
            let sent = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            prop_assert_eq!(repaired(&[sent.as_bytes()]), sent);
        }
    }
}
