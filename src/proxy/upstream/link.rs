//! Connections to an upstream that carry many requests each (HTTP/2, RFC 9113): one worker's few.
//!
//! Frames, header compression and flow control are the `h2` crate's. Each request takes one of the upstream's permits and with it
//! a place on a connection; where none has room, one connection is made and the others wait for it.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping, PingPong, SendStream,
    client::{self, ResponseFuture, SendRequest},
};
use http::Request;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    time::Instant,
};

use crate::{
    config::model::UpstreamTimeouts,
    net::stream::Stream,
    proxy::{
        alarm::Alarm,
        buffered::OUTPUT_BYTES_MAX,
        failure::Failure,
        http2::watched::{Flood, Heard, Stall, Watched},
    },
    telemetry::{metrics::UpstreamMetrics, throttle::Throttle},
};

use super::{AfterUse, Unreachable};

/// The most requests at once on one connection, whatever the upstream permits.
const STREAMS_MAX: usize = 100;
/// With so many requests given up a connection takes no new ones. Servers close connections whose streams are reset again and
/// again (CVE-2023-44487), and the transport does where it no longer knows what is still answered: either would end the
/// requests of others.
const GIVEN_UP_MAX: usize = 100;
/// What the upstream may send ahead on one stream.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What it may send ahead on one connection: room for every stream, so that clients that read slowly never hold up others.
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;
/// What small DATA frames may use up of the transport's memory before they are read, which is at once; by default a flood of them
/// between two reads would end the connection for everybody. One of n bytes counts 256 - n.
const SMALL_FRAMES_BYTES: usize = 64 * 1024 * 1024;
/// What the head of an answer may measure, as in HTTP/1.1.
const HEADER_LIST_BYTES: u32 = 64 * 1024;
/// The header of the frame that every upstream begins with (RFC 9113 §3.4).
const FRAME_HEADER_BYTES: u64 = 9;
/// An upstream that owes an answer and was silent for so long is asked whether it is there.
const PING_AFTER: Duration = Duration::from_secs(15);
/// How long it has to say so.
const PONG_WITHIN: Duration = Duration::from_secs(15);
/// Between two such questions: gRPC servers send clients away that ask more often than every five minutes.
const PING_EVERY: Duration = Duration::from_secs(310);

/// One worker's connections of this kind to one upstream.
#[derive(Debug, Default)]
pub(super) struct Links {
    open: RefCell<Vec<Rc<Link>>>,
    /// Whether somebody makes a connection that others wait for.
    connecting: Cell<bool>,
    /// Whether the last connection was one that nobody else can use: then all make their own.
    is_shared_in_vain: Cell<bool>,
    /// Rung when there may be room for one more.
    changed: Rc<Notify>,
}

impl Links {
    /// A connection that has room.
    pub(super) fn with_room(&self) -> Option<Rc<Link>> {
        self.close_unused(false);
        let now = Instant::now();
        self.open.borrow().iter().find(|link| link.has_room(now)).cloned()
    }

    /// The right to make a connection; `None` while somebody else makes one that may have room.
    pub(super) fn connect(&self) -> Option<Connecting<'_>> {
        if self.connecting.get() && !self.is_shared_in_vain.get() {
            return None;
        }
        self.connecting.set(true);
        Some(Connecting(self))
    }

    /// Waits until a look at the connections may be worth it.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Somebody found what they wanted; there may be more of it.
    pub(super) fn pass_on(&self) {
        self.changed.notify_one();
    }

    /// Closes connections that carry no request and take none, or carried none for too long, or `all` that carry none. What
    /// takes none any more but carries some is closed behind the last one.
    pub(super) fn close_unused(&self, all: bool) {
        let now = Instant::now();
        self.open
            .borrow_mut()
            .retain(|link| link.takes_requests() && (link.is_busy() || (!all && link.has_room(now))));
    }
}

/// The making of a connection.
pub(super) struct Connecting<'l>(&'l Links);

impl Connecting<'_> {
    /// The upstream speaks HTTP/2 on `stream`: begins, and waits for its word.
    pub(super) async fn share(
        &self,
        stream: Stream,
        slot: OwnedSemaphorePermit,
        timeouts: &UpstreamTimeouts,
        metrics: &UpstreamMetrics,
    ) -> Result<Rc<Link>, Unreachable> {
        let link = Link::begin(stream, slot, timeouts, metrics, &self.0.changed).await?;
        self.0.is_shared_in_vain.set(false);
        self.0.open.borrow_mut().push(Rc::clone(&link));
        Ok(link)
    }

    /// The upstream does not speak HTTP/2: everybody makes their own.
    pub(super) fn keep(&self) {
        self.0.is_shared_in_vain.set(true);
        self.0.changed.notify_waiters();
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.connecting.set(false);
        self.0.changed.notify_one();
    }
}

/// One connection. It closes in order once nobody holds it and its requests have ended.
pub(super) struct Link {
    requests: SendRequest<Bytes>,
    state: Rc<State>,
    metrics: UpstreamMetrics,
    changed: Rc<Notify>,
    keep_alive: Duration,
    /// When it is closed if it carries no request.
    idle_until: Cell<Instant>,
}

/// What both the link and the task that drives it know.
#[derive(Debug)]
struct State {
    /// Requests that it carries.
    streams: Cell<usize>,
    /// How many the upstream permits.
    limit: Cell<usize>,
    /// Since when it has carried some.
    busy_since: Cell<Instant>,
    /// How many of its requests were given up.
    given_up: Cell<usize>,
    /// It takes no more requests.
    is_over: Cell<bool>,
    /// Whether it has carried a request before.
    is_reused: Cell<bool>,
    heard: Heard,
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Link").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Link {
    /// Speaks HTTP/2 on `stream`; a connection is one when the upstream's SETTINGS came.
    async fn begin(
        stream: Stream,
        slot: OwnedSemaphorePermit,
        timeouts: &UpstreamTimeouts,
        metrics: &UpstreamMetrics,
        changed: &Rc<Notify>,
    ) -> Result<Rc<Self>, Unreachable> {
        let (stall, flood, heard) = (Stall::default(), Flood::default(), Heard::default());
        let io = Watched::towards_upstream(stream, stall.clone(), flood.clone(), heard.clone());
        let (requests, mut transport) =
            settings().handshake::<_, Bytes>(io).await.map_err(Unreachable::Protocol)?;
        let now = Instant::now();
        let state = Rc::new(State {
            streams: Cell::new(0),
            limit: Cell::new(0),
            busy_since: Cell::new(now),
            given_up: Cell::new(0),
            is_over: Cell::new(false),
            is_reused: Cell::new(false),
            heard,
        });
        let mut driver = Driver {
            _slot: slot,
            pings: transport.ping_pong(),
            transport,
            state: Rc::clone(&state),
            changed: Rc::clone(changed),
            stall,
            flood,
            stalls_for: timeouts.idle,
            heard_bytes: 0,
            heard_at: now,
            pinged_at: None,
            awaits_pong: false,
            alarm: Alarm::new(),
        };
        poll_fn(|cx| driver.poll_settings(cx)).await.map_err(Unreachable::Protocol)?;
        tokio::task::spawn_local(poll_fn(move |cx| driver.poll(cx)));
        metrics.idle.rise();
        Ok(Rc::new(Self {
            requests,
            state,
            metrics: metrics.clone(),
            changed: Rc::clone(changed),
            keep_alive: timeouts.keep_alive,
            idle_until: Cell::new(now + timeouts.keep_alive),
        }))
    }

    /// Whether it is open, the upstream did not say that it goes (GOAWAY, RFC 9113 §6.8), and few of its requests were
    /// given up.
    fn takes_requests(&self) -> bool {
        if self.state.given_up.get() >= GIVEN_UP_MAX {
            return false;
        }
        let ready = || self.requests.clone().poll_ready(&mut Context::from_waker(Waker::noop()));
        !self.state.is_over.get() && matches!(ready(), Poll::Ready(Ok(())))
    }

    fn has_room(&self, now: Instant) -> bool {
        let is_expired = !self.is_busy() && self.idle_until.get() <= now;
        self.state.streams.get() < self.state.limit.get().min(STREAMS_MAX) && !is_expired
    }

    fn is_busy(&self) -> bool {
        self.state.streams.get() > 0
    }

    /// A place for the request that `permit` is for.
    pub(super) fn place(self: Rc<Self>, permit: OwnedSemaphorePermit) -> Place {
        let streams = self.state.streams.get();
        if streams == 0 {
            self.metrics.idle.fall();
            self.metrics.in_use.rise();
            self.state.busy_since.set(Instant::now());
        }
        self.state.streams.set(streams + 1);
        let is_reused = self.state.is_reused.replace(true);
        Place {
            heard_bytes: self.state.heard.bytes(),
            link: self,
            is_reused,
            is_done: false,
            _permit: permit,
        }
    }

    fn leave(&self) {
        let streams = self.state.streams.get() - 1;
        self.state.streams.set(streams);
        if streams == 0 {
            self.metrics.in_use.fall();
            self.metrics.idle.rise();
            self.idle_until.set(Instant::now() + self.keep_alive);
        }
        self.changed.notify_one();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Whoever has a place holds it, so that it carries no request any more.
        self.metrics.idle.fall();
    }
}

/// A request's place on a connection; given up when dropped.
#[derive(Debug)]
pub(in crate::proxy) struct Place {
    link: Rc<Link>,
    /// What the connection had brought before.
    heard_bytes: u64,
    is_reused: bool,
    /// Whether both sides said all that they had to say.
    is_done: bool,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Sends the head of the request, which is all of it if it `ends`. Dropping what comes of it resets the stream.
    ///
    /// # Errors
    /// Where nothing was sent.
    pub(in crate::proxy) fn send(
        &self,
        request: Request<()>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.link.requests.clone().send_request(request, ends)
    }

    /// Whether the connection has carried a request before: only then may a failure mean that it had been closed meanwhile.
    pub(in crate::proxy) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Gives it up after an exchange that ended well.
    pub(super) fn release(mut self, after: AfterUse) {
        self.is_done = match after {
            AfterUse::Keep | AfterUse::Rest => true,
            AfterUse::Close => false,
        };
    }

    /// Notes how the exchange failed: a connection that was silent for all of a timeout is probably dead, and gets no more
    /// requests.
    pub(in crate::proxy) fn note(&self, failure: &Failure) {
        if matches!(failure, Failure::UpstreamLate) && self.link.state.heard.bytes() == self.heard_bytes {
            self.link.state.is_over.set(true);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_done {
            let given_up = &self.link.state.given_up;
            given_up.set(given_up.get() + 1);
        }
        self.link.leave();
    }
}

/// What we tell the upstream, and hold it to.
fn settings() -> client::Builder {
    let mut settings = client::Builder::new();
    settings
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES)
        .max_send_buffer_size(OUTPUT_BYTES_MAX)
        .data_frame_budget(SMALL_FRAMES_BYTES)
        // All of them are remembered for as long as the connection lives: answers that were on their way are ignored.
        .max_concurrent_reset_streams(GIVEN_UP_MAX + STREAMS_MAX)
        .reset_stream_duration(Duration::MAX);
    settings
}

/// Drives one connection: its task's state.
struct Driver {
    transport: client::Connection<Watched<Stream>, Bytes>,
    pings: Option<PingPong>,
    state: Rc<State>,
    changed: Rc<Notify>,
    stall: Stall,
    flood: Flood,
    /// How long the upstream may take no bytes.
    stalls_for: Duration,
    /// What had come when it last said something, and when that was.
    heard_bytes: u64,
    heard_at: Instant,
    pinged_at: Option<Instant>,
    awaits_pong: bool,
    alarm: Alarm,
    /// Given back when the connection has closed, however long that takes.
    _slot: OwnedSemaphorePermit,
}

/// What a connection is closed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// The upstream takes no bytes.
    Stall,
    /// It did not answer a PING.
    Pong,
    /// Nothing: it is to be asked.
    Ping,
}

impl Driver {
    /// Ready once the upstream's SETTINGS came.
    fn poll_settings(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        if let Poll::Ready(ended) = Pin::new(&mut self.transport).poll(cx) {
            let closed = || h2::Error::from(h2::Reason::NO_ERROR);
            return Poll::Ready(Err(ended.err().unwrap_or_else(closed)));
        }
        self.state.limit.set(self.transport.max_concurrent_send_streams());
        if self.state.heard.bytes() < FRAME_HEADER_BYTES { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Moves everything on. Ready when the connection is over; whatever is still under way on it ends with it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        static LINES: Throttle = Throttle::new();
        if let Poll::Ready(ended) = Pin::new(&mut self.transport).poll(cx) {
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP/2 connection to an upstream failed");
            }
            return Poll::Ready(());
        }
        let limit = self.transport.max_concurrent_send_streams();
        if self.state.limit.replace(limit) < limit {
            self.changed.notify_one();
        }
        if self.flood.is_over() {
            LINES.speak(|suppressed| {
                tracing::warn!(
                    suppressed,
                    "an upstream floods its connection with frames that ask for nothing"
                );
            });
            return Poll::Ready(());
        }
        self.watch_clock(cx)
    }

    fn watch_clock(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.listen(cx);
        while let Some((deadline, due)) = self.next_due() {
            self.alarm.set(deadline);
            ready!(self.alarm.poll(cx));
            match due {
                Due::Stall | Due::Pong => return Poll::Ready(()),
                Due::Ping => self.ping(cx),
            }
        }
        Poll::Pending
    }

    /// Takes note of what came.
    fn listen(&mut self, cx: &mut Context<'_>) {
        let bytes = self.state.heard.bytes();
        if self.heard_bytes != bytes {
            (self.heard_bytes, self.heard_at) = (bytes, Instant::now());
        }
        if self.awaits_pong
            && let Some(pings) = &mut self.pings
        {
            self.awaits_pong = pings.poll_pong(cx).is_pending();
        }
    }

    fn next_due(&self) -> Option<(Instant, Due)> {
        let stall = self.stall.since().map(|since| (since + self.stalls_for, Due::Stall));
        let question = match self.pinged_at {
            Some(pinged_at) if self.awaits_pong => Some((pinged_at + PONG_WITHIN, Due::Pong)),
            _ if self.state.streams.get() == 0 => None,
            pinged_at => {
                let silent_since = self.heard_at.max(self.state.busy_since.get());
                let again = pinged_at.map_or(silent_since, |at| at + PING_EVERY);
                Some(((silent_since + PING_AFTER).max(again), Due::Ping))
            }
        };
        stall.into_iter().chain(question).min_by_key(|(deadline, _)| *deadline)
    }

    fn ping(&mut self, cx: &mut Context<'_>) {
        let Some(pings) = &mut self.pings else { return };
        self.pinged_at = Some(Instant::now());
        self.awaits_pong = pings.send_ping(Ping::opaque()).is_ok() && pings.poll_pong(cx).is_pending();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.state.is_over.set(true);
        self.changed.notify_one();
    }
}

/// What the upstream said in place of SETTINGS, for the log.
pub(super) fn described(error: &h2::Error) -> String {
    match error.get_io().map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) => "it closed at once".to_owned(),
        _ if error.reason() == Some(h2::Reason::NO_ERROR) => "it closed at once".to_owned(),
        _ => error.to_string(),
    }
}
