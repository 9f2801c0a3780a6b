//! One request and its answer on their way between a client and an upstream that speaks HTTP/2: both directions at once, each
//! as fast as its receiver opens its window, with bounded buffers.
//!
//! What is malformed in the answer (RFC 9113 §8.1.1 to §8.2.2) the transport resets: fields of the connection, a missing status, a
//! body that is longer or shorter than announced; pseudo-header fields where none belong it drops. Whatever ends the
//! exchange early drops the stream, which tells the upstream CANCEL.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture};
use http::{HeaderMap, Response};

use crate::{
    http1::framing::{BodyLength, declared_length, response_body_length},
    message::{Field, ResponseHead, Version},
};

use super::{
    buffered::OUTPUT_BYTES_MAX,
    client::{BodyStep, Client, ClientFault, Coding, ResponseLength},
    course::Course,
    exchange::Finished,
    failure::{Cut, Failure},
    gateway::Outgoing,
    headers::{is_response_stripped, trailer_goes_on},
    http2::{
        fields::{append, are_trailers_too_large, fields},
        translate,
        window::poll_room,
    },
    upstream::{AfterUse, Place},
};

/// How many lines the head of an answer may have, as in HTTP/1.1.
const FIELDS_MAX: usize = 200;

/// Where the request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// Its body is on the way.
    Body,
    /// All of it was taken from the client.
    Whole,
    /// The upstream takes no more of it.
    Stopped,
}

/// Where the answer stands.
enum Receiving {
    Head,
    Body(Download),
    Whole,
}

/// The body of an answer.
struct Download {
    stream: RecvStream,
    /// What of it is not on its way to the client yet; the upstream may send as much again once it is.
    piece: Bytes,
    /// What came behind it while the client took nothing, at most a stream's window: many small pieces would use up what
    /// the transport holds for all streams of the connection.
    gathered: BytesMut,
    /// How it ended, once that came.
    ended: Option<HeaderMap>,
    /// What is to come, where that was announced.
    left: Option<u64>,
}

/// The body of a request.
struct Upload {
    stream: SendStream<Bytes>,
    /// What came from the client.
    gathered: Vec<u8>,
    /// What was gathered before, and goes out as the upstream permits.
    leaving: Bytes,
    /// The trailers, once the body has ended; it is still to be said to the upstream.
    ending: Option<HeaderMap>,
}

/// One exchange.
pub(super) struct Http2Exchange<'e, C> {
    pub(super) course: Course<'e, C>,
    upload: Upload,
    response: ResponseFuture,
    sending: Sending,
    receiving: Receiving,
}

impl<'e, C: Client> Http2Exchange<'e, C> {
    /// Sends the head of the request of `course`.
    pub(super) fn begin(mut course: Course<'e, C>, place: &Place) -> Result<Self, Failure> {
        let outgoing = course.outgoing;
        let ends = outgoing.body.is_empty();
        let (response, stream) =
            place.send(http2_request(outgoing)?, ends).map_err(|_| Failure::Unprocessed)?;
        if outgoing.form.is_grpc {
            // A call takes its time in both directions, and states itself how long it may take.
            course.body_rate = 0;
            course.first_byte = outgoing.grpc_timeout.unwrap_or(course.first_byte);
        }
        let upload = Upload { stream, gathered: Vec::new(), leaving: Bytes::new(), ending: None };
        let sending = if ends { Sending::Whole } else { Sending::Body };
        Ok(Self { course, upload, response, sending, receiving: Receiving::Head })
    }

    /// Moves both directions on as far as they go. Ready when the answer was received whole; what of it the client has
    /// not taken yet waits in the client.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Finished, Failure>> {
        if let Poll::Ready(reason) = self.course.outgoing.poll_cut(cx) {
            return Poll::Ready(Err(Failure::Cut(Cut::untold(reason))));
        }
        loop {
            let moved = self.send(cx)? | self.receive(cx)?;
            if matches!(self.receiving, Receiving::Whole) {
                return Poll::Ready(Ok(self.finish()));
            }
            if !moved {
                break;
            }
            self.course.progress();
        }
        // Somebody whose body is not asked for says only so that they left.
        let listens = self.sending == Sending::Body && self.upload.has_room();
        if !listens && self.course.client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Failure::ClientGone));
        }
        let awaits_client = self.awaits_client();
        self.course.watch_clock(cx, awaits_client).map(Err)
    }

    /// The answer is whole: what the upstream has not been sent by now, it has no use for (RFC 9113 §8.1).
    fn finish(&mut self) -> Finished {
        let is_sent = self.sending == Sending::Whole && self.upload.is_empty();
        if !is_sent {
            self.upload.stream.send_reset(Reason::NO_ERROR);
        }
        Finished {
            upstream: if is_sent { AfterUse::Keep } else { AfterUse::Close },
            close_client: self.course.close_client || self.sending != Sending::Whole,
        }
    }

    /// Client to upstream. Whether anything moved.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<bool, Failure> {
        let mut moved = false;
        loop {
            moved |= self.gather(cx)?;
            match self.upload.push(cx) {
                Ok(true) => moved = true,
                Ok(false) => return Ok(moved),
                // It may have answered before it stopped: what it said is read first.
                Err(_) => {
                    self.sending = Sending::Stopped;
                    self.upload.clear();
                    return Ok(moved);
                }
            }
        }
    }

    fn gather(&mut self, cx: &mut Context<'_>) -> Result<bool, Failure> {
        let mut moved = false;
        while self.sending == Sending::Body && self.upload.has_room() {
            match self.course.client.poll_body(cx, &mut self.upload.gathered, Coding::Plain) {
                Poll::Ready(Ok(BodyStep::Data(bytes))) => self.course.count_body(bytes)?,
                Poll::Ready(Ok(BodyStep::End)) => self.end_body(),
                Poll::Ready(Err(ClientFault::Gone)) => return Err(Failure::ClientGone),
                Poll::Ready(Err(ClientFault::Body)) => return Err(Failure::ClientBody),
                Poll::Pending => break,
            }
            moved = true;
        }
        Ok(moved)
    }

    fn end_body(&mut self) {
        let outgoing = self.course.outgoing;
        // A client's word that this is gRPC counts for HTTP/2 only, where trailers never get among the header fields.
        let go_on = outgoing.forwards_trailers || outgoing.form.is_grpc;
        let goes_on =
            |field: &&Field<'_>| go_on && trailer_goes_on(field, &outgoing.site.config, outgoing.upstream());
        let mut trailers = HeaderMap::new();
        for field in self.course.client.trailers().iter().filter(goes_on) {
            append(&mut trailers, field.name, field.value);
        }
        self.upload.ending = Some(trailers);
        self.sending = Sending::Whole;
    }

    /// Upstream to client. Whether anything moved.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, Failure> {
        let mut moved = false;
        loop {
            let stepped = match &self.receiving {
                Receiving::Head => self.read_head(cx)?,
                Receiving::Body(_) => self.read_body(cx)?,
                Receiving::Whole => false,
            };
            moved |= stepped;
            if !stepped {
                break;
            }
        }
        if self.course.client.unsent() > 0 {
            match self.course.client.poll_flush(cx) {
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(_)) => return Err(Failure::ClientGone),
                Poll::Pending => {}
            }
        }
        Ok(moved)
    }

    fn read_head(&mut self, cx: &mut Context<'_>) -> Result<bool, Failure> {
        match self.response.poll_informational(cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Some(Ok(interim))) => {
                self.interim(&interim)?;
                return Ok(true);
            }
            Poll::Ready(Some(Err(error))) => return Err(self.failure(&error)),
            Poll::Ready(None) => {}
        }
        match Pin::new(&mut self.response).poll(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(response)) => self.final_head(response).map(|()| true),
            Poll::Ready(Err(error)) => Err(self.failure(&error)),
        }
    }

    fn interim(&mut self, response: &Response<()>) -> Result<(), Failure> {
        if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
            // RFC 9113 §8.6.
            return Err(Failure::UpstreamProtocol("it switches to a protocol that was not asked for"));
        }
        self.course.interim(&head_of(response)?)
    }

    fn final_head(&mut self, response: Response<RecvStream>) -> Result<(), Failure> {
        let unclear = |_| Failure::UpstreamProtocol("the length of its answer is unclear");
        let (parts, stream) = response.into_parts();
        let response = Response::from_parts(parts, ());
        let head = head_of(&response)?;
        let declared = declared_length(head.version, &head.fields).map_err(unclear)?;
        let body = response_body_length(&head, self.course.outgoing.response_method()).map_err(unclear)?;
        let has_ended = stream.is_end_stream();
        let length = match (body, declared) {
            (BodyLength::Known(length), _) => ResponseLength::Known(length),
            (BodyLength::Empty, Some(BodyLength::Known(length))) if head.status != 204 => {
                ResponseLength::Announced(length)
            }
            (BodyLength::Empty, _) => ResponseLength::Nothing,
            (BodyLength::Chunked | BodyLength::UntilClose, _) if has_ended => ResponseLength::Known(0),
            (BodyLength::Chunked | BodyLength::UntilClose, _) => ResponseLength::Streamed,
        };
        self.course.close_client |= self.sending != Sending::Whole;
        self.course.final_head(&head, length);
        self.course.is_stream |= self.course.outgoing.form.is_grpc;
        let left = match length {
            ResponseLength::Known(length) => Some(length),
            ResponseLength::Nothing | ResponseLength::Announced(_) | ResponseLength::Streamed => None,
        };
        let (piece, gathered) = (Bytes::new(), BytesMut::new());
        self.receiving = Receiving::Body(Download { stream, piece, gathered, ended: None, left });
        if body.is_empty() || has_ended {
            self.end_answer(&HeaderMap::new());
        }
        Ok(())
    }

    /// Hands on what came of the body. Whether anything moved.
    fn read_body(&mut self, cx: &mut Context<'_>) -> Result<bool, Failure> {
        let Receiving::Body(body) = &mut self.receiving else { return Ok(false) };
        if self.course.client.unsent() >= OUTPUT_BYTES_MAX {
            return body.gather(cx).map(|()| false).map_err(|broken| self.broken(&broken));
        }
        if body.piece.is_empty() {
            return match body.poll_next(cx) {
                Poll::Pending => Ok(false),
                Poll::Ready(Ok(Part::Data(piece))) => {
                    body.piece = piece;
                    Ok(true)
                }
                Poll::Ready(Ok(Part::End(trailers))) => {
                    if are_trailers_too_large(&trailers) {
                        return Err(Failure::UpstreamProtocol("the trailers of its answer are too large"));
                    }
                    self.end_answer(&trailers);
                    Ok(true)
                }
                Poll::Ready(Err(broken)) => Err(self.broken(&broken)),
            };
        }
        let passed = self.course.client.pass(cx, &body.piece).map_err(|_| Failure::ClientGone)?;
        self.course.outcome.sent(passed);
        body.piece.advance(passed);
        // Only now may the upstream send as much again. On a stream that has ended it may not: no error to speak of.
        let _ = body.stream.flow_control().release_capacity(passed);
        if passed == 0 {
            body.gather(cx).map_err(|broken| self.broken(&broken))?;
        }
        Ok(passed > 0)
    }

    fn end_answer(&mut self, trailers: &HeaderMap) {
        self.receiving = Receiving::Whole;
        let outgoing = self.course.outgoing;
        let has_cors = outgoing.cors.is_some();
        let goes_on = |field: &Field<'_>| !is_response_stripped(field, &outgoing.site.config, has_cors);
        self.course.client.end(&fields(trailers).iter().copied().filter(goes_on).collect());
    }

    fn broken(&self, broken: &Broken) -> Failure {
        match broken {
            Broken::Length => Failure::UpstreamProtocol("its answer is not as long as announced"),
            Broken::Transport(error) => self.failure(error),
        }
    }

    /// What an error of the stream or its connection means for the exchange.
    fn failure(&self, error: &h2::Error) -> Failure {
        let refused = error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM);
        if error.is_remote() && refused && self.course.is_untouched() {
            // RFC 9113 §8.7: nobody has looked at it.
            return Failure::Unprocessed;
        }
        match error.reason() {
            _ if error.is_library() => Failure::UpstreamProtocol("its answer is malformed"),
            Some(reason) if error.is_remote() => Failure::UpstreamReset(reason),
            Some(_) | None if self.course.is_untouched() => Failure::Unanswered,
            Some(_) | None => Failure::UpstreamClosed,
        }
    }

    /// Whether it is the client that nothing moves without.
    fn awaits_client(&self) -> bool {
        let owes_body = self.sending == Sending::Body
            && self.upload.unsent() == 0
            && !self.course.committed
            && !self.course.outgoing.form.is_grpc;
        let piece_waits = matches!(&self.receiving, Receiving::Body(body) if !body.piece.is_empty());
        self.course.client.unsent() > 0 || piece_waits || owes_body
    }
}

/// A part of the body of an answer.
enum Part {
    Data(Bytes),
    /// There is no more; the trailers, possibly none.
    End(HeaderMap),
}

/// What is wrong with a body.
enum Broken {
    /// It is not as long as was announced.
    Length,
    /// The stream or its connection failed.
    Transport(h2::Error),
}

impl From<h2::Error> for Broken {
    fn from(error: h2::Error) -> Self {
        Self::Transport(error)
    }
}

impl Download {
    /// What comes next of it.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, Broken>> {
        if !self.gathered.is_empty() {
            return Poll::Ready(Ok(Part::Data(self.gathered.split().freeze())));
        }
        match self.ended.take() {
            Some(trailers) => Poll::Ready(Ok(Part::End(trailers))),
            None => self.poll_receive(cx),
        }
    }

    /// Takes over what came, so that the transport holds nothing of it.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        while self.ended.is_none()
            && let Poll::Ready(part) = self.poll_receive(cx)
        {
            match part? {
                Part::Data(piece) => self.gathered.extend_from_slice(&piece),
                Part::End(trailers) => self.ended = Some(trailers),
            }
        }
        Ok(())
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, Broken>> {
        let Some(data) = ready!(self.stream.poll_data(cx)) else {
            let trailers = ready!(self.stream.poll_trailers(cx))?.unwrap_or_default();
            let is_whole = self.left.is_none_or(|left| left == 0);
            return Poll::Ready(if is_whole { Ok(Part::End(trailers)) } else { Err(Broken::Length) });
        };
        let piece = data?;
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(piece.len() as u64).ok_or(Broken::Length)?;
        }
        Poll::Ready(Ok(Part::Data(piece)))
    }
}

impl Upload {
    fn unsent(&self) -> usize {
        self.gathered.len() + self.leaving.len()
    }

    /// Whether nothing is left to be said to the upstream.
    fn is_empty(&self) -> bool {
        self.unsent() == 0 && self.ending.is_none()
    }

    fn has_room(&self) -> bool {
        self.unsent() < OUTPUT_BYTES_MAX
    }

    fn clear(&mut self) {
        self.gathered.clear();
        self.leaving.clear();
        self.ending = None;
    }

    /// Hands over what the upstream's windows have room for. Whether that was anything.
    fn push(&mut self, cx: &mut Context<'_>) -> Result<bool, h2::Error> {
        let mut moved = false;
        while self.unsent() > 0 {
            if self.leaving.is_empty() {
                self.leaving = std::mem::take(&mut self.gathered).into();
            }
            let Poll::Ready(room) = poll_room(&mut self.stream, self.leaving.len(), cx) else {
                return Ok(moved);
            };
            let piece = self.leaving.split_to(room?);
            let is_last = self.unsent() == 0 && self.ending.as_ref().is_some_and(HeaderMap::is_empty);
            self.stream.send_data(piece, is_last)?;
            if is_last {
                self.ending = None;
            }
            moved = true;
        }
        match self.ending.take() {
            None => return Ok(moved),
            Some(trailers) if trailers.is_empty() => self.stream.send_data(Bytes::new(), true)?,
            Some(trailers) => self.stream.send_trailers(trailers)?,
        }
        Ok(true)
    }
}

/// The head of `outgoing` for HTTP/2. Secrets stay out of the tables that all requests of the connection share.
fn http2_request(outgoing: &Outgoing) -> Result<http::Request<()>, Failure> {
    let (upstream, policy) = (outgoing.upstream(), &outgoing.site.config.policy);
    let scheme = if upstream.tls.is_some() { "https" } else { "http" };
    let is_secret = |field: &Field<'_>| {
        field.is("authorization")
            || field.is("cookie")
            || policy.credentials.include(field)
            || upstream.set_headers.iter().any(|(name, _)| name.as_bytes().eq_ignore_ascii_case(field.name))
    };
    translate::request(&outgoing.head, scheme, is_secret).ok_or(Failure::Untranslatable)
}

/// The head of an answer, with the phrase that HTTP/1.1 has for its status.
fn head_of<B>(response: &Response<B>) -> Result<ResponseHead<'_>, Failure> {
    if response.headers().len() > FIELDS_MAX {
        return Err(Failure::UpstreamProtocol("its head has too many fields"));
    }
    let status = response.status();
    Ok(ResponseHead {
        status: status.as_u16(),
        reason: status.canonical_reason().unwrap_or_default().as_bytes(),
        version: Version::Http2,
        fields: fields(response.headers()),
    })
}
