//! Escapes a bare `"` in a request's target, as some clients send it (`?filters=alias eq "x"`).
//! That is invalid HTTP, which hyper answers with 400 before any handler runs, but ISC accepts it.
//! On the way to hyper, `"` becomes `%22` in the first line of each request, and nowhere else.

use std::{
    io,
    pin::Pin,
    slice,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read from the stream at once.
const CHUNK: usize = 8 * 1024;
/// Bytes of a line that are kept for parsing.
const LINE: usize = 64;

/// A stream that escapes `"` in the first line of each request.
pub(super) struct Quotes<S> {
    stream: S,
    repair: Repair,
    /// Escaped bytes; those from `read` on were not yet passed on.
    ready: Vec<u8>,
    read: usize,
}

impl<S> Quotes<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, repair: Repair::default(), ready: Vec::new(), read: 0 }
    }

    /// The part of a request that the bytes read so far end in.
    pub(super) fn within(&self) -> Within {
        match self.repair.at {
            At::Body(_) | At::ChunkSize | At::Chunk(_) | At::Trailer => Within::Body,
            At::RequestLine if self.repair.line.is_empty() => Within::Nothing,
            // In `Rest` a head may have begun at any byte.
            At::RequestLine | At::Header | At::Rest => Within::Head,
        }
    }
}

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    Body,
    Head,
    /// Between requests.
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

/// Parses the requests of a connection as far as their framing is unambiguous; after that, passes
/// all bytes on unchanged.
#[derive(Default)]
struct Repair {
    at: At,
    /// The current line so far in lower case, cut at [`LINE`] bytes.
    line: Vec<u8>,
    cut: bool,
    /// The framing of the body that follows the head.
    body: Option<Length>,
}

#[derive(Clone, Copy)]
enum Length {
    Known(u64),
    Chunked,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    Body(u64),
    /// The line with the size of a chunk.
    ChunkSize,
    /// A chunk and the CR LF after it.
    Chunk(u64),
    /// The trailer fields after the last chunk.
    Trailer,
    Header,
    #[default]
    RequestLine,
    /// The framing is ambiguous: the next request could begin anywhere.
    Rest,
}

impl Repair {
    fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while !input.is_empty() {
            let end = match self.at {
                At::Rest => input.len(),
                At::Body(left) | At::Chunk(left) => {
                    usize::try_from(left).unwrap_or(usize::MAX).min(input.len())
                }
                At::RequestLine | At::Header | At::ChunkSize | At::Trailer => {
                    input.iter().position(|byte| *byte == b'\n').map_or(input.len(), |at| at + 1)
                }
            };
            let (part, rest) = input.split_at(end);
            self.follow(part, out);
            input = rest;
        }
    }

    /// Passes on a part that reaches to the end of its line, of its body or of the input.
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
            At::Chunk(left) => {
                let left = left.saturating_sub(part.len() as u64);
                self.at = if left > 0 { At::Chunk(left) } else { At::ChunkSize };
            }
            At::RequestLine | At::Header | At::ChunkSize | At::Trailer => {
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
        if matches!(self.at, At::ChunkSize | At::Trailer) {
            // In a chunked body, hyper accepts only CR LF as the end of a line.
            let line = line.strip_suffix('\r').filter(|_| !cut);
            self.at = line.and_then(|line| self.after_chunk_line(line)).unwrap_or(At::Rest);
            return;
        }
        let line = line.trim_end_matches('\r');
        if self.at == At::RequestLine {
            // Blank lines before a request do not start it.
            if !line.is_empty() {
                self.at = At::Header;
            }
        } else if line.is_empty() {
            self.at = match self.body.take() {
                Some(Length::Chunked) => At::ChunkSize,
                Some(Length::Known(length)) if length > 0 => At::Body(length),
                Some(Length::Known(_)) | None => At::RequestLine,
            };
        } else if line.starts_with("content-length") || line.starts_with("transfer-encoding") {
            let length = length(line).filter(|_| !cut && self.body.is_none());
            self.body = length;
            if length.is_none() {
                self.at = At::Rest;
            }
        }
    }

    /// The state after the line with a chunk's size, or after a trailer line; `None` if malformed.
    fn after_chunk_line(&self, line: &str) -> Option<At> {
        if self.at == At::Trailer {
            return Some(if line.is_empty() { At::RequestLine } else { At::Trailer });
        }
        let size = line.split([';', ' ', '\t']).next()?;
        // 2 for the CR LF after the chunk, which is skipped together with it.
        match u64::from_str_radix(size, 16).ok()? {
            0 => Some(At::Trailer),
            size => Some(At::Chunk(size.saturating_add(2))),
        }
    }
}

/// The body's framing that a header line (in lower case) declares; `None` if it is ambiguous.
fn length(line: &str) -> Option<Length> {
    match line.split_once(':')? {
        ("content-length", length) => length.trim().parse().ok().map(Length::Known),
        ("transfer-encoding", coding) if coding.trim() == "chunked" => Some(Length::Chunked),
        _ => None,
    }
}

/// The bytes that hyper would get from a connection that sends these chunks.
pub(crate) fn repaired(chunks: &[&[u8]]) -> Vec<u8> {
    let (mut repair, mut out) = (Repair::default(), Vec::new());
    for chunk in chunks {
        repair.feed(chunk, &mut out);
    }
    out
}

#[cfg(test)]
mod tests;
