//! One request of a client that speaks HTTP/2, and the stream that its answer goes back on.

use std::{
    io,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};

use crate::{
    http1::{
        body::may_be_trailer,
        encode::write_chunk,
        framing::BodyLength,
        parse::{HeadError, METHOD_BYTES},
    },
    message::{Fields, RequestHead, Version},
};

use super::{
    super::client::{BodyStep, Client, ClientFault, Coding, HeadFault, Peer, ResponseLength},
    fields::{append, are_trailers_too_large, field, fields, size},
    window::poll_room,
};

/// How many fields an answer has room for from the start.
const FIELDS_USUAL: usize = 12;

/// One request.
pub(super) struct Http2Client {
    /// Until it was judged.
    head: Option<Box<Head>>,
    body: RecvStream,
    trailers: HeaderMap,
    peer: Rc<Peer>,
    started: Instant,
    /// The head of the answer that is being put together.
    answer: Response<()>,
    answering: Answering,
    output: BytesMut,
    /// The trailers of the answer, once it has ended; it is still to be said to the client.
    ending: Option<HeaderMap>,
    is_gone: bool,
}

/// The head as it came, and what it takes to lend it.
struct Head {
    parts: Parts,
    /// The lines of `Cookie`, joined (RFC 9113 §8.2.3).
    cookie: Vec<u8>,
    ends_stream: bool,
}

/// Where the answer stands.
enum Answering {
    /// Its head was not sent.
    Head(SendResponse<Bytes>),
    /// Its body is on the way; the end may have gone with the last piece of it.
    Body(SendStream<Bytes>),
    /// The client was told its end by itself, or with the head.
    Whole(SendStream<Bytes>),
    /// The client takes none.
    Failed,
}

impl Http2Client {
    /// The request that `respond` answers.
    pub(super) fn new(
        request: http::Request<RecvStream>,
        respond: SendResponse<Bytes>,
        peer: Rc<Peer>,
    ) -> Self {
        let (parts, body) = request.into_parts();
        let cookie = join_cookies(&parts.headers);
        let head = Head { parts, cookie, ends_stream: body.is_end_stream() };
        Self {
            head: Some(Box::new(head)),
            body,
            trailers: HeaderMap::new(),
            peer,
            started: crate::clock::monotonic(),
            answer: Response::new(()),
            answering: Answering::Head(respond),
            output: BytesMut::new(),
            ending: None,
            is_gone: false,
        }
    }

    /// Whether the client reset the stream, or left, before it had its answer.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    fn reset(&mut self, reason: Reason) {
        match &mut self.answering {
            Answering::Head(respond) => respond.send_reset(reason),
            Answering::Body(stream) | Answering::Whole(stream) => stream.send_reset(reason),
            Answering::Failed => {}
        }
    }

    fn fault(&mut self, error: &h2::Error) -> ClientFault {
        if error.is_library() {
            return ClientFault::Body;
        }
        self.is_gone = true;
        ClientFault::Gone
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyStep, ClientFault>> {
        match ready!(self.body.poll_trailers(cx)) {
            Ok(None) => {}
            Ok(Some(trailers)) if are_trailers_too_large(&trailers) => {
                return Poll::Ready(Err(ClientFault::Body));
            }
            Ok(Some(trailers)) => self.trailers = trailers,
            Err(error) => return Poll::Ready(Err(self.fault(&error))),
        }
        Poll::Ready(Ok(BodyStep::End))
    }

    /// Says the end of the answer.
    fn finish(&mut self) -> Result<(), h2::Error> {
        let Some(trailers) = self.ending.take() else { return Ok(()) };
        match std::mem::replace(&mut self.answering, Answering::Failed) {
            Answering::Body(mut stream) => {
                if trailers.is_empty() {
                    stream.send_data(Bytes::new(), true)?;
                } else {
                    stream.send_trailers(trailers)?;
                }
                self.answering = Answering::Whole(stream);
            }
            other @ (Answering::Head(_) | Answering::Whole(_) | Answering::Failed) => self.answering = other,
        }
        Ok(())
    }

    /// Hands over what the client's windows have room for. Ready when nothing is left.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while let Answering::Body(stream) = &mut self.answering
            && !self.output.is_empty()
        {
            let room = ready!(poll_room(stream, self.output.len(), cx))?;
            let piece = self.output.split_to(room.min(self.output.len())).freeze();
            let ends =
                self.output.is_empty() && self.ending.take_if(|trailers| trailers.is_empty()).is_some();
            stream.send_data(piece, ends)?;
        }
        Poll::Ready(self.finish())
    }
}

impl Client for Http2Client {
    fn head(&self) -> Result<RequestHead<'_>, HeadFault> {
        let head = self.head.as_ref().ok_or(HeadError::StartLine)?;
        let limits = &self.peer.listener.limits.head;
        let (target, authority) = (head.target()?, head.parts.uri.authority());
        if head.parts.method.as_str().len() > METHOD_BYTES {
            return Err(HeadError::Method.into());
        }
        if target.len() > limits.target_bytes {
            return Err(HeadError::TargetTooLong.into());
        }
        if head.parts.headers.len() > limits.fields {
            return Err(HeadError::TooManyFields.into());
        }
        let authority_bytes = authority.map_or(0, |authority| authority.as_str().len());
        if target.len() + authority_bytes + size(&head.parts.headers) > limits.head_bytes {
            return Err(HeadError::HeadTooLarge.into());
        }
        Ok(RequestHead {
            method: head.parts.method.as_str(),
            target,
            authority: authority.map(|authority| authority.as_str().as_bytes()),
            version: Version::Http2,
            ends_stream: head.ends_stream,
            fields: head.fields()?,
        })
    }

    fn started(&self) -> Instant {
        self.started
    }

    fn peer(&self) -> &Rc<Peer> {
        &self.peer
    }

    /// The length is the transport's to check: a body that is longer or shorter than its `content-length` is a stream
    /// error (RFC 9113 §8.1.1).
    fn accept_head(&mut self, _: BodyLength) {
        self.head = None;
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        coding: Coding,
    ) -> Poll<Result<BodyStep, ClientFault>> {
        loop {
            let data = match ready!(self.body.poll_data(cx)) {
                None => return self.poll_trailers(cx),
                Some(Err(error)) => return Poll::Ready(Err(self.fault(&error))),
                Some(Ok(data)) => data,
            };
            match coding {
                Coding::Plain => into.extend_from_slice(&data),
                Coding::Chunked => write_chunk(into, &data),
            }
            // Only now may the client send as much again. On a stream that has ended it may not: no error to speak of.
            let _ = self.body.flow_control().release_capacity(data.len());
            if !data.is_empty() {
                return Poll::Ready(Ok(BodyStep::Data(data.len())));
            }
        }
    }

    fn trailers(&self) -> Fields<'_> {
        fields(&self.trailers)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.answering {
            Answering::Head(respond) => ready!(respond.poll_reset(cx)).map(drop),
            Answering::Body(stream) | Answering::Whole(stream) => ready!(stream.poll_reset(cx)).map(drop),
            Answering::Failed => Ok(()),
        }
        // However the stream ended, nobody waits any more.
        .unwrap_or_default();
        self.is_gone = true;
        Poll::Ready(())
    }

    fn takes_interim(&self) -> bool {
        true
    }

    /// The reason phrase is not of this protocol (RFC 9113 §8.3.2).
    fn begin(&mut self, status: u16, _: &[u8]) {
        self.answer = Response::new(());
        self.answer.headers_mut().reserve(FIELDS_USUAL);
        *self.answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        append(self.answer.headers_mut(), name, value);
    }

    fn finish_interim(&mut self) {
        let interim = std::mem::take(&mut self.answer);
        if let Answering::Head(respond) = &mut self.answering {
            // A client that is gone is noticed soon enough.
            let _ = respond.send_informational(interim);
        }
    }

    /// The connection goes on whatever `close` says: streams end one by one, and GOAWAY is the connection's matter.
    fn finish_head(&mut self, length: ResponseLength, _: bool) {
        let mut answer = std::mem::take(&mut self.answer);
        let ends = match length {
            ResponseLength::Nothing | ResponseLength::Announced(_) | ResponseLength::Known(0) => true,
            ResponseLength::Known(_) | ResponseLength::Streamed => false,
        };
        if let ResponseLength::Announced(length) | ResponseLength::Known(length) = length {
            answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        self.answering = match std::mem::replace(&mut self.answering, Answering::Failed) {
            Answering::Head(mut respond) => match respond.send_response(answer, ends) {
                Ok(stream) if ends => Answering::Whole(stream),
                Ok(stream) => Answering::Body(stream),
                Err(_) => Answering::Failed,
            },
            other @ (Answering::Body(_) | Answering::Whole(_) | Answering::Failed) => other,
        };
    }

    fn data(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    fn end(&mut self, trailers: &Fields<'_>) {
        let mut ending = HeaderMap::new();
        for field in trailers.iter().filter(|field| may_be_trailer(field.name)) {
            append(&mut ending, field.name, field.value);
        }
        self.ending = Some(ending);
        if self.output.is_empty() && self.finish().is_err() {
            self.answering = Answering::Failed;
        }
    }

    /// Never asked for: only a request in HTTP/1.1 can upgrade, and RFC 8441 is not offered.
    fn become_tunnel(&mut self) {
        self.abort();
    }

    fn unsent(&self) -> usize {
        self.output.len()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Answering::Failed = self.answering {
            self.is_gone = true;
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let sent = ready!(self.poll_send(cx));
        self.is_gone |= sent.is_err();
        Poll::Ready(sent.map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }

    fn abort(&mut self) {
        self.reset(Reason::INTERNAL_ERROR);
    }

    /// CANCEL: nothing failed, the stream is no longer wanted (RFC 9113 §7). `REFUSED_STREAM` would invite to try again, and
    /// gRPC reads CANCEL as cancelled.
    fn cut(&mut self) {
        self.reset(Reason::CANCEL);
    }

    /// What is left makes the transport reset the stream behind its answer, with `NO_ERROR` (RFC 9113 §8.1).
    fn leaves_body(&mut self) -> bool {
        !self.body.is_end_stream()
    }
}

impl Head {
    /// `:path` as sent, but for a fragment, which `http::Uri` has cut off; of CONNECT, `:authority`.
    fn target(&self) -> Result<&[u8], HeadFault> {
        let uri = &self.parts.uri;
        match (uri.path(), uri.path_and_query(), uri.authority()) {
            ("", _, Some(authority)) => Ok(authority.as_str().as_bytes()),
            // Asked first, since the path and query of no path is "/".
            ("", _, None) | (_, None, _) => Err(HeadFault::Http2("it has no :path")),
            (_, Some(target), _) => Ok(target.as_str().as_bytes()),
        }
    }

    /// The header section, in the order of the first line of each name.
    ///
    /// `:scheme` must be one of the two that can be served. That of the connection it need not be: a proxy in front of
    /// us that ends TLS passes on its client's. Nothing is decided by it, and it is not forwarded.
    fn fields(&self) -> Result<Fields<'_>, HeadFault> {
        let scheme = self.parts.uri.scheme_str().unwrap_or("https");
        if !matches!(scheme, "http" | "https") {
            return Err(HeadFault::Http2("its :scheme is neither http nor https"));
        }
        let mut fields = Fields::default();
        let mut has_cookie = false;
        for line in &self.parts.headers {
            let mut field = field(line);
            if is_padded(field.value) {
                // RFC 9113 §8.2.1.
                return Err(HeadFault::Http2("a field value begins or ends with white space"));
            }
            if line.0 == header::COOKIE {
                field.value = &self.cookie;
                if std::mem::replace(&mut has_cookie, true) {
                    continue;
                }
            }
            fields.push(field);
        }
        Ok(fields)
    }
}

fn is_padded(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(value.first()) || is_blank(value.last())
}

fn join_cookies(fields: &HeaderMap) -> Vec<u8> {
    let mut joined = Vec::new();
    for crumb in fields.get_all(header::COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(crumb.as_bytes());
    }
    joined
}
