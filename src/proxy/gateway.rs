//! One request, top to bottom. Start reading at `Gateway::handle`.

use std::{
    cell::RefCell,
    future::poll_fn,
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    clock::{self, Clock, SystemClock},
    config::model::{AuthzProtocol, Forwarding, ListenerConfig, Serves, UpstreamConfig},
    gate::{self, Allowance, Denial, FoundKey, Judgement, Request, Verdict},
    http1::framing::{BodyLength, connection_tokens},
    limit::{
        cells::Hold,
        worker::{RequestLimits, WorkerLimits},
    },
    live::{Live, LiveReader, Published},
    message::{RequestHead, Version},
    net::client_addr::client_address,
    policy::{decide::Permit, reason::Reason, route::Route},
    telemetry::{
        outcome::{KeyUse, OutcomeGuard},
        throttle::Throttle,
        trace_context::{RequestId, TraceId, TraceParent},
        usage::SecretSlot,
        worker::WorkerTelemetry,
    },
};

use super::{
    alarm::Alarm,
    answer::{Answer, Form},
    assertion::AssertionCache,
    client::{Client, HeadFault, Peer},
    course::Course,
    ending::{cut, deliver, fail, finish, refuse_unreachable},
    exchange::Exchange,
    exchange_http2::Http2Exchange,
    failure::{Cut, Failure},
    grpc,
    headers::{Composition, CorsFields, Signed},
    site::Site,
    underway::{Register, Underway},
    upstream::{Pool, Upstreams, Way},
};

/// One worker's gate: what is in force, its pools, its counters. Stays on its worker's thread.
#[derive(Debug)]
pub struct Gateway {
    pub(super) live: RefCell<LiveReader>,
    lease: Live,
    site: RefCell<Rc<Site>>,
    upstreams: Upstreams,
    pub(super) limits: WorkerLimits,
    pub(super) assertions: RefCell<AssertionCache>,
    pub(super) register: Rc<Register>,
    pub(super) telemetry: Rc<WorkerTelemetry>,
}

/// A request that policy permits, composed and ready to be sent. Made of a [`Permit`] and nothing else, and all that
/// [`Exchange`] sends.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the request")]
pub(super) struct Outgoing {
    pub(super) head: Vec<u8>,
    pub(super) body: BodyLength,
    pub(super) expects_continue: bool,
    pub(super) upgrade: bool,
    pub(super) body_bytes_max: u64,
    /// Whether the route says that request trailers go on.
    pub(super) forwards_trailers: bool,
    pub(super) cors: Option<CorsFields>,
    pub(super) request_id: RequestId,
    pub(super) site: Rc<Site>,
    pub(super) pool: Rc<Pool>,
    is_head: bool,
    is_idempotent: bool,
    pub(super) form: Form,
    /// How long a call of gRPC waits, as it states itself.
    pub(super) grpc_timeout: Option<Duration>,
    /// `None` of a public route, and of a request that is nobody's.
    pub(super) underway: Option<Underway>,
    /// What is left to its key, where that is limited.
    pub(super) allowance: Option<Allowance>,
    /// Its place among the requests of its key at once.
    hold: Option<Hold>,
}

impl Outgoing {
    /// Ready, with the reason, once the key is good for the request no longer.
    pub(super) fn poll_cut(&self, cx: &mut task::Context<'_>) -> Poll<Reason> {
        self.underway.as_ref().map_or(Poll::Pending, |underway| underway.poll_cut(cx))
    }

    /// The upstream it goes to.
    pub(super) fn upstream(&self) -> &UpstreamConfig {
        &self.pool.config
    }

    /// The method as far as the length of the answer depends on it.
    pub(super) fn response_method(&self) -> &'static str {
        if self.is_head { "HEAD" } else { "GET" }
    }
}

/// What becomes of a request.
enum Admission {
    Forward(Box<Outgoing>),
    Answer(Answer),
    Refuse(Answer, Reason, Close),
}

/// Whether a connection can serve another request after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    /// The request had no one reading: nothing after it can be trusted.
    Always,
    /// If its body was not read.
    IfBodyIsLeft,
}

/// What was learnt of a request, and is needed for whatever it is answered with.
struct Context<'a> {
    published: &'a Arc<Published>,
    site: &'a Rc<Site>,
    peer: &'a Peer,
    request_id: RequestId,
    form: Form,
}

impl Gateway {
    /// The gate of one worker.
    pub fn new(live: &Live, upstreams: Upstreams, telemetry: Rc<WorkerTelemetry>) -> Rc<Self> {
        let mut reader = live.reader();
        let config = Arc::clone(&reader.load().config);
        let site = Site::new(config, &upstreams, &telemetry, None);
        Rc::new(Self {
            live: RefCell::new(reader),
            lease: live.clone(),
            site: RefCell::new(Rc::new(site)),
            upstreams,
            limits: WorkerLimits::new(live.limits().clone()),
            assertions: RefCell::default(),
            register: Rc::default(),
            telemetry,
        })
    }

    /// The listener number `index` of the config in force; what a restart must change stays as it was bound.
    pub(super) fn listener(&self, index: usize) -> Arc<ListenerConfig> {
        let mut live = self.live.borrow_mut();
        let listeners = &live.load().config.listeners;
        Arc::clone(listeners.get(index).unwrap_or(&listeners[0]))
    }

    /// Serves one request of `client`: judges its head, and forwards it or answers it; at a door, tells what the gateway
    /// would do. Infallible: whatever happens becomes an answer, or the end of the connection. Emits one outcome.
    ///
    /// Returns whether the client's connection may carry another request.
    pub(super) async fn handle<C: Client>(self: &Rc<Self>, client: &mut C, alarm: &mut Alarm) -> bool {
        match client.peer().listener.serves {
            Serves::Gateway => self.serve(client, alarm).await,
            Serves::ForwardAuth(family) => self.answer_forward_auth(client, family, alarm).await,
            Serves::ExtAuthz(AuthzProtocol::Http) => self.answer_http_check(client, alarm).await,
            Serves::ExtAuthz(AuthzProtocol::Grpc) => self.answer_grpc_check(client, alarm).await,
        }
    }

    async fn serve<C: Client>(self: &Rc<Self>, client: &mut C, alarm: &mut Alarm) -> bool {
        let mut outcome = self.telemetry.begin(client.started());
        let (admission, body) = self.admit(client, &mut outcome);
        client.accept_head(body);
        match admission {
            Admission::Forward(outgoing) => self.forward(client, &outgoing, outcome, alarm).await,
            Admission::Answer(answer) => {
                let close = client.leaves_body();
                let sent = deliver(client, &answer, close, alarm).await;
                outcome.answered(answer.status);
                sent && !close
            }
            Admission::Refuse(answer, reason, close) => {
                let close = close == Close::Always || client.leaves_body();
                let sent = deliver(client, &answer, close, alarm).await;
                outcome.refused(reason, if sent { answer.status } else { 0 });
                sent && !close
            }
        }
    }

    /// From the head alone, before anything of the body is read, to what becomes of the request.
    fn admit<C: Client>(&self, client: &C, outcome: &mut OutcomeGuard) -> (Admission, BodyLength) {
        let mut live = self.live.borrow_mut();
        let published = live.load();
        let site = self.site_of(published);
        let peer = client.peer();
        let mut context = Context {
            published,
            site: &site,
            peer,
            request_id: self.telemetry.request_id(client.started()),
            form: Form::default(),
        };
        let head = match client.head() {
            Ok(head) => head,
            Err(fault) => {
                let denial = head_denial(fault);
                outcome.decided(published.revision, None);
                outcome.identified(context.request_id, TraceId::default());
                return (context.refuse(&denial, None, Close::Always), BodyLength::Empty);
            }
        };
        context.form = Form::of(head.method, &head.fields);
        if let Some(id) = trusted_request_id(&head, peer) {
            context.request_id = id;
        }
        let parent = head.fields.only("traceparent").ok().flatten().and_then(TraceParent::parse);
        let parent = parent.filter(|_| published.config.continue_traces);
        let trace = self.telemetry.trace(parent);
        outcome.identified(context.request_id, trace.trace_id);

        let client_address =
            client_address(peer.address, head.fields.all("x-forwarded-for"), &peer.listener.trusted_proxies);
        outcome.request(head.method, head.target, *client_address.as_ref().unwrap_or(&peer.address));
        let policy = &published.config.policy;
        let read = client_address
            .map_err(|_| Denial::malformed_client_address())
            .and_then(|address| Request::read(&head, policy).map(|request| (request, address)));
        let (request, address) = match read {
            Ok(read) => read,
            Err(denial) => {
                outcome.decided(published.revision, None);
                return (context.refuse(&denial, None, Close::Always), BodyLength::Empty);
            }
        };
        let body = request.body;
        let now = SystemClock.now();
        let mut limiter = self.limits.for_request(address, published.config.failed_attempts);
        let judgement = self.judge(published, &request, address, now, &mut limiter);
        outcome.decided(published.revision, judgement.key.map(key_use));
        let Judgement { verdict, route, key, strip_credential, allowance } = judgement;
        let origin =
            Origin { client: address, strip_credential, trace, continues_trace: parent.is_some(), now };
        let admission = match verdict {
            Err(denial) => {
                outcome.routed(route.map_or("", |route| &route.pattern), None);
                self.count_limited(&denial, &site, address);
                let cors = if denial.reason == Reason::NotFound { None } else { route };
                context.refuse_for(&denial, cors, &head)
            }
            Ok(Verdict::ServerOptions) => Admission::Answer(Answer::server_options(&context.request_id)),
            Ok(Verdict::Preflight(route)) => {
                outcome.routed(&route.pattern, None);
                context.preflight(route, &head, &request)
            }
            Ok(Verdict::Forward(permit)) => {
                let of_key = OfKey { key: key.as_ref(), allowance, hold: limiter.hold };
                self.admit_permitted(&permit, of_key, &context, (&head, &request, &origin), outcome)
            }
            Ok(Verdict::Observe(permit, denial)) => {
                outcome.observed(denial.reason);
                // Nobody's request: no key can end it.
                let permit = permit.as_anonymous();
                self.admit_permitted(permit, OfKey::default(), &context, (&head, &request, &origin), outcome)
            }
        };
        (admission, body)
    }

    /// The verdict of what is in force at `now`. In row 8 `limiter` counts the request.
    pub(super) fn judge<'s, 'b>(
        &self,
        published: &'s Published,
        request: &Request<'b>,
        client: IpAddr,
        now: Timestamp,
        limiter: &mut RequestLimits<'_>,
    ) -> Judgement<'s, 'b> {
        let (policy, keys) = (&published.config.policy, published.keys.as_ref());
        let judgement = gate::judge(policy, keys, request, client, now, limiter);
        // Looked at behind the verdict: however long that took, the keys were to be trusted when it was made.
        if !judgement.is_keyless() && !self.may_trust_keys() {
            return gate::judge(policy, None, request, client, SystemClock.now(), limiter);
        }
        judgement
    }

    /// Counts a refusal for a limit, and tells of addresses that try one bad key after the other.
    pub(super) fn count_limited(&self, denial: &Denial<'_>, site: &Site, client: IpAddr) {
        static LINES: Throttle = Throttle::new();
        match denial.exceeded {
            Some(exceeded) => {
                if let Some(plan) = site.plans.get(exceeded.plan.as_usize()) {
                    plan.exceeded(exceeded.limit);
                }
            }
            None if denial.reason == Reason::RateLimited => {
                self.telemetry.metrics().failed_attempts_limited.add(1);
                LINES.speak(|suppressed| tracing::warn!(suppressed, %client, "an address sends too many requests with bad keys"));
            }
            None => {}
        }
    }

    /// A request that may go on, composed; `of_key` is what it takes of its key.
    fn admit_permitted<'b>(
        &self,
        permit: &Permit<'_, 'b>,
        of_key: OfKey<'_>,
        context: &Context<'_>,
        (head, request, origin): (&RequestHead<'b>, &Request<'b>, &Origin),
        outcome: &mut OutcomeGuard,
    ) -> Admission {
        outcome.routed(&permit.route().pattern, permit.project());
        let ends_at = of_key.key.and_then(|key| key.ends_at);
        match context.compose(permit, head, request, origin, (&self.assertions, ends_at)) {
            Ok(mut outgoing) => {
                outcome.permitted(permit.needs().scopes);
                // In the same step as the verdict, so that no publication passes between them.
                (outgoing.allowance, outgoing.hold) = (of_key.allowance, of_key.hold);
                outgoing.underway =
                    of_key.key.map(|key| self.register.enter(key, permit, origin.client, context.site));
                Admission::Forward(Box::new(outgoing))
            }
            Err(denial) => context.refuse_for(&denial, Some(permit.route()), head),
        }
    }

    /// Whether the lease of the keys runs. Cost: one load where it is endless.
    fn may_trust_keys(&self) -> bool {
        let lease = self.lease.lease();
        lease.is_endless() || lease.runs_at(clock::boot())
    }

    /// This worker's view of the config in force, made anew when another one came into force.
    pub(super) fn site_of(&self, published: &Published) -> Rc<Site> {
        let mut site = self.site.borrow_mut();
        if !Arc::ptr_eq(&site.config, &published.config) {
            let next =
                Site::new(Arc::clone(&published.config), &self.upstreams, &self.telemetry, Some(&site));
            *site = Rc::new(next);
        }
        Rc::clone(&site)
    }

    /// Sends a permitted request on and brings back its answer; once more on another connection where the first one
    /// had been closed before the request reached anybody.
    async fn forward<C: Client>(
        &self,
        client: &mut C,
        outgoing: &Outgoing,
        mut outcome: OutcomeGuard,
        alarm: &mut Alarm,
    ) -> bool {
        let peer = Rc::clone(client.peer());
        let mut fresh = false;
        loop {
            let connected = tokio::select! {
                biased;
                connected = outgoing.pool.way(fresh, outgoing.upgrade) => connected,
                // Nobody waits in place of who has left.
                () = poll_fn(|cx| client.poll_gone(cx)) => {
                    return fail(client, outgoing, outcome, &Failure::ClientGone, false, alarm).await;
                }
                reason = poll_fn(|cx| outgoing.poll_cut(cx)) => {
                    return cut(client, outgoing, outcome, Cut::untold(reason), false, alarm).await;
                }
            };
            let mut upstream = match connected {
                Ok(upstream) => upstream,
                Err(unreachable) => {
                    return refuse_unreachable(client, outgoing, outcome, &unreachable, alarm).await;
                }
            };
            outcome.sent_upstream(&outgoing.pool.metrics, Instant::now().into_std());
            let timeouts = (&peer.listener.timeouts, &outgoing.pool.config.timeouts);
            let course = Course::new(client, outgoing, &mut outcome, alarm, timeouts);
            let (ended, committed) = match &mut upstream {
                Way::Http1(connection) => {
                    let mut exchange = Exchange::new(course, connection);
                    (poll_fn(|cx| exchange.poll(cx)).await, exchange.course.committed)
                }
                Way::Http2(place) => match Http2Exchange::begin(course, place) {
                    Ok(mut exchange) => (poll_fn(|cx| exchange.poll(cx)).await, exchange.course.committed),
                    Err(failure) => (Err(failure), false),
                },
            };
            match ended {
                Ok(finished) => return finish(client, outgoing, finished, upstream, outcome, alarm).await,
                Err(Failure::Unanswered) if upstream.is_reused() && outgoing.is_idempotent && !fresh => {
                    outgoing.pool.metrics.retries.add(1);
                    fresh = true;
                }
                Err(Failure::Unprocessed) if !fresh => {
                    outgoing.pool.metrics.retries.add(1);
                    fresh = true;
                }
                Err(failure) => {
                    upstream.abandon(&failure);
                    return fail(client, outgoing, outcome, &failure, committed, alarm).await;
                }
            }
        }
    }
}

/// Where a request comes from, for the head that goes upstream.
struct Origin {
    client: IpAddr,
    strip_credential: bool,
    trace: TraceParent,
    continues_trace: bool,
    /// When it was judged.
    now: Timestamp,
}

/// What a permitted request takes of its key; nothing of a public route, and where it is nobody's.
#[derive(Default)]
struct OfKey<'k> {
    key: Option<&'k FoundKey>,
    allowance: Option<Allowance>,
    hold: Option<Hold>,
}

impl Context<'_> {
    fn refuse(&self, denial: &Denial<'_>, cors: Option<CorsFields>, close: Close) -> Admission {
        let config = &self.published.config;
        let answer = Answer::refusal(denial, config, cors, &self.request_id, self.form);
        Admission::Refuse(answer, denial.reason, close)
    }

    /// Refuses a request of one reading; `route` gives the CORS of the answer.
    fn refuse_for(&self, denial: &Denial<'_>, route: Option<&Route>, head: &RequestHead<'_>) -> Admission {
        let config = &self.published.config;
        let cors = match route {
            Some(route) => config.forwardings[route.forwarding].cors.as_ref(),
            None => config.cors.as_ref(),
        };
        let origin = head.fields.only("origin").ok().flatten();
        let cors = cors.map(|cors| CorsFields::of_answer(cors, origin));
        let close = if denial.row == 1 { Close::Always } else { Close::IfBodyIsLeft };
        self.refuse(denial, cors, close)
    }

    fn preflight(&self, route: &Route, head: &RequestHead<'_>, request: &Request<'_>) -> Admission {
        let method = request.preflight_method.unwrap_or_default();
        let Some(cors) = &self.published.config.forwardings[route.forwarding].cors else {
            let denial = Denial::outside_table(Reason::Internal, "The request cannot be answered.");
            return self.refuse(&denial, None, Close::IfBodyIsLeft);
        };
        Admission::Answer(Answer::preflight(cors, &head.fields, method, &self.request_id))
    }

    /// Makes of a permitted request what is sent.
    fn compose<'b>(
        &self,
        permit: &Permit<'_, 'b>,
        head: &RequestHead<'b>,
        request: &Request<'b>,
        origin: &Origin,
        (assertions, ends_at): (&RefCell<AssertionCache>, Option<Timestamp>),
    ) -> Result<Outgoing, Denial<'static>> {
        let config = &self.published.config;
        let forwarding = &config.forwardings[permit.route().forwarding];
        let body_bytes_max = body_bytes_max(forwarding, self.peer, request.body)?;
        let pool = &self.site.pools[forwarding.upstream];
        let upgrade = forwarding.websocket && asks_for_websocket(head);
        let mut bytes = Vec::with_capacity(1024);
        let composition = Composition {
            permit,
            request,
            head,
            published: self.published,
            upstream: &pool.config,
            signed: Signed { assertions, ends_at, now: origin.now },
            peer: self.peer,
            client: origin.client,
            strip_credential: origin.strip_credential,
            upgrade,
            request_id: &self.request_id,
            trace: &origin.trace,
            continues_trace: origin.continues_trace,
        };
        composition.write(&mut bytes)?;
        let cors = forwarding.cors.as_ref();
        let sent_origin = head.fields.only("origin").ok().flatten();
        Ok(Outgoing {
            head: bytes,
            body: request.body,
            expects_continue: request.expects_continue,
            upgrade,
            body_bytes_max,
            forwards_trailers: forwarding.request_trailers,
            cors: cors.map(|cors| CorsFields::of_answer(cors, sent_origin)),
            request_id: self.request_id,
            site: Rc::clone(self.site),
            pool: Rc::clone(pool),
            is_head: head.method == "HEAD",
            is_idempotent: is_idempotent(head.method),
            form: self.form,
            grpc_timeout: if self.form.is_grpc { grpc::timeout(&head.fields) } else { None },
            underway: None,
            allowance: None,
            hold: None,
        })
    }
}

/// The most bytes that the body of a request may have on its route.
///
/// # Errors
/// Where it announces more.
pub(super) fn body_bytes_max(
    forwarding: &Forwarding,
    peer: &Peer,
    body: BodyLength,
) -> Result<u64, Denial<'static>> {
    let most = forwarding.body_bytes.unwrap_or(peer.listener.limits.body_bytes);
    match body {
        BodyLength::Known(length) if length > most => {
            let detail = "The body of the request is larger than permitted.";
            Err(Denial::outside_table(Reason::ContentTooLarge, detail))
        }
        BodyLength::Known(_) | BodyLength::Empty | BodyLength::Chunked | BodyLength::UntilClose => Ok(most),
    }
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}

/// The opening handshake of RFC 6455 §4.1, version 13 and no other protocol.
fn asks_for_websocket(head: &RequestHead<'_>) -> bool {
    let only = |name: &str| head.fields.only(name).ok().flatten();
    head.version == Version::Http11
        && head.method == "GET"
        && only("upgrade").is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        && only("sec-websocket-version") == Some(b"13")
        && only("sec-websocket-key").is_some()
        && connection_tokens(&head.fields).any(|option| option.eq_ignore_ascii_case(b"upgrade"))
}

pub(super) fn trusted_request_id(head: &RequestHead<'_>, peer: &Peer) -> Option<RequestId> {
    if !peer.is_trusted() {
        return None;
    }
    RequestId::accept(head.fields.only("x-request-id").ok().flatten()?)
}

pub(super) fn key_use(FoundKey { id, digest, is_previous_secret, .. }: FoundKey) -> KeyUse {
    let secret = if is_previous_secret { SecretSlot::Previous } else { SecretSlot::Current };
    KeyUse { id, secret, digest }
}

pub(super) fn head_denial(fault: HeadFault) -> Denial<'static> {
    match fault {
        HeadFault::Malformed(error) => Denial::malformed_head(error),
        HeadFault::Late => {
            Denial::outside_table(Reason::RequestTimeout, "The head of the request did not come in time.")
        }
        HeadFault::Http2(what) => {
            Denial::outside_table(Reason::BadRequest, format!("The request is malformed: {what}."))
        }
    }
}
