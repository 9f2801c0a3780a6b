//! Serves HTTP/2 (RFC 9113) to one client: many requests at once on one connection, each one [`Gateway::handle`].
//!
//! Frames, header compression and flow control are the `h2` crate's. It resets streams that are malformed at the level
//! of frames, and closes connections that flood it with CONTINUATION; frames that ask for nothing have a budget ([`frame_budget`]); requests whose header
//! section is wrong on a closer look are answered ([`client`]).
//!
//! Server push and WebSocket over HTTP/2 (RFC 8441) are not offered.

mod client;
pub(super) mod fields;
mod frame_budget;
pub(super) mod translate;
pub(super) mod watched;
pub(super) mod window;

use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, server};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    config::model::ListenerLimits,
    net::{
        drain::{LiveConnection, Phase},
        prelude::Replayed,
        stream::Stream,
    },
    telemetry::throttle::Throttle,
};

use self::{
    client::Http2Client,
    watched::{Flood, Stall, Watched},
};
use super::{alarm::Alarm, buffered::OUTPUT_BYTES_MAX, client::Peer, gateway::Gateway};

/// What a client may send ahead of us on one connection, and thus what its connection can hold of memory.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What it may send ahead on one stream: a quarter, so that one slow upstream does not hold up the others at once.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Each field line counts 32 bytes more than it has (RFC 9113 §6.5.2).
const FIELD_OVERHEAD: usize = 32;
/// Streams that the client reset before we saw them; with more at once the connection closes (CVE-2023-44487).
const UNSEEN_RESETS_MAX: usize = 20;
/// Streams that we reset and whose late frames are still told from wrong ones.
const OWN_RESETS_MAX: usize = 64;
/// Malformed streams that a connection may bring before it closes.
const MALFORMED_MAX: usize = 512;
/// Requests that the client may abandon beyond those it lets us answer, before the connection closes
/// (CVE-2023-44487: each costs a decision, and perhaps a connection to the upstream).
const ABANDONED_MAX: u32 = 200;

type Incoming = (http::Request<RecvStream>, server::SendResponse<Bytes>);

/// Serves `stream`, of which `ahead` was read before, until the client or we close, or the drain ends it.
pub(super) async fn serve(
    gateway: Rc<Gateway>,
    stream: Stream,
    ahead: BytesMut,
    peer: Rc<Peer>,
    live: LiveConnection,
) {
    let (stall, flood) = (Stall::default(), Flood::default());
    let io = Watched::new(Replayed::new(ahead.freeze(), stream), stall.clone(), flood.clone());
    let handshake = timeout(peer.listener.timeouts.head, settings(&peer.listener.limits).handshake(io));
    let shaken = tokio::select! {
        biased;
        () = live.reached(Phase::Forced) => return,
        shaken = handshake => shaken,
    };
    let Ok(Ok(transport)) = shaken else { return };
    let mut connection = Connection {
        transport,
        gateway,
        peer,
        live,
        requests: JoinSet::new(),
        abandoned: 0,
        stall,
        flood,
        alarm: Alarm::new(),
        quiet_since: Instant::now(),
        leaving: false,
    };
    poll_fn(|cx| connection.poll(cx)).await;
}

/// What we tell the client, and hold it to. A header section that is too large for `limits` is refused by
/// [`Http2Client`]; one that is larger than anything within them, already by the transport.
fn settings(limits: &ListenerLimits) -> server::Builder {
    let header_list_bytes = limits.head.head_bytes + limits.head.fields * FIELD_OVERHEAD;
    let mut settings = server::Builder::new();
    settings
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_window_size(STREAM_WINDOW)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(header_list_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(OUTPUT_BYTES_MAX)
        .max_pending_accept_reset_streams(UNSEEN_RESETS_MAX)
        .max_concurrent_reset_streams(OWN_RESETS_MAX)
        .max_local_error_reset_streams(Some(MALFORMED_MAX));
    settings
}

/// How a request ended, as far as its connection cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The client let us answer it.
    Answered,
    /// The client reset it, or left.
    Abandoned,
}

/// One connection with the requests that are being served on it.
struct Connection {
    transport: server::Connection<Watched<Replayed<Stream>>, Bytes>,
    gateway: Rc<Gateway>,
    peer: Rc<Peer>,
    live: LiveConnection,
    /// One task for each; they end with the connection.
    requests: JoinSet<Ended>,
    /// By how many more requests were abandoned than answered.
    abandoned: u32,
    stall: Stall,
    flood: Flood,
    alarm: Alarm,
    /// When the last request ended, or we began to leave.
    quiet_since: Instant,
    leaving: bool,
}

impl Connection {
    /// Moves everything on. Ready when the connection is over; whatever is still served on it ends with it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.live.poll_reached(Phase::Forced, cx).is_ready() {
            return Poll::Ready(());
        }
        if self.live.poll_reached(Phase::Draining, cx).is_ready() {
            self.leave();
        }
        loop {
            // Also behind the last one that was begun, or its end would wake nobody.
            self.settle_ended(cx);
            match self.poll_incoming(cx) {
                Poll::Ready(Some(Ok(incoming))) => self.begin(incoming),
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(client = %self.peer.address, %error, "an HTTP/2 connection failed");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending if self.flood.is_over() && !self.leaving => {
                    self.close_at_once("a client floods its connection with frames that ask for nothing");
                }
                Poll::Pending => return self.watch_clock(cx),
            }
        }
    }

    /// The next request, while there is room for it: streams that a client resets make room for new ones at once, but
    /// what we began for them ends a little later.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Incoming, h2::Error>>> {
        if self.requests.len() < self.peer.listener.limits.streams as usize {
            self.transport.poll_accept(cx)
        } else {
            self.transport.poll_closed(cx).map(|closed| closed.err().map(Err))
        }
    }

    fn begin(&mut self, (request, respond): Incoming) {
        let mut client = Http2Client::new(request, respond, Rc::clone(&self.peer));
        let gateway = Rc::clone(&self.gateway);
        self.requests.spawn_local(async move {
            gateway.handle(&mut client, &mut Alarm::new()).await;
            if client.is_gone() { Ended::Abandoned } else { Ended::Answered }
        });
    }

    /// Takes note of the requests that ended.
    fn settle_ended(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(ended)) = self.requests.poll_join_next(cx) {
            self.quiet_since = Instant::now();
            self.abandoned = match ended {
                Ok(Ended::Answered) => self.abandoned.saturating_sub(1),
                Ok(Ended::Abandoned) | Err(_) => self.abandoned + 1,
            };
        }
        if self.abandoned > ABANDONED_MAX && !self.leaving {
            self.close_at_once("a client abandons its requests again and again");
        }
    }

    /// Tells the client that it was too much, and closes whatever is still served.
    fn close_at_once(&mut self, why: &str) {
        static LINES: Throttle = Throttle::new();
        LINES.speak(|suppressed| tracing::info!(suppressed, client = %self.peer.address, "{why}"));
        self.leaving = true;
        self.transport.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    }

    /// Takes no new streams (GOAWAY, RFC 9113 §6.8), and closes once those there are have ended.
    fn leave(&mut self) {
        if !self.leaving {
            self.leaving = true;
            self.quiet_since = Instant::now();
            self.transport.graceful_shutdown();
        }
    }

    /// Nothing moved: a client that asks for nothing, or takes nothing, has until the deadline.
    fn watch_clock(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeouts = &self.peer.listener.timeouts;
        let quiet = self.requests.is_empty();
        let patience = if self.leaving { timeouts.idle } else { timeouts.keep_alive };
        let quiet_until = quiet.then(|| self.quiet_since + patience);
        let stalled_until = self.stall.since().map(|since| since + timeouts.idle);
        let Some(deadline) = quiet_until.into_iter().chain(stalled_until).min() else {
            return Poll::Pending;
        };
        self.alarm.set(deadline);
        if self.alarm.poll(cx).is_pending() {
            return Poll::Pending;
        }
        if self.leaving || stalled_until == Some(deadline) {
            return Poll::Ready(());
        }
        self.leave();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
