//! Knows since when the other side takes no more bytes, whether it floods us with frames, and whether it says anything.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use super::frame_budget::FrameBudget;
use crate::clock;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Since when a [`Watched`] stream waits to write. Clones are of the same stream.
#[derive(Debug, Clone, Default)]
pub(in crate::proxy) struct Stall(Rc<Cell<Option<Instant>>>);

impl Stall {
    /// When the write that still waits was first tried; `None` when none waits.
    pub(in crate::proxy) fn since(&self) -> Option<Instant> {
        self.0.get()
    }

    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        match (&written, self.0.get()) {
            (Poll::Pending, None) => self.0.set(Some(Instant::now())),
            (Poll::Ready(_), Some(_)) => self.0.set(None),
            (Poll::Pending, Some(_)) | (Poll::Ready(_), None) => {}
        }
        written
    }
}

/// Whether the other side sent more frames that ask for nothing than it may. Clones are of the same stream.
#[derive(Debug, Clone, Default)]
pub(in crate::proxy) struct Flood(Rc<Cell<bool>>);

impl Flood {
    /// Once it did, nothing is read any more.
    pub(in crate::proxy) fn is_over(&self) -> bool {
        self.0.get()
    }
}

/// How many bytes came. Clones are of the same stream.
#[derive(Debug, Clone, Default)]
pub(in crate::proxy) struct Heard(Rc<Cell<u64>>);

impl Heard {
    /// So many since the connection began.
    pub(in crate::proxy) fn bytes(&self) -> u64 {
        self.0.get()
    }
}

/// A stream whose reads and writes are watched.
#[derive(Debug)]
pub(in crate::proxy) struct Watched<S> {
    stream: S,
    stall: Stall,
    flood: Flood,
    heard: Heard,
    budget: FrameBudget,
}

impl<S> Watched<S> {
    /// What `stream`, at whose other end is a client, does is noted in `stall` and `flood`.
    pub(super) fn new(stream: S, stall: Stall, flood: Flood) -> Self {
        Self { stream, stall, flood, heard: Heard::default(), budget: FrameBudget::new(clock::monotonic()) }
    }

    /// As [`Watched::new`], with an upstream at the other end.
    pub(in crate::proxy) fn towards_upstream(stream: S, stall: Stall, flood: Flood, heard: Heard) -> Self {
        Self { stream, stall, flood, heard, budget: FrameBudget::of_server(clock::monotonic()) }
    }

    fn note_written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.budget.sent(*bytes);
        }
        self.stall.note(written)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.flood.is_over() {
            // The connection looks at it, and closes.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let received = &buffer.filled()[before..];
        self.heard.0.set(self.heard.bytes() + received.len() as u64);
        if !self.budget.received(received, clock::monotonic) {
            self.flood.0.set(true);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note_written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.stall.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.stall.note(shut)
    }
}
