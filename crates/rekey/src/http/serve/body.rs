//! A request body that records on its connection's `Place` whether the connection waits for its
//! client.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::places::Place;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A body that is still arriving.
pub(super) struct Arriving {
    body: Incoming,
    place: Arc<Place>,
    /// Whether the whole body was read.
    is_read: Arc<AtomicBool>,
}

impl Arriving {
    pub(super) fn new(body: Incoming, place: Arc<Place>) -> Self {
        let is_read = Arc::new(AtomicBool::new(body.is_end_stream()));
        Self { body, place, is_read }
    }

    /// Whether the whole body was read; remains valid after the body was dropped.
    pub(super) fn is_read(&self) -> Arc<AtomicBool> {
        self.is_read.clone()
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_pending() {
            self.place.wait();
        } else if let Err(ended) = self.place.work() {
            return Poll::Ready(Some(Err(ended.into())));
        }
        if self.body.is_end_stream() || matches!(frame, Poll::Ready(None)) {
            self.is_read.store(true, Ordering::Relaxed);
        }
        frame.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
