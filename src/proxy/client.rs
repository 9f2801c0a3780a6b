//! What the gateway needs of a client's request and of the way back to it, whatever protocol it speaks.

use std::{
    io,
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use crate::{
    config::model::ListenerConfig,
    http1::{body::BodyError, framing::BodyLength, parse::HeadError},
    message::{Fields, RequestHead},
};

/// Who is at the other end of a connection, and how it came in.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its address; loopback for a Unix socket.
    pub(super) address: IpAddr,
    /// Whether the connection is encrypted.
    pub(super) is_tls: bool,
    /// The listener it came in by.
    pub(super) listener: Arc<ListenerConfig>,
}

impl Peer {
    /// Whether what it says in `X-Forwarded-*` is believed.
    pub(super) fn is_trusted(&self) -> bool {
        self.listener.trusted_proxies.iter().any(|net| net.contains(&self.address))
    }

    /// The scheme of the URL that the client used.
    pub(super) fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }
}

/// How a body is written to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Byte for byte: its length was announced, or the end of the connection ends it.
    Plain,
    /// In chunks.
    Chunked,
}

/// What a look at a request body brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyStep {
    /// So many bytes of payload were added.
    Data(usize),
    /// That was all; trailers are known now.
    End,
}

/// What is wrong with a client in the middle of its request.
#[derive(Debug)]
pub(super) enum ClientFault {
    /// It closed, or the connection broke.
    Gone,
    /// Its body is malformed.
    Body,
}

impl From<BodyError> for ClientFault {
    fn from(_: BodyError) -> Self {
        Self::Body
    }
}

impl From<io::Error> for ClientFault {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Why there is no head to judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadFault {
    /// It is malformed, or too large.
    Malformed(HeadError),
    /// It did not come in time.
    Late,
    /// It is no request in HTTP/2 (RFC 9113 §8.2 and §8.3), for this reason.
    Http2(&'static str),
}

impl From<HeadError> for HeadFault {
    fn from(error: HeadError) -> Self {
        Self::Malformed(error)
    }
}

/// How much body a response has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseLength {
    /// None, and no field says a length: 1xx, 204, 304 and HEAD without one.
    Nothing,
    /// None, but a length is announced: HEAD and 304 (RFC 9110 §8.6).
    Announced(u64),
    /// So many bytes.
    Known(u64),
    /// Unknown until it ends.
    Streamed,
}

/// One request of a client, and the way its answer goes back.
///
/// The order of calls: [`head`](Client::head), [`accept_head`](Client::accept_head), then body steps as wanted, any
/// number of interim answers, one `begin`, its `field`s, `finish_head`, `data`, `end`.
pub(super) trait Client {
    /// The head of the request.
    fn head(&self) -> Result<RequestHead<'_>, HeadFault>;
    /// When its first byte came.
    fn started(&self) -> Instant;
    /// Who sent it.
    fn peer(&self) -> &Rc<Peer>;
    /// Lets go of the head; what follows is a body of this length.
    fn accept_head(&mut self, body: BodyLength);
    /// Adds the next piece of the body to `into`.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        coding: Coding,
    ) -> Poll<Result<BodyStep, ClientFault>>;
    /// The trailers of the request, once its body ended.
    fn trailers(&self) -> Fields<'_>;
    /// Ready when the client is gone while it waits for its answer.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Whether the client can take interim (1xx) answers.
    fn takes_interim(&self) -> bool;
    /// Begins an answer, interim or final.
    fn begin(&mut self, status: u16, reason: &[u8]);
    /// A field of the answer.
    fn field(&mut self, name: &[u8], value: &[u8]);
    /// Ends the head of an interim answer.
    fn finish_interim(&mut self);
    /// Ends the head of the final answer. `close`: no further request is served on this connection.
    fn finish_head(&mut self, length: ResponseLength, close: bool);
    /// A piece of the answer's body.
    fn data(&mut self, bytes: &[u8]);
    /// As [`data`](Client::data), without a copy where the protocol permits: how many of `bytes` are on their way, 0
    /// if the client takes none now and will wake the task.
    fn pass(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        self.data(bytes);
        Ok(bytes.len())
    }
    /// The end of the answer.
    fn end(&mut self, trailers: &Fields<'_>);
    /// From here on both directions are bytes of another protocol: after a 101.
    fn become_tunnel(&mut self);
    /// Bytes of the answer that wait to be sent.
    fn unsent(&self) -> usize;
    /// Sends what waits.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// The answer cannot be completed: the client must see that it is cut short.
    fn abort(&mut self);
    /// The answer is ended since the key is good for it no longer: nothing that waits is sent, and the client sees that it
    /// is cut short.
    fn cut(&mut self);
    /// Whether more of the request is to come that nobody will read; what has come already is dropped.
    fn leaves_body(&mut self) -> bool;
}
