//! Serves HTTP/1.1 (RFC 9112) to one client: request after request on one connection.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    io,
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::{Buf, BytesMut};

use crate::{
    http1::{
        body::BodyDecoder,
        encode::{
            write_chunk, write_chunked_coding, write_content_length, write_field, write_last_chunk,
            write_status_line,
        },
        framing::{BodyLength, keeps_alive},
        parse::{HeadError, HeadLimits, Parsed, find_head_end, parse_request},
    },
    message::{Fields, RequestHead, Version},
    net::{
        drain::{LiveConnection, Phase},
        stream::Stream,
    },
};

use super::{
    alarm::Alarm,
    buffered::Buffered,
    client::{BodyStep, Client, ClientFault, Coding, HeadFault, Peer, ResponseLength},
    gateway::Gateway,
};

/// What a client that must close is still allowed to send before the connection is torn down.
const LINGERING_BYTES_MAX: usize = 256 * 1024;
/// From here on a piece of a body is written past the buffer: less is better sent together with what surrounds it.
const PASSED_BYTES_MIN: usize = 16 * 1024;
/// How long a drained connection is kept for a request that is on its way already.
const DRAIN_GRACE: std::time::Duration = std::time::Duration::from_millis(500);
/// How long a client may linger.
const LINGERING: std::time::Duration = std::time::Duration::from_secs(2);

/// Serves `stream`, of which `ahead` was read before, until the client or we close, or the drain ends it.
pub(super) async fn serve(
    gateway: Rc<Gateway>,
    stream: Stream,
    ahead: BytesMut,
    peer: Rc<Peer>,
    live: LiveConnection,
) {
    let mut client = Http1Client::new(stream, ahead, peer);
    let mut alarm = Alarm::new();
    let forced = loop {
        let next = poll_fn(|cx| {
            if live.poll_reached(Phase::Draining, cx).is_ready() {
                client.drain();
            }
            client.poll_next(cx, &mut alarm)
        })
        .await;
        if let Next::End = next {
            break false;
        }
        client.closes = live.phase() >= Phase::Leaving;
        let served = {
            let mut handle = std::pin::pin!(gateway.handle(&mut client, &mut alarm));
            poll_fn(|cx| match live.poll_reached(Phase::Forced, cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => handle.as_mut().poll(cx).map(Some),
            })
            .await
        };
        match served {
            None => break true,
            Some(false) => break false,
            Some(true) if !client.persists() => break false,
            Some(true) => client.next(),
        }
    };
    if !forced {
        client.linger(&mut alarm).await;
    }
}

/// What a connection brings next.
enum Next {
    /// A head, whole or wrong.
    Head,
    /// Nothing more.
    End,
}

/// What the connection itself must know of the head that was judged.
#[derive(Debug, Clone, Copy)]
struct Seen {
    length: usize,
    version: Version,
    persists: bool,
}

/// Where the connection's current answer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answering {
    Plain,
    Chunked,
}

/// One client that speaks HTTP/1.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the connection")]
struct Http1Client {
    io: Buffered,
    peer: Rc<Peer>,
    started: Instant,
    /// Bytes of the input that hold no end of a head.
    scanned: usize,
    late: bool,
    seen: Cell<Seen>,
    version: Version,
    wants_close: bool,
    /// The client has said that it sends nothing after what it has sent.
    sent_all: bool,
    /// The gateway is about to end: this answer says that it is the last one here.
    closes: bool,
    /// When a connection that carries no request is closed.
    idle_until: tokio::time::Instant,
    is_draining: bool,
    body: BodyDecoder,
    answering: Answering,
    aborted: bool,
    tunnel: bool,
}

impl Http1Client {
    fn new(stream: Stream, ahead: BytesMut, peer: Rc<Peer>) -> Self {
        let keep_alive = peer.listener.timeouts.keep_alive;
        Self {
            io: Buffered::new(stream, ahead),
            peer,
            started: crate::clock::monotonic(),
            scanned: 0,
            late: false,
            seen: Cell::new(Seen { length: 0, version: Version::Http11, persists: false }),
            version: Version::Http11,
            wants_close: false,
            sent_all: false,
            closes: false,
            idle_until: tokio::time::Instant::now() + keep_alive,
            is_draining: false,
            body: BodyDecoder::new(BodyLength::Empty),
            answering: Answering::Plain,
            aborted: false,
            tunnel: false,
        }
    }

    /// Whether the connection may carry another request.
    fn persists(&self) -> bool {
        !self.wants_close && !self.aborted && self.body.finished()
    }

    fn limits(&self) -> &HeadLimits {
        &self.peer.listener.limits.head
    }

    /// Ready for the next request.
    fn next(&mut self) {
        self.scanned = 0;
        let now = tokio::time::Instant::now();
        self.idle_until = now + self.peer.listener.timeouts.keep_alive;
        self.started = now.into_std();
    }

    /// From here on the connection is kept only for a request that is on its way already.
    fn drain(&mut self) {
        if !self.is_draining {
            self.is_draining = true;
            self.idle_until = self.idle_until.min(tokio::time::Instant::now() + DRAIN_GRACE);
        }
    }

    /// Reads until a head is whole, wrong or late.
    fn poll_next(&mut self, cx: &mut Context<'_>, alarm: &mut Alarm) -> Poll<Next> {
        loop {
            if !self.io.input.is_empty() && self.has_head() {
                return Poll::Ready(Next::Head);
            }
            let timeouts = &self.peer.listener.timeouts;
            let was_idle = self.io.input.is_empty();
            match self.io.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.sent_all = true;
                    return Poll::Ready(Next::End);
                }
                Poll::Ready(Ok(_)) if was_idle => self.started = crate::clock::monotonic(),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    let head_until = tokio::time::Instant::from_std(self.started) + timeouts.head;
                    alarm.set(if was_idle { self.idle_until } else { head_until });
                    if alarm.poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.late = !was_idle;
                    return Poll::Ready(if was_idle { Next::End } else { Next::Head });
                }
            }
        }
    }

    /// Whether the input holds a whole head, or one that is wrong already.
    fn has_head(&mut self) -> bool {
        let first_look = self.scanned == 0;
        let ended = find_head_end(&self.io.input, self.scanned).is_some();
        let too_long = self.io.input.len() > self.limits().head_bytes;
        self.scanned = self.io.input.len().saturating_sub(3);
        ended || too_long || (first_look && self.parse().is_err())
    }

    fn parse(&self) -> Result<Parsed<RequestHead<'_>>, HeadError> {
        parse_request(&self.io.input, self.limits())
    }

    /// Lets the client read the last answer before the connection goes: what it still sends is read and dropped for a
    /// while, for closing with unread input would reset it (RFC 9112 §9.6).
    async fn linger(&mut self, alarm: &mut Alarm) {
        let is_read = self.sent_all && self.body.finished() && self.io.input.is_empty();
        // Over TLS it may have more to say than requests.
        if self.aborted || (is_read && !self.io.stream.is_tls()) {
            return;
        }
        alarm.set(tokio::time::Instant::now() + LINGERING);
        poll_fn(|cx| match self.io.poll_shutdown(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => alarm.poll(cx),
        })
        .await;
        let mut discarded = 0;
        poll_fn(|cx| {
            loop {
                discarded += self.io.input.len();
                self.io.input.clear();
                match self.io.poll_fill(cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(_)) if discarded < LINGERING_BYTES_MAX => {}
                    Poll::Ready(Ok(_)) => return Poll::Ready(()),
                    Poll::Pending => return alarm.poll(cx),
                }
            }
        })
        .await;
    }

    fn out(&mut self) -> &mut Vec<u8> {
        self.io.output()
    }
}

impl Client for Http1Client {
    fn head(&self) -> Result<RequestHead<'_>, HeadFault> {
        self.seen.set(Seen { length: self.io.input.len(), version: Version::Http11, persists: false });
        match self.parse()? {
            Parsed::Complete { head, length } => {
                let persists = keeps_alive(head.version, &head.fields);
                self.seen.set(Seen { length, version: head.version, persists });
                Ok(head)
            }
            Parsed::Partial if self.late => Err(HeadFault::Late),
            Parsed::Partial => Err(HeadError::HeadTooLarge.into()),
        }
    }

    fn started(&self) -> Instant {
        self.started
    }

    fn peer(&self) -> &Rc<Peer> {
        &self.peer
    }

    fn accept_head(&mut self, body: BodyLength) {
        let Seen { length, version, persists } = self.seen.get();
        self.io.input.advance(length);
        self.version = version;
        self.wants_close = !persists;
        self.sent_all = !persists;
        self.body = BodyDecoder::new(body);
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        coding: Coding,
    ) -> Poll<Result<BodyStep, ClientFault>> {
        loop {
            if self.body.finished() {
                return Poll::Ready(Ok(BodyStep::End));
            }
            if !self.io.input.is_empty() {
                let decoded = self.body.decode(&self.io.input)?;
                let data = &self.io.input[decoded.data.clone()];
                match coding {
                    Coding::Plain => into.extend_from_slice(data),
                    Coding::Chunked => write_chunk(into, data),
                }
                self.io.input.advance(decoded.consumed);
                if !decoded.data.is_empty() {
                    return Poll::Ready(Ok(BodyStep::Data(decoded.data.len())));
                }
                if decoded.ended {
                    return Poll::Ready(Ok(BodyStep::End));
                }
            }
            match self.io.poll_fill(cx) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(
                        self.body.at_eof().map(|()| BodyStep::End).map_err(|_| ClientFault::Gone),
                    );
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn trailers(&self) -> Fields<'_> {
        self.body.trailers()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What a client sends ahead of its next request stays in the buffer, up to the size of a head.
        while self.io.input.len() < self.limits().head_bytes {
            match self.io.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    fn takes_interim(&self) -> bool {
        self.version == Version::Http11
    }

    fn begin(&mut self, status: u16, reason: &[u8]) {
        // A reason that cannot be written is left out: it means nothing (RFC 9112 §4).
        if write_status_line(self.out(), status, reason).is_err() {
            let _ = write_status_line(self.out(), status, b"");
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        // What could end the line early is not written at all.
        let _ = write_field(self.out(), name, value);
    }

    fn finish_interim(&mut self) {
        self.out().extend_from_slice(b"\r\n");
    }

    fn finish_head(&mut self, length: ResponseLength, close: bool) {
        self.answering = Answering::Plain;
        match length {
            ResponseLength::Nothing => {}
            ResponseLength::Announced(length) | ResponseLength::Known(length) => {
                write_content_length(self.out(), length);
            }
            ResponseLength::Streamed if self.version == Version::Http11 => {
                self.answering = Answering::Chunked;
                write_chunked_coding(self.out());
            }
            // HTTP/1.0 knows no chunks: the end of the connection is the end of the answer.
            ResponseLength::Streamed => self.wants_close = true,
        }
        self.wants_close |= close || self.closes;
        if self.wants_close {
            self.out().extend_from_slice(b"Connection: close\r\n");
        } else if self.version == Version::Http10 {
            self.out().extend_from_slice(b"Connection: keep-alive\r\n");
        }
        self.out().extend_from_slice(b"\r\n");
    }

    fn data(&mut self, bytes: &[u8]) {
        match self.answering {
            Answering::Plain => self.out().extend_from_slice(bytes),
            Answering::Chunked => write_chunk(self.out(), bytes),
        }
    }

    fn pass(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        if self.answering != Answering::Plain || self.io.unsent() > 0 || bytes.len() < PASSED_BYTES_MIN {
            self.data(bytes);
            return Ok(bytes.len());
        }
        match self.io.poll_pass(cx, bytes) {
            Poll::Ready(passed) => passed,
            Poll::Pending => Ok(0),
        }
    }

    fn end(&mut self, trailers: &Fields<'_>) {
        if self.answering == Answering::Chunked {
            self.answering = Answering::Plain;
            if write_last_chunk(self.out(), trailers).is_err() {
                let _ = write_last_chunk(self.out(), &Fields::default());
            }
        }
    }

    fn become_tunnel(&mut self) {
        self.tunnel = true;
        self.wants_close = true;
        self.answering = Answering::Plain;
        self.body = BodyDecoder::new(BodyLength::UntilClose);
    }

    fn unsent(&self) -> usize {
        self.io.unsent()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(cx)
    }

    fn abort(&mut self) {
        self.aborted = true;
        if self.version == Version::Http10 {
            // Nothing but the end of the connection ends such an answer; a clean end would make it look whole.
            self.io.stream.reset_on_drop();
        }
    }

    fn cut(&mut self) {
        self.aborted = true;
        // What the system still holds for the client goes too.
        self.io.stream.reset_on_drop();
    }

    fn leaves_body(&mut self) -> bool {
        while !self.body.finished() && !self.io.input.is_empty() {
            match self.body.decode(&self.io.input) {
                Ok(decoded) => self.io.input.advance(decoded.consumed),
                Err(_) => return true,
            }
        }
        !self.body.finished()
    }
}
