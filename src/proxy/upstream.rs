//! Ways to upstreams: a pool of connections per worker, and limits that hold across all workers.
//!
//! What an upstream's `max_connections` counts is permits: in HTTP/1.1 each connection has one, also while it idles; in HTTP/2
//! each request has one, whichever connection carries it, and there are no more connections than that either: each has a
//! slot from before it is dialled until it has closed.

mod dial;
mod link;

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    fmt, io,
    net::IpAddr,
    ops::{Deref, DerefMut},
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, timeout_at},
};

use crate::{
    config::model::{UpstreamConfig, UpstreamHttp},
    net::tls::Offer,
    telemetry::metrics::{UpstreamError, UpstreamMetrics},
};

use self::{
    dial::Dialer,
    link::{Connecting, Link, Links},
};
pub(super) use self::{dial::UpstreamSecurity, link::Place};
use super::{buffered::Buffered, failure::Failure};

/// How long a connection rests after an answer that had no body by its kind.
const RESTING: Duration = Duration::from_millis(20);

/// How often a worker that needs a connection asks the others to close what idles.
const WANTED_AGAIN: Duration = Duration::from_millis(100);

/// The limits of every upstream, shared by all workers.
#[derive(Debug, Clone, Default)]
pub struct Upstreams(Arc<Mutex<HashMap<UpstreamLimits, Arc<Shared>>>>);

/// An upstream and its limits: other limits are other counters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct UpstreamLimits {
    name: Box<str>,
    connections: usize,
    pending: usize,
}

/// What the workers share of one upstream.
#[derive(Debug)]
struct Shared {
    connections: Arc<Semaphore>,
    /// What connections of HTTP/2 take beside the permits of the requests on them.
    slots: Arc<Semaphore>,
    pending: AtomicUsize,
    pending_max: usize,
    /// Rung when somebody waits while connections idle in the pools of others.
    wanted: Notify,
}

impl Upstreams {
    fn shared(&self, config: &UpstreamConfig) -> Arc<Shared> {
        let limits = UpstreamLimits {
            name: config.name.clone(),
            connections: config.connections,
            pending: config.pending,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known, shared| *known == limits || Arc::strong_count(shared) > 1);
        let shared = all.entry(limits).or_insert_with(|| {
            let limit = || Arc::new(Semaphore::new(config.connections.min(Semaphore::MAX_PERMITS)));
            Arc::new(Shared {
                connections: limit(),
                slots: limit(),
                pending: AtomicUsize::new(0),
                pending_max: config.pending,
                wanted: Notify::new(),
            })
        });
        Arc::clone(shared)
    }
}

/// Why no connection to an upstream came about.
#[derive(Debug)]
pub(super) enum Unreachable {
    /// Its connections are all in use and as many requests wait as may.
    Full,
    /// No connection in time.
    Late,
    /// Its name does not resolve.
    Resolve(io::Error),
    /// It resolves to an address that is not connected to.
    Forbidden(IpAddr),
    /// It refuses.
    Connect(io::Error),
    /// It cannot be verified, or its TLS fails otherwise.
    Tls(io::Error),
    /// It does not speak HTTP/2.
    Protocol(h2::Error),
}

impl fmt::Display for Unreachable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => {
                formatter.write_str("its connections are all in use (max_connections, max_pending)")
            }
            Self::Late => formatter.write_str("no connection in time (timeouts.connect)"),
            Self::Resolve(error) => write!(formatter, "its name does not resolve: {error}"),
            Self::Forbidden(address) => {
                write!(
                    formatter,
                    "{address} is a link-local or metadata address (allow_link_local permits it)"
                )
            }
            Self::Connect(error) => write!(formatter, "it cannot be connected to: {error}"),
            Self::Tls(error) => write!(formatter, "TLS with it fails: {error}"),
            Self::Protocol(error) => {
                write!(formatter, "it does not speak HTTP/2 (http): {}", link::described(error))
            }
        }
    }
}

impl Unreachable {
    pub(super) fn error(&self) -> UpstreamError {
        match self {
            Self::Full => UpstreamError::Full,
            Self::Late => UpstreamError::ConnectTimeout,
            Self::Resolve(_) | Self::Forbidden(_) => UpstreamError::Resolve,
            Self::Connect(_) => UpstreamError::Connect,
            Self::Tls(_) => UpstreamError::Tls,
            Self::Protocol(_) => UpstreamError::Protocol,
        }
    }
}

/// One worker's connections to one upstream.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) config: UpstreamConfig,
    pub(super) metrics: UpstreamMetrics,
    offer: Offer,
    dialer: Dialer,
    links: Links,
    shared: Arc<Shared>,
    /// The most recently used at the end.
    idle: RefCell<Vec<Idle>>,
    waiting: RefCell<VecDeque<oneshot::Sender<Connection>>>,
}

/// How a request gets to its upstream.
#[derive(Debug)]
pub(super) enum Way {
    /// A connection of its own.
    Http1(InUse),
    /// A place on one that others use too.
    Http2(Place),
}

impl Way {
    /// Whether its connection has carried a request before: only then may a failure mean that it had been closed meanwhile.
    pub(super) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_reused(),
            Self::Http2(place) => place.is_reused(),
        }
    }

    /// Gives it back after an exchange that ended well.
    pub(super) fn release(self, after: AfterUse) {
        match self {
            Self::Http1(connection) => connection.release(after),
            Self::Http2(place) => place.release(after),
        }
    }

    /// Gives it up after one that failed.
    pub(super) fn abandon(self, failure: &Failure) {
        match self {
            Self::Http1(connection) => drop(connection),
            Self::Http2(place) => place.note(failure),
        }
    }
}

/// What a request that waited for its turn has got.
enum Turn {
    /// A connection.
    Connection(Connection),
    /// The right to one.
    Permit(OwnedSemaphorePermit),
}

/// Where a request that no connection of HTTP/2 had room for may go.
enum Room {
    /// On one that has room now.
    Link(Rc<Link>),
    /// On a new one.
    Slot(OwnedSemaphorePermit),
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    /// Whether it had to rest, and is asked of the system itself before it is used.
    rested: bool,
    from: Instant,
    until: Instant,
}

/// A connection and the right to have it.
#[derive(Debug)]
pub(super) struct Connection {
    io: Buffered,
    _permit: OwnedSemaphorePermit,
    /// How long the upstream keeps it open between requests, as far as known.
    keep_alive: Duration,
    /// Whether it has carried a request before.
    pub(super) reused: bool,
}

impl Connection {
    fn new(io: Buffered, permit: OwnedSemaphorePermit, config: &UpstreamConfig) -> Self {
        Self { io, _permit: permit, keep_alive: config.timeouts.keep_alive, reused: false }
    }

    /// Whether nothing came that nobody asked for, as far as the runtime knows: what is left over of a body comes with it.
    fn is_silent(&mut self) -> bool {
        self.io.input.is_empty() && self.io.stream.is_reusable()
    }
}

/// A connection that carries an exchange; counted until it is dropped or released.
#[derive(Debug)]
pub(super) struct InUse {
    connection: Option<Connection>,
    pool: Rc<Pool>,
}

impl Deref for InUse {
    type Target = Buffered;

    #[expect(clippy::expect_used, reason = "taken only by `release`, which consumes it")]
    fn deref(&self) -> &Buffered {
        &self.connection.as_ref().expect("in use").io
    }
}

impl DerefMut for InUse {
    #[expect(clippy::expect_used, reason = "taken only by `release`, which consumes it")]
    fn deref_mut(&mut self) -> &mut Buffered {
        &mut self.connection.as_mut().expect("in use").io
    }
}

impl InUse {
    fn new(pool: &Rc<Pool>, connection: Connection) -> Self {
        pool.metrics.in_use.rise();
        Self { connection: Some(connection), pool: Rc::clone(pool) }
    }

    /// Whether it has carried a request before: only then may a failure mean that it had been closed meanwhile.
    pub(super) fn is_reused(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.reused)
    }

    /// Notes that the upstream closes it after `idle` (`Keep-Alive: timeout`).
    pub(super) fn kept_alive_for(&mut self, idle: Duration) {
        if let Some(connection) = &mut self.connection {
            connection.keep_alive = connection.keep_alive.min(idle);
        }
    }

    /// Gives it back, or closes it. [`AfterUse::Keep`] only after a request that was sent whole and a response that was
    /// read whole, with nothing left over.
    pub(super) fn release(mut self, after: AfterUse) {
        if let Some(mut connection) = self.connection.take() {
            connection.reused = true;
            connection.io.let_go();
            self.pool.metrics.in_use.fall();
            match after {
                AfterUse::Keep => Pool::hand_on(&self.pool, connection),
                AfterUse::Rest => self.pool.keep(connection, RESTING),
                AfterUse::Close => {}
            }
        }
    }
}

/// What becomes of a connection after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterUse {
    /// It may carry another request.
    Keep,
    /// It may, once it was silent for a while: of an answer that has no body by its kind, a sloppy upstream sends one.
    Rest,
    /// It must close; where it is a place on one that others use too, its request ended early, and that one stays open.
    Close,
}

impl Drop for InUse {
    fn drop(&mut self) {
        if self.connection.is_some() {
            self.pool.metrics.in_use.fall();
        }
    }
}

impl Pool {
    /// The pool of `config`.
    pub(super) fn new(
        config: UpstreamConfig,
        security: UpstreamSecurity,
        upstreams: &Upstreams,
        metrics: UpstreamMetrics,
    ) -> Rc<Self> {
        let shared = upstreams.shared(&config);
        let offer = match (config.http, &security) {
            (UpstreamHttp::Auto, UpstreamSecurity::Tls(_)) => Offer::Either,
            (UpstreamHttp::Auto, UpstreamSecurity::Clear | UpstreamSecurity::Broken)
            | (UpstreamHttp::Http1, _) => Offer::Http1,
            (UpstreamHttp::Http2, _) => Offer::Http2,
        };
        let pool = Rc::new(Self {
            config,
            metrics,
            offer,
            dialer: Dialer::new(security),
            links: Links::default(),
            shared,
            idle: RefCell::default(),
            waiting: RefCell::default(),
        });
        tokio::task::spawn_local(sweep(Rc::downgrade(&pool), Arc::clone(&pool.shared)));
        pool
    }

    /// A way for one request; `fresh` passes over idle connections, and an `upgrade` needs HTTP/1.1 (RFC 9113 §8.6).
    pub(super) async fn way(self: &Rc<Self>, fresh: bool, upgrade: bool) -> Result<Way, Unreachable> {
        match self.offer {
            Offer::Either if !upgrade => self.shared_way(fresh).await,
            Offer::Http2 => self.shared_way(fresh).await,
            Offer::Http1 | Offer::Either => self.connection(fresh).await.map(Way::Http1),
        }
    }

    /// An idle connection, else a new one, else the next one that is free. `fresh` passes over idle ones.
    async fn connection(self: &Rc<Self>, fresh: bool) -> Result<InUse, Unreachable> {
        if !fresh && let Some(connection) = self.take_idle() {
            return Ok(InUse::new(self, connection));
        }
        let deadline = Instant::now() + self.config.timeouts.connect;
        let connection = match self.turn(deadline).await? {
            Turn::Connection(connection) => connection,
            // Rare, and large: no request makes room for it before it is needed.
            Turn::Permit(permit) => Box::pin(self.connect(permit, deadline)).await?,
        };
        Ok(InUse::new(self, connection))
    }

    /// A place on a connection that speaks HTTP/2, which is made if there is none with room; a connection of its own where
    /// the upstream chose HTTP/1.1.
    async fn shared_way(self: &Rc<Self>, fresh: bool) -> Result<Way, Unreachable> {
        if !fresh && let Some(connection) = self.take_idle() {
            return Ok(Way::Http1(InUse::new(self, connection)));
        }
        let deadline = Instant::now() + self.config.timeouts.connect;
        let permit = match self.turn(deadline).await? {
            Turn::Connection(connection) => return Ok(Way::Http1(InUse::new(self, connection))),
            Turn::Permit(permit) => permit,
        };
        let way = loop {
            if let Some(link) = self.links.with_room() {
                break Way::Http2(link.place(permit));
            }
            if let Some(connecting) = self.links.connect() {
                let room =
                    timeout_at(deadline, Box::pin(self.room())).await.map_err(|_| Unreachable::Full)?;
                let slot = match room {
                    Room::Link(link) => break Way::Http2(link.place(permit)),
                    Room::Slot(slot) => slot,
                };
                let made = timeout_at(deadline, Box::pin(self.make(&connecting, permit, slot)));
                break made.await.map_err(|_| Unreachable::Late)??;
            }
            timeout_at(deadline, self.links.changed()).await.map_err(|_| Unreachable::Late)?;
        };
        self.links.pass_on();
        Ok(way)
    }

    /// The right to one more connection of HTTP/2, or a connection that has got room while there was none.
    async fn room(&self) -> Room {
        loop {
            if let Ok(slot) = Arc::clone(&self.shared.slots).try_acquire_owned() {
                return Room::Slot(slot);
            }
            // Again and again, since a worker that is busy does not hear it.
            self.shared.wanted.notify_waiters();
            tokio::select! {
                biased;
                Ok(slot) = Arc::clone(&self.shared.slots).acquire_owned() => return Room::Slot(slot),
                () = self.links.changed() => {}
                () = tokio::time::sleep(WANTED_AGAIN) => {}
            }
            if let Some(link) = self.links.with_room() {
                return Room::Link(link);
            }
        }
    }

    /// A new connection, in the version that the upstream chooses.
    async fn make(
        self: &Rc<Self>,
        connecting: &Connecting<'_>,
        permit: OwnedSemaphorePermit,
        slot: OwnedSemaphorePermit,
    ) -> Result<Way, Unreachable> {
        let began = Instant::now();
        let stream = self.dialer.dial(&self.config, self.offer).await?;
        let agreed = stream.alpn() == Some(b"h2");
        if stream.is_tls() && !agreed && self.offer == Offer::Http2 {
            return Err(Unreachable::Tls(io::Error::other("it does not agree to HTTP/2 (ALPN)")));
        }
        if agreed || self.offer == Offer::Http2 {
            let link = connecting.share(stream, slot, &self.config.timeouts, &self.metrics).await?;
            self.metrics.connect.observe(began.elapsed());
            return Ok(Way::Http2(link.place(permit)));
        }
        connecting.keep();
        self.metrics.connect.observe(began.elapsed());
        let connection = Connection::new(Buffered::new(stream, BytesMut::new()), permit, &self.config);
        Ok(Way::Http1(InUse::new(self, connection)))
    }

    fn take_idle(&self) -> Option<Connection> {
        let now = Instant::now();
        loop {
            let mut all = self.idle.borrow_mut();
            let at = all.iter().rposition(|idle| idle.from <= now)?;
            let mut idle = all.remove(at);
            self.metrics.idle.fall();
            let is_silent =
                idle.connection.is_silent() && (!idle.rested || idle.connection.io.stream.is_silent_now());
            if idle.until > now && is_silent {
                return Some(idle.connection);
            }
        }
    }

    /// To whoever waits for one, else to the idle ones.
    fn hand_on(pool: &Rc<Self>, mut connection: Connection) {
        loop {
            let Some(waiter) = pool.waiting.borrow_mut().pop_front() else { break };
            if !connection.is_silent() || !connection.io.stream.is_silent_now() {
                // Who was taken from the queue learns it by the closed channel, and connects anew with this permit.
                return;
            }
            match waiter.send(connection) {
                Ok(()) => return,
                Err(unsent) => connection = unsent,
            }
        }
        pool.keep(connection, Duration::ZERO);
    }

    fn keep(&self, connection: Connection, rest: Duration) {
        if self.shared.pending.load(Ordering::Relaxed) > 0 {
            // Somebody waits, here or at another worker: the permit is worth more than the connection.
            return;
        }
        let now = Instant::now();
        let idle = Idle {
            rested: !rest.is_zero(),
            from: now + rest,
            until: now + connection.keep_alive,
            connection,
        };
        self.metrics.idle.rise();
        self.idle.borrow_mut().push(idle);
    }

    /// A permit, or what another request has no use for any more.
    async fn turn(&self, deadline: Instant) -> Result<Turn, Unreachable> {
        match Arc::clone(&self.shared.connections).try_acquire_owned() {
            Ok(permit) => Ok(Turn::Permit(permit)),
            Err(_) => self.wait(deadline).await,
        }
    }

    async fn wait(&self, deadline: Instant) -> Result<Turn, Unreachable> {
        let _pending = Pending::enter(&self.shared).ok_or(Unreachable::Full)?;
        self.shared.wanted.notify_waiters();
        let (sender, released) = oneshot::channel();
        self.waiting.borrow_mut().push_back(sender);
        let _purge = Purge(self);
        let permit = Arc::clone(&self.shared.connections).acquire_owned();
        let waited = timeout_at(deadline, async {
            tokio::select! {
                biased;
                Ok(connection) = released => Turn::Connection(connection),
                Ok(permit) = permit => Turn::Permit(permit),
            }
        });
        waited.await.map_err(|_| Unreachable::Full)
    }

    async fn connect(
        &self,
        permit: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Result<Connection, Unreachable> {
        let began = Instant::now();
        let dialled = timeout_at(deadline, self.dialer.dial(&self.config, Offer::Http1));
        let stream = dialled.await.map_err(|_| Unreachable::Late)??;
        self.metrics.connect.observe(began.elapsed());
        Ok(Connection::new(Buffered::new(stream, BytesMut::new()), permit, &self.config))
    }

    fn close_expired(&self, all: bool) {
        let now = Instant::now();
        self.links.close_unused(all && self.shared.slots.available_permits() == 0);
        self.idle.borrow_mut().retain(|idle| {
            let keeps = !all && idle.until > now;
            if !keeps {
                self.metrics.idle.fall();
            }
            keeps
        });
    }
}

/// Takes those who no longer wait from the queue, when one of them ends.
struct Purge<'p>(&'p Pool);

impl Drop for Purge<'_> {
    fn drop(&mut self) {
        self.0.waiting.borrow_mut().retain(|waiter| !waiter.is_closed());
    }
}

/// A place among those who wait.
struct Pending<'s>(&'s Shared);

impl<'s> Pending<'s> {
    fn enter(shared: &'s Shared) -> Option<Self> {
        let before = shared.pending.fetch_add(1, Ordering::Relaxed);
        let place = Self(shared);
        (before < shared.pending_max).then_some(place)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Closes connections that idled too long, and all that idle when another worker waits for one.
async fn sweep(pool: std::rc::Weak<Pool>, shared: Arc<Shared>) {
    loop {
        let wanted = tokio::time::timeout(Duration::from_secs(1), shared.wanted.notified()).await.is_ok();
        let Some(pool) = pool.upgrade() else { return };
        pool.close_expired(wanted);
    }
}
