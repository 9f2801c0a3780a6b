//! One record per request, emitted exactly once: when its guard goes, however that comes about.

use std::{
    fmt::Display,
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
    time::{Duration, Instant},
};

use arrayvec::ArrayString;

use super::{
    access_log::{Choice, LineText},
    metrics::UpstreamMetrics,
    trace_context::{RequestId, TraceId},
    usage::{NeededScopes, SecretSlot},
    worker::WorkerTelemetry,
};
use crate::{
    clock,
    keys::digest::KeyDigest,
    policy::{reason::Reason, scope::ScopeSet},
};

/// A key's id, inline: at most 64 bytes.
pub type KeyId = ArrayString<64>;

/// Which side ended a request before its answer was whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortedBy {
    /// The client closed or reset.
    Client,
    /// The upstream broke off in the middle of its answer.
    Upstream,
    /// The gateway: a deadline or a limit.
    Gateway,
    /// The gateway, since the key was good for the request no longer.
    Policy,
}

impl AbortedBy {
    /// Every side.
    pub const ALL: [Self; 4] = [Self::Client, Self::Upstream, Self::Gateway, Self::Policy];

    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
            Self::Policy => "policy",
        }
    }
}

/// The kind of a door where another proxy asks about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// nginx `auth_request`, Traefik `forwardAuth`, Caddy `forward_auth`.
    ForwardAuth,
    /// External authorization of Envoy and Istio.
    ExtAuthz,
}

impl Door {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::ForwardAuth, Self::ExtAuthz];

    /// The name in metrics and logs, that of the door in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ForwardAuth => "forward_auth",
            Self::ExtAuthz => "ext_authz",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The upstream's answer reached the client whole.
    Forwarded,
    /// The gateway itself gave the answer that was asked for: `OPTIONS *`, a CORS preflight.
    Answered,
    /// A proxy that asked at a door was told that the request may go on.
    Permitted,
    /// The gateway refused.
    Refused(Reason),
    /// The answer was not delivered whole.
    Aborted(AbortedBy),
    /// The gateway ended the answer midway: the key was good for the request no longer, for this reason.
    Cut(Reason),
}

impl End {
    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Answered => "answered",
            Self::Permitted => "permitted",
            Self::Refused(_) => "refused",
            Self::Aborted(_) | Self::Cut(_) => "aborted",
        }
    }
}

/// The key a request was made with, once its digest was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUse {
    /// The key's id.
    pub id: KeyId,
    /// Which of its secrets.
    pub secret: SecretSlot,
    /// The digest of that secret.
    pub digest: KeyDigest,
}

/// What is known of a request when it ends. Text that only an access-log line needs is kept apart, and not at all
/// where no line can come of it.
#[derive(Debug)]
pub struct RequestOutcome {
    /// How it ended.
    pub end: End,
    /// The door where it was asked about; `None` where it came itself.
    pub door: Option<Door>,
    /// What it would have been refused for, where its route observes.
    pub observed: Option<Reason>,
    /// The status the client was sent; 0 if none was.
    pub status: u16,
    /// Whether the connection became a stream.
    pub upgraded: bool,
    /// The revision it was decided by.
    pub revision: u64,
    /// The client's address, as `trusted_proxies` tells it.
    pub client: IpAddr,
    /// The key, where one was found.
    pub key: Option<KeyUse>,
    /// The scopes it needed of the key, where it was permitted.
    pub needed: NeededScopes,
    /// The request id.
    pub request_id: RequestId,
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Body bytes from the client.
    pub received_bytes: u64,
    /// Body bytes to the client.
    pub sent_bytes: u64,
    /// From the first byte of the head to the end.
    pub duration: Duration,
    /// From sending the request upstream to the head of its answer.
    pub first_byte: Option<Duration>,
}

impl RequestOutcome {
    /// How it ended for its key, which was of no use where only an observing route let the request through.
    pub fn end_for_key(&self) -> End {
        self.observed.map_or(self.end, End::Refused)
    }
}

/// Holds the outcome of one request while it goes on, and emits it when dropped. There is no other way to emit one,
/// so each request that began is counted once: also when its future is dropped, and when a panic unwinds.
///
/// Lives on its worker's thread. A guard that is dropped unfinished tells of a request that the client aborted,
/// unless [`OutcomeGuard::aborts_by`] said otherwise.
#[derive(Debug)]
pub struct OutcomeGuard(Box<Open>);

/// What is known of a request that goes on. It is large, and its guard is handed from step to step.
#[derive(Debug)]
struct Open {
    worker: Rc<WorkerTelemetry>,
    started: Instant,
    sent_upstream: Option<Instant>,
    upstream: Option<UpstreamMetrics>,
    outcome: RequestOutcome,
    choice: Choice,
    text: Option<LineText>,
}

impl OutcomeGuard {
    /// A request whose head's first byte came at `started`. Cost with its emission: about
    /// 70 ns, a reading of the clock included; no allocation once the worker is warm.
    pub(super) fn new(worker: Rc<WorkerTelemetry>, started: Instant) -> Self {
        let (choice, text) = worker.choose_line();
        let outcome = RequestOutcome {
            end: End::Aborted(AbortedBy::Client),
            door: None,
            observed: None,
            status: 0,
            upgraded: false,
            revision: 0,
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            key: None,
            needed: NeededScopes::default(),
            request_id: RequestId::default(),
            trace_id: TraceId::default(),
            received_bytes: 0,
            sent_bytes: 0,
            duration: Duration::ZERO,
            first_byte: None,
        };
        Self(Box::new(Open { worker, started, sent_upstream: None, upstream: None, outcome, choice, text }))
    }

    /// States who asks and for what. `target` is the request target as sent; its query is never logged.
    pub fn request(&mut self, method: &str, target: &[u8], client: IpAddr) {
        self.0.outcome.client = client;
        if let Some(text) = &mut self.0.text {
            text.set_request(method, target);
        }
    }

    /// States that another proxy asks about it.
    pub fn asked_at(&mut self, door: Door) {
        self.0.outcome.door = Some(door);
    }

    /// States the ids it goes by.
    pub fn identified(&mut self, request_id: RequestId, trace_id: TraceId) {
        (self.0.outcome.request_id, self.0.outcome.trace_id) = (request_id, trace_id);
    }

    /// States the revision that decides it, and the key if its digest was found (also one that is refused).
    pub fn decided(&mut self, revision: u64, key: Option<KeyUse>) {
        (self.0.outcome.revision, self.0.outcome.key) = (revision, key);
    }

    /// It is permitted, and needs `scopes` of its key, by the table that [`WorkerTelemetry::set_scopes`] was last told of.
    pub fn permitted(&mut self, scopes: ScopeSet) {
        self.0.outcome.needed = self.0.worker.needed(scopes);
    }

    /// It is forwarded although it would be refused for `reason`: its route, which is stated next, observes.
    pub fn observed(&mut self, reason: Reason) {
        self.0.outcome.observed = Some(reason);
    }

    /// States what is wrong with it, for its line alone.
    pub fn has_problem(&mut self, problem: &dyn Display) {
        if let Some(text) = &mut self.0.text {
            text.set_problem(problem);
        }
    }

    /// States the route's pattern and the project it names.
    pub fn routed(&mut self, route: &str, project: Option<&str>) {
        if let Some(reason) = self.0.outcome.observed {
            self.0.worker.metrics().count_observed(route, reason);
        }
        if let Some(text) = &mut self.0.text {
            text.set_route(route, project);
        }
    }

    /// The request was sent to `upstream` at `at`; said again where it is retried.
    pub fn sent_upstream(&mut self, upstream: &UpstreamMetrics, at: Instant) {
        self.0.upstream = Some(upstream.clone());
        self.0.sent_upstream = Some(at);
    }

    /// The upstream's final head came at `at`, and its status goes to the client.
    pub fn responded(&mut self, status: u16, at: Instant) {
        self.0.outcome.status = status;
        if let (Some(upstream), Some(sent)) = (&self.0.upstream, self.0.sent_upstream) {
            let waited = at.saturating_duration_since(sent);
            upstream.responded(status, waited);
            self.0.outcome.first_byte = Some(waited);
        }
    }

    /// The connection became a stream.
    pub fn upgraded(&mut self) {
        if !self.0.outcome.upgraded {
            self.0.outcome.upgraded = true;
            self.0.worker.metrics().streams.rise();
        }
    }

    /// `bytes` of body came from the client. Counted at once, so that long streams are seen while they last.
    pub fn received(&mut self, bytes: usize) {
        self.0.outcome.received_bytes += bytes as u64;
        self.0.worker.metrics().received_bytes.add(bytes as u64);
    }

    /// `bytes` of body went to the client.
    pub fn sent(&mut self, bytes: usize) {
        self.0.outcome.sent_bytes += bytes as u64;
        self.0.worker.metrics().sent_bytes.add(bytes as u64);
    }

    /// From here on, a drop means that `by` ended it.
    pub fn aborts_by(&mut self, by: AbortedBy) {
        self.0.outcome.end = End::Aborted(by);
    }

    /// The upstream's answer was delivered whole.
    pub fn forwarded(mut self) {
        self.0.outcome.end = End::Forwarded;
    }

    /// The gateway gave the answer that was asked for, with `status`.
    pub fn answered(mut self, status: u16) {
        (self.0.outcome.end, self.0.outcome.status) = (End::Answered, status);
    }

    /// The proxy that asked was told that it may go on.
    pub fn permitted_to_go_on(mut self, status: u16) {
        (self.0.outcome.end, self.0.outcome.status) = (End::Permitted, status);
    }

    /// The gateway refused with `reason`; `status` is what was sent (a template may change it), 0 if nothing could be.
    pub fn refused(mut self, reason: Reason, status: u16) {
        (self.0.outcome.end, self.0.outcome.status) = (End::Refused(reason), status);
    }

    /// The gateway ended it midway, since a new request of its key would be refused with `reason`.
    pub fn cut(mut self, reason: Reason) {
        self.0.outcome.end = End::Cut(reason);
    }

    /// `by` ended it before the answer was whole.
    pub fn aborted(mut self, by: AbortedBy) {
        self.aborts_by(by);
    }
}

impl Drop for OutcomeGuard {
    fn drop(&mut self) {
        let ended = clock::monotonic();
        if std::thread::panicking() {
            self.0.outcome.end = End::Refused(Reason::Internal);
        }
        self.0.outcome.duration = ended.saturating_duration_since(self.0.started);
        if self.0.outcome.upgraded {
            self.0.worker.metrics().streams.fall();
        }
        let upstream = self.0.upstream.as_ref().map(UpstreamMetrics::name);
        self.0.worker.emit(&self.0.outcome, ended, upstream, self.0.choice, self.0.text.take());
    }
}
