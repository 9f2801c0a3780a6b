//! One request and its answer on their way between a client and an upstream that speaks HTTP/1.1: both directions at once,
//! with bounded buffers, so that the slower side holds back the faster one.

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use tokio::time::Instant;

use crate::{
    http1::{
        body::BodyDecoder,
        encode::write_last_chunk,
        framing::{BodyLength, connection_tokens, declared_length, keeps_alive, response_body_length},
        parse::{HeadLimits, Parsed, parse_response},
    },
    message::{Field, Fields, ResponseHead, Version},
};

use super::{
    buffered::{Buffered, OUTPUT_BYTES_MAX},
    client::{BodyStep, Client, ClientFault, Coding, ResponseLength},
    course::Course,
    failure::{Cut, Failure},
    headers::{is_response_stripped, trailer_goes_on},
    upstream::{AfterUse, InUse},
    upstream_head::{announces_impossible_body, keep_alive_timeout},
    websocket::{FrameFollower, close_frame},
};

/// How long the frame may take to its end in which a WebSocket is cut, and the close frame behind it.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// What an upstream's head may measure.
const RESPONSE_LIMITS: HeadLimits = HeadLimits { head_bytes: 64 * 1024, target_bytes: 0, fields: 200 };

/// How an exchange ended well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finished {
    /// What becomes of the upstream's connection.
    pub(super) upstream: AfterUse,
    /// The client's connection must close.
    pub(super) close_client: bool,
}

/// Where the request stands.
#[derive(Debug, PartialEq, Eq)]
enum Sending {
    /// Its body is on the way.
    Body,
    /// Nothing more is sent until the upstream agreed to switch protocols.
    Held,
    /// It was sent whole.
    Whole,
    /// The upstream takes no more of it.
    Stopped,
}

/// Where the answer stands.
#[derive(Debug)]
enum Receiving {
    Head,
    Body(BodyDecoder),
    Whole,
}

/// What was decoded of the answer's body and is not on its way yet; it stands at the front of the input.
#[derive(Debug, Clone, Copy, Default)]
struct Passing {
    payload: usize,
    /// Bytes of framing behind it.
    behind: usize,
    /// Whether that was all.
    ended: bool,
}

/// A WebSocket that is being cut.
#[derive(Debug, Clone, Copy)]
struct Closing {
    cut: Cut,
    until: Instant,
}

/// One exchange.
pub(super) struct Exchange<'e, C> {
    pub(super) course: Course<'e, C>,
    upstream: &'e mut InUse,
    sending: Sending,
    receiving: Receiving,
    coding: Coding,
    passing: Passing,
    is_tunnel: bool,
    /// The frames of a tunnel that went to the client.
    frames: FrameFollower,
    closing: Option<Closing>,
    upstream_persists: bool,
    /// The answer had no body by its kind: an upstream that sends one all the same must not be heard by the next client.
    is_suspect: bool,
}

impl<'e, C: Client> Exchange<'e, C> {
    /// The request of `course`, which goes to `upstream`.
    pub(super) fn new(course: Course<'e, C>, upstream: &'e mut InUse) -> Self {
        let outgoing = course.outgoing;
        upstream.output().extend_from_slice(&outgoing.head);
        let (sending, coding) = match outgoing.body {
            _ if outgoing.upgrade => (Sending::Held, Coding::Plain),
            BodyLength::Empty | BodyLength::Known(0) => (Sending::Whole, Coding::Plain),
            BodyLength::Known(_) | BodyLength::UntilClose => (Sending::Body, Coding::Plain),
            BodyLength::Chunked => (Sending::Body, Coding::Chunked),
        };
        Self {
            course,
            upstream,
            sending,
            receiving: Receiving::Head,
            coding,
            passing: Passing::default(),
            is_tunnel: false,
            frames: FrameFollower::default(),
            closing: None,
            upstream_persists: true,
            is_suspect: false,
        }
    }

    /// Moves both directions on as far as they go. Ready when the answer was received whole; what of it the client has
    /// not taken yet waits in the client, so that the upstream's connection is free for others.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Finished, Failure>> {
        if let Poll::Ready(reason) = self.course.outgoing.poll_cut(cx) {
            let cut = Cut::untold(reason);
            if !self.is_tunnel {
                return Poll::Ready(Err(Failure::Cut(cut)));
            }
            self.closing = Some(Closing { cut, until: Instant::now() + CLOSE_WITHIN });
        }
        if let Some(closing) = self.closing {
            return self.poll_close(closing, cx).map(|cut| Err(Failure::Cut(cut)));
        }
        loop {
            let moved = self.send(cx)? | self.receive(cx)?;
            if self.is_received() {
                return Poll::Ready(Ok(self.finish()));
            }
            if !moved {
                break;
            }
            self.course.progress();
        }
        if self.sending != Sending::Body && self.course.client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Failure::ClientGone));
        }
        let awaits_client = self.awaits_client();
        self.course.watch_clock(cx, awaits_client).map(Err)
    }

    /// Cuts a tunnel: the frame that has begun goes to its end, then the client is told, and nothing else goes either way.
    fn poll_close(&mut self, mut closing: Closing, cx: &mut Context<'_>) -> Poll<Cut> {
        loop {
            if !closing.cut.is_told && self.frames.is_at_boundary() {
                closing.cut.is_told = true;
                self.closing = Some(closing);
                if !self.frames.has_closed() {
                    self.course.client.data(&close_frame(closing.cut.reason));
                }
            }
            match self.course.client.poll_flush(cx) {
                Poll::Ready(Ok(())) if closing.cut.is_told => return Poll::Ready(closing.cut),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Cut::untold(closing.cut.reason)),
                Poll::Pending => break,
            }
            let upstream: &mut Buffered = self.upstream;
            let rest = self.frames.rest_of_frame(&upstream.input);
            self.frames.follow(&upstream.input[..rest]);
            self.course.client.data(&upstream.input[..rest]);
            self.course.outcome.sent(rest);
            upstream.input.advance(rest);
            if rest == 0 {
                match upstream.poll_fill(cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(closing.cut),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => break,
                }
            }
        }
        self.course.alarm.set(closing.until);
        self.course.alarm.poll(cx).map(|()| Cut::untold(closing.cut.reason))
    }

    fn is_received(&self) -> bool {
        let flushed = self.upstream.unsent() == 0 || !self.is_tunnel;
        matches!(self.receiving, Receiving::Whole) && flushed
    }

    fn finish(&self) -> Finished {
        let sent_whole = self.sending == Sending::Whole && self.upstream.unsent() == 0;
        let reusable = sent_whole && self.upstream_persists && self.upstream.input.is_empty();
        Finished {
            upstream: match (reusable, self.is_suspect) {
                (false, _) => AfterUse::Close,
                (true, true) => AfterUse::Rest,
                (true, false) => AfterUse::Keep,
            },
            close_client: self.course.close_client || self.sending != Sending::Whole,
        }
    }

    /// Client to upstream. Whether anything moved.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<bool, Failure> {
        let mut moved = false;
        while self.sending == Sending::Body && self.upstream.unsent() < OUTPUT_BYTES_MAX {
            match self.course.client.poll_body(cx, self.upstream.output(), self.coding) {
                Poll::Ready(Ok(BodyStep::Data(bytes))) => self.course.count_body(bytes)?,
                Poll::Ready(Ok(BodyStep::End)) => self.end_body()?,
                Poll::Ready(Err(ClientFault::Gone)) if self.is_tunnel => self.receiving = Receiving::Whole,
                Poll::Ready(Err(ClientFault::Gone)) => return Err(Failure::ClientGone),
                Poll::Ready(Err(ClientFault::Body)) => return Err(Failure::ClientBody),
                Poll::Pending => break,
            }
            moved = true;
            if matches!(self.receiving, Receiving::Whole) {
                break;
            }
        }
        if self.upstream.unsent() > 0 {
            match self.upstream.poll_flush(cx) {
                Poll::Ready(Ok(())) => moved = true,
                // It may have answered before it closed: what it said is read first.
                Poll::Ready(Err(_)) => {
                    self.sending = Sending::Stopped;
                    self.upstream.output().clear();
                }
                Poll::Pending => {}
            }
        }
        Ok(moved)
    }

    fn end_body(&mut self) -> Result<(), Failure> {
        if self.is_tunnel {
            self.receiving = Receiving::Whole;
            return Ok(());
        }
        if self.coding == Coding::Chunked {
            let config = &self.course.outgoing.site.config;
            let goes_on = |field: &Field<'_>| {
                self.course.outgoing.forwards_trailers
                    && trailer_goes_on(field, config, self.course.outgoing.upstream())
            };
            let trailers = self.course.client.trailers();
            let trailers: Fields<'_> = trailers.iter().copied().filter(goes_on).collect();
            write_last_chunk(self.upstream.output(), &trailers).map_err(|_| Failure::ClientBody)?;
        }
        self.sending = Sending::Whole;
        Ok(())
    }

    /// Upstream to client. Whether anything moved.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, Failure> {
        let mut moved = false;
        loop {
            let stepped = match &self.receiving {
                Receiving::Head => self.read_head()?,
                Receiving::Body(_) => self.read_body(cx)?,
                Receiving::Whole => false,
            };
            moved |= stepped;
            if stepped {
                continue;
            }
            if self.course.client.unsent() > 0 {
                match self.course.client.poll_flush(cx) {
                    Poll::Ready(Ok(())) => moved = true,
                    Poll::Ready(Err(_)) => return Err(Failure::ClientGone),
                    Poll::Pending => return Ok(moved),
                }
            }
            if matches!(self.receiving, Receiving::Whole) || self.passing.payload > 0 {
                return Ok(moved);
            }
            match self.upstream.poll_fill(cx) {
                Poll::Ready(Ok(0)) => self.upstream_ended()?,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => self.upstream_broke(&error)?,
                Poll::Pending => return Ok(moved),
            }
            moved = true;
        }
    }

    fn upstream_ended(&mut self) -> Result<(), Failure> {
        self.upstream_persists = false;
        match &mut self.receiving {
            Receiving::Head => {
                let silent = self.upstream.input.is_empty() && self.course.is_untouched();
                Err(if silent { Failure::Unanswered } else { Failure::UpstreamClosed })
            }
            Receiving::Body(decoder) => {
                decoder.at_eof().map_err(|_| Failure::UpstreamClosed)?;
                self.end_answer();
                Ok(())
            }
            Receiving::Whole => Ok(()),
        }
    }

    fn upstream_broke(&mut self, _: &io::Error) -> Result<(), Failure> {
        match self.receiving {
            Receiving::Head => self.upstream_ended(),
            Receiving::Body(_) if self.is_tunnel => self.upstream_ended(),
            // Even an answer that only the end of the connection ends must not end by an error.
            Receiving::Body(_) | Receiving::Whole => Err(Failure::UpstreamClosed),
        }
    }

    /// Reads a head from what was received. Whether there was one.
    fn read_head(&mut self) -> Result<bool, Failure> {
        let upstream: &mut Buffered = self.upstream;
        if upstream.input.is_empty() {
            return Ok(false);
        }
        let mut input = std::mem::take(&mut upstream.input);
        let taken = match parse_response(&input, &RESPONSE_LIMITS) {
            Ok(Parsed::Partial) => None,
            Ok(Parsed::Complete { head, length }) => {
                self.answer_head(&head)?;
                Some(length)
            }
            Err(_) if begins_http2(&input) => {
                return Err(Failure::UpstreamProtocol("it speaks HTTP/2; write `http: 2` at the upstream"));
            }
            Err(_) => return Err(Failure::UpstreamProtocol("its head is malformed")),
        };
        if let Some(length) = taken {
            input.advance(length);
        }
        self.upstream.input = input;
        Ok(taken.is_some())
    }

    fn answer_head(&mut self, head: &ResponseHead<'_>) -> Result<(), Failure> {
        match head.status {
            101 => self.switch_protocols(head),
            100..=199 => self.course.interim(head),
            _ => self.final_head(head),
        }
    }

    fn final_head(&mut self, head: &ResponseHead<'_>) -> Result<(), Failure> {
        let unclear = |_| Failure::UpstreamProtocol("the length of its answer is unclear");
        let body = response_body_length(head, self.course.outgoing.response_method()).map_err(unclear)?;
        let length = match body {
            BodyLength::Known(length) => ResponseLength::Known(length),
            BodyLength::Chunked | BodyLength::UntilClose => ResponseLength::Streamed,
            BodyLength::Empty => match declared_length(head.version, &head.fields) {
                Ok(Some(BodyLength::Known(length))) if head.status != 204 => {
                    ResponseLength::Announced(length)
                }
                Ok(_) | Err(_) => ResponseLength::Nothing,
            },
        };
        self.upstream_persists = keeps_alive(head.version, &head.fields)
            && body != BodyLength::UntilClose
            && !announces_impossible_body(head);
        self.is_suspect = body == BodyLength::Empty;
        if let Some(idle) = keep_alive_timeout(head) {
            self.upstream.kept_alive_for(idle);
        }
        self.course.close_client |= self.sending != Sending::Whole;
        self.course.final_head(head, length);
        if body.is_empty() {
            self.end_answer();
        } else {
            self.receiving = Receiving::Body(BodyDecoder::new(body));
        }
        Ok(())
    }

    /// Only what was asked for, and only in full (RFC 9110 §7.8, RFC 6455 §4.2.2).
    fn switch_protocols(&mut self, head: &ResponseHead<'_>) -> Result<(), Failure> {
        let upgrade = head.fields.only("upgrade").ok().flatten();
        let switches = upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
            && connection_tokens(&head.fields).any(|option| option.eq_ignore_ascii_case(b"upgrade"));
        if !self.course.outgoing.upgrade || !switches || head.version != Version::Http11 {
            return Err(Failure::UpstreamProtocol("it switches to a protocol that was not asked for"));
        }
        self.course.client.begin(101, head.reason);
        self.course.forward_fields(head, false);
        self.course.client.field(b"Connection", b"Upgrade");
        self.course.client.field(b"Upgrade", b"websocket");
        self.course.client.finish_interim();
        self.course.client.become_tunnel();
        self.is_tunnel = true;
        self.course.commit(101);
        self.course.outcome.upgraded();
        self.upstream_persists = false;
        self.course.is_stream = true;
        self.course.body_bytes_max = u64::MAX;
        self.course.close_client = true;
        self.sending = Sending::Body;
        self.coding = Coding::Plain;
        self.receiving = Receiving::Body(BodyDecoder::new(BodyLength::UntilClose));
        Ok(())
    }

    /// Hands on what was received of the body. Whether anything moved.
    fn read_body(&mut self, cx: &mut Context<'_>) -> Result<bool, Failure> {
        let Receiving::Body(decoder) = &mut self.receiving else { return Ok(false) };
        let upstream: &mut Buffered = self.upstream;
        if upstream.input.is_empty() || self.course.client.unsent() >= OUTPUT_BYTES_MAX {
            return Ok(false);
        }
        if self.passing.payload == 0 {
            let step = decoder
                .decode(&upstream.input)
                .map_err(|_| Failure::UpstreamProtocol("the body of its answer is malformed"))?;
            let behind = step.consumed - step.data.end;
            self.passing = Passing { payload: step.data.len(), behind, ended: step.ended };
            upstream.input.advance(step.data.start);
        }
        if self.passing.payload > 0 {
            let payload = &upstream.input[..self.passing.payload];
            let passed = self.course.client.pass(cx, payload).map_err(|_| Failure::ClientGone)?;
            if self.is_tunnel {
                self.frames.follow(&payload[..passed]);
            }
            self.course.outcome.sent(passed);
            upstream.input.advance(passed);
            self.passing.payload -= passed;
            if self.passing.payload > 0 {
                return Ok(passed > 0);
            }
        }
        upstream.input.advance(self.passing.behind);
        if self.passing.ended {
            self.end_answer();
        }
        Ok(true)
    }

    fn end_answer(&mut self) {
        let received = std::mem::replace(&mut self.receiving, Receiving::Whole);
        match received {
            Receiving::Body(decoder) => {
                let (config, has_cors) =
                    (&self.course.outgoing.site.config, self.course.outgoing.cors.is_some());
                let goes_on = |field: &Field<'_>| !is_response_stripped(field, config, has_cors);
                let trailers = decoder.trailers();
                self.course.client.end(&trailers.iter().copied().filter(goes_on).collect());
            }
            Receiving::Head | Receiving::Whole => self.course.client.end(&Fields::default()),
        }
    }

    /// Whether it is the client that nothing moves without.
    fn awaits_client(&self) -> bool {
        self.course.client.unsent() > 0
            || self.passing.payload > 0
            || (self.sending == Sending::Body && self.upstream.unsent() == 0 && !self.course.committed)
    }
}

/// Whether `input` begins as a server of HTTP/2 does: SETTINGS, of six bytes each, on stream 0 (RFC 9113 §3.4, §6.5).
fn begins_http2(input: &[u8]) -> bool {
    matches!(input, [0, high, low, 4, 0, 0, 0, 0, 0, ..] if u16::from_be_bytes([*high, *low]) % 6 == 0)
}
