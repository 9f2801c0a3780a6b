//! Knows since when the other side takes no more bytes.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Since when a [`Watched`] stream waits to write. Clones are of the same stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Stall(Rc<Cell<Option<Instant>>>);

impl Stall {
    /// When the write that still waits was first tried; `None` when none waits.
    pub(super) fn since(&self) -> Option<Instant> {
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

/// A stream whose writes are watched.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    stall: Stall,
}

impl<S> Watched<S> {
    /// What `stream` does is noted in `stall`.
    pub(super) fn new(stream: S, stall: Stall) -> Self {
        Self { stream, stall }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.stall.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.stall.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.stall.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
