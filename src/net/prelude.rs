//! What a client speaks on a cleartext port, told by its first bytes.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The client connection preface of HTTP/2 (RFC 9113 §3.4).
pub const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prelude {
    /// Nothing of the others: to be parsed, and maybe refused, as HTTP/1.
    Http1,
    /// HTTP/2 with prior knowledge (RFC 9113 §3.3): the whole preface has arrived.
    Http2,
    /// A TLS `ClientHello`: someone used `https://` on a cleartext port.
    Tls,
    /// The client left without a byte, as health checks and spare browser connections do.
    Closed,
}

/// Reads until the first bytes tell what the client speaks; everything read is appended to `buffer`, which must be
/// empty, and belongs to the protocol that follows.
///
/// HTTP/1 is told by the first byte that differs from the preface, so nothing waits for 24 bytes that will not come.
/// The timeout is the caller's; cancelling loses no byte, as they are in `buffer`.
///
/// # Errors
/// Those of reading.
pub async fn read_prelude<S>(stream: &mut S, buffer: &mut BytesMut) -> io::Result<Prelude>
where
    S: AsyncRead + Unpin,
{
    loop {
        if let Some(prelude) = recognise(buffer) {
            return Ok(prelude);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(if buffer.is_empty() { Prelude::Closed } else { Prelude::Http1 });
        }
    }
}

/// What the bytes announce, or `None` while they could still become more than one thing. Never [`Prelude::Closed`].
pub fn recognise(bytes: &[u8]) -> Option<Prelude> {
    // RFC 8446 §5.1: content type handshake (22), then the major version 3.
    const TLS_HANDSHAKE: &[u8; 2] = &[22, 3];
    if starts(bytes, HTTP2_PREFACE) {
        return (bytes.len() >= HTTP2_PREFACE.len()).then_some(Prelude::Http2);
    }
    if starts(bytes, TLS_HANDSHAKE) {
        return (bytes.len() >= TLS_HANDSHAKE.len()).then_some(Prelude::Tls);
    }
    Some(Prelude::Http1)
}

/// Whether one is the beginning of the other.
fn starts(bytes: &[u8], whole: &[u8]) -> bool {
    let common = bytes.len().min(whole.len());
    bytes[..common] == whole[..common]
}

/// A stream whose first bytes were read ahead and are read again from here.
#[derive(Debug)]
pub struct Replayed<S> {
    ahead: Bytes,
    stream: S,
}

impl<S> Replayed<S> {
    /// `ahead` is what was read from `stream` so far.
    pub fn new(ahead: Bytes, stream: S) -> Self {
        Self { ahead, stream }
    }

    /// The stream itself.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replayed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..length]);
        self.ahead.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replayed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    #[test]
    fn the_first_bytes_tell_the_protocol_as_soon_as_they_can() {
        for (bytes, expected) in [
            (&b""[..], None),
            (b"G", Some(Prelude::Http1)),
            (b"P", None),
            (b"PO", Some(Prelude::Http1)),
            (b"PR", None),
            (b"PROPFIND / HTTP/1.1", Some(Prelude::Http1)),
            (b"PRI * HTTP/1.1", Some(Prelude::Http1)),
            (&HTTP2_PREFACE[..23], None),
            (HTTP2_PREFACE, Some(Prelude::Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", Some(Prelude::Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", Some(Prelude::Http1)),
            (&[22], None),
            (&[22, 3, 1], Some(Prelude::Tls)),
            (&[22, 4], Some(Prelude::Http1)),
            (b"\r\nGET", Some(Prelude::Http1)),
        ] {
            assert_eq!(recognise(bytes), expected, "{bytes:?}");
        }
    }

    async fn told(pieces: &[&[u8]]) -> (Prelude, Vec<u8>) {
        let (mut client, mut server) = tokio::io::duplex(1024);
        let send = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let mut buffer = BytesMut::new();
        let (prelude, ()) = tokio::join!(read_prelude(&mut server, &mut buffer), send);
        let mut all = Vec::new();
        Replayed::new(buffer.freeze(), server).read_to_end(&mut all).await.unwrap();
        (prelude.unwrap(), all)
    }

    #[tokio::test]
    async fn a_client_that_leaves_early_is_told_apart_from_one_that_spoke() {
        assert_eq!(told(&[]).await, (Prelude::Closed, vec![]));
        assert_eq!(told(&[b"PRI * "]).await, (Prelude::Http1, b"PRI * ".to_vec()));
    }

    proptest! {
        #[test]
        fn every_byte_read_ahead_is_read_again(
            http2 in any::<bool>(),
            rest in prop::collection::vec(any::<u8>(), 1..200),
            cuts in prop::collection::vec(1..40usize, 0..8),
        ) {
            let whole = if http2 { [HTTP2_PREFACE, rest.as_slice()].concat() } else { rest };
            let mut pieces = Vec::new();
            let mut left = whole.as_slice();
            for cut in cuts {
                let (piece, more) = left.split_at(cut.min(left.len()));
                pieces.push(piece);
                left = more;
            }
            pieces.push(left);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (prelude, all) = runtime.block_on(told(&pieces));
            prop_assert_eq!(all, whole);
            if http2 {
                prop_assert_eq!(prelude, Prelude::Http2);
            }
        }
    }
}
