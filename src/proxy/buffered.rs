//! A connection with what was read ahead of it and what is still to be written.

use std::{
    cell::Cell,
    future::Future,
    io, mem,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::net::stream::Stream;

/// How much is read at once at first.
const READ_BYTES: usize = 8 * 1024;
/// How much is read at once when the last read filled its buffer.
const READ_BYTES_MAX: usize = 128 * 1024;
/// A side whose output holds this much is given no more until some is written.
pub(super) const OUTPUT_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// One buffer of the usual size for whoever reads next: most reads bring little, which has gone on before another
    /// connection is looked at, so that all of a worker's connections read into memory that is in the cache.
    static SPARE: Cell<BytesMut> = Cell::default();
}

/// A stream between two buffers. Both are bounded by their users: input is not read while it holds enough, and output
/// is not filled beyond [`OUTPUT_BYTES_MAX`] and one read.
#[derive(Debug)]
pub(super) struct Buffered {
    pub(super) stream: Stream,
    pub(super) input: BytesMut,
    output: Vec<u8>,
    written: usize,
    read_bytes: usize,
}

impl Buffered {
    /// `ahead` was read from `stream` before.
    pub(super) fn new(stream: Stream, ahead: BytesMut) -> Self {
        Self { stream, input: ahead, output: Vec::new(), written: 0, read_bytes: READ_BYTES }
    }

    /// Reads once; 0 bytes is the end of the stream. While it waits with nothing buffered, it holds no memory.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.is_empty() && !self.input.try_reclaim(self.read_bytes) {
            self.input = if self.reads_little() { SPARE.take() } else { BytesMut::new() };
        }
        self.input.reserve(self.read_bytes);
        let room = self.input.capacity() - self.input.len();
        let polled = pin!(self.stream.read_buf(&mut self.input)).poll(cx);
        if polled.is_pending() {
            self.let_go();
        } else if matches!(&polled, Poll::Ready(Ok(read)) if *read == room) {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        }
        polled
    }

    /// Holds no memory to read into any more, where nothing is in it.
    pub(super) fn let_go(&mut self) {
        if !self.input.is_empty() {
            return;
        }
        let mut input = mem::take(&mut self.input);
        if self.reads_little() && input.try_reclaim(READ_BYTES) && input.capacity() <= 2 * READ_BYTES {
            SPARE.set(input);
        }
    }

    fn reads_little(&self) -> bool {
        self.read_bytes == READ_BYTES
    }

    /// Where to add what is to be written.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Bytes that are still to be written.
    pub(super) fn unsent(&self) -> usize {
        self.output.len() - self.written
    }

    /// Writes some of `bytes` past the output, which must be empty, so that a large body is not copied on its way.
    pub(super) fn poll_pass(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        debug_assert_eq!(self.unsent(), 0, "bytes would overtake those that wait");
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    /// Writes what there is; ready when nothing is left.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            let bytes = &self.output[self.written..];
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        if self.written > 0 {
            self.written = 0;
            self.output.clear();
            if self.output.capacity() > OUTPUT_BYTES_MAX * 2 {
                self.output = Vec::new();
            }
            if self.stream.is_tls() {
                return Pin::new(&mut self.stream).poll_flush(cx);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends our direction of the stream.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
