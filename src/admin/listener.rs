//! The admin listener: HTTP/1.1 with keep-alive, in cleartext or TLS, for the admin API and the console.
//!
//! Whoever may connect can hold connections open, so there are bounds: on connections, on those of one address, on heads,
//! bodies and times. Where there is no room, the connection that did nothing for longest makes it.

use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError, Router,
    body::{Body, HttpBody},
    extract::DefaultBodyLimit,
    http::{Request, StatusCode, request},
    response::Response,
};
use bytes::Bytes;
use futures_util::FutureExt;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tower::{Service, ServiceExt};

use super::{
    guard::{BODY_BYTES_MAX, Ends, Guard, into_answer},
    problem::Problem,
};
use crate::{
    net::{
        drain::{Phase, PhaseReceiver},
        listener::{Accepted, Listener},
        stream::{Address, Stream},
        tls::CertificateStore,
    },
    policy::reason::Reason,
    telemetry::throttle::Throttle,
};

/// Connections at once, where the process may open enough files.
pub const CONNECTIONS_MAX: usize = 512;

/// Connections at once from one address. Trusted proxies and Unix sockets stand for many and are not counted.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 64;

/// From accepting a connection, or the end of its last answer, to the last byte of a head; and for a TLS handshake.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest request head.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// From the head of a request to that of its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for a request that asks to wait (`?wait=`), for 60 s at the most, and then still has to be answered.
const WAITING_REQUEST_TIMEOUT: Duration = Duration::from_secs(65);

/// From one begin or end of a request to the next; a client that does not take its answer is cut off then.
const STALL_TIMEOUT: Duration = Duration::from_mins(2);

/// What the listener serves, and by which rules.
#[derive(Debug)]
pub struct AdminService {
    /// What it serves.
    pub router: Router,
    /// Who is let in.
    pub guard: Guard,
    /// Its certificates; `None` is cleartext.
    pub certificates: Option<Arc<CertificateStore>>,
    /// Connections at once.
    pub connections: usize,
    /// What the log calls it.
    pub name: &'static str,
}

/// [`CONNECTIONS_MAX`], or less where only `open_files` may be open: these come out of what clients leave free.
pub fn connections_within(open_files: usize) -> usize {
    CONNECTIONS_MAX.min((open_files / 16).max(8))
}

/// Answers on `listener` until the phase is [`Phase::Draining`]; then requests under way end, until [`Phase::Forced`].
/// A handler finds who asks as the extension [`Peer`](super::guard::Peer).
pub async fn serve(mut listener: Listener, service: AdminService, mut phases: PhaseReceiver) {
    let AdminService { router, guard, certificates, connections, name } = service;
    let door = Door {
        router: router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)),
        guard: Arc::new(guard),
        certificates,
        phases: phases.clone(),
        name,
    };
    let mut tasks = JoinSet::new();
    let mut open = OpenConnections { most: connections, open: Vec::new() };
    loop {
        tokio::select! {
            biased;
            () = reached(&mut phases, Phase::Draining) => break,
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept() => {
                let address = door.counted_address(accepted.peer);
                if open.make_room(address) {
                    let activity = Arc::new(Activity::default());
                    let task = tasks.spawn(door.clone().serve(accepted, Arc::clone(&activity)));
                    open.add(OpenConnection { address, activity, task });
                }
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = async { while tasks.join_next().await.is_some() {} } => {}
        () = reached(&mut phases, Phase::Forced) => {}
    }
}

async fn reached(phases: &mut PhaseReceiver, phase: Phase) {
    // An error is the end of the process: the last sender is gone.
    let _ = phases.wait_for(|now| *now >= phase).await;
}

/// Whether a connection serves a request, and since when.
#[derive(Debug)]
struct Activity(Mutex<(bool, Instant)>);

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new((false, Instant::now())))
    }
}

impl Activity {
    fn set(&self, is_busy: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (is_busy, Instant::now());
    }

    fn get(&self) -> (bool, Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once nothing began or ended for [`STALL_TIMEOUT`].
    async fn stalled(&self) {
        loop {
            let (_, since) = self.get();
            if since.elapsed() >= STALL_TIMEOUT {
                return;
            }
            sleep_until(since + STALL_TIMEOUT).await;
        }
    }
}

#[derive(Debug)]
struct OpenConnection {
    /// `None` where it is not counted.
    address: Option<IpAddr>,
    activity: Arc<Activity>,
    task: AbortHandle,
}

/// The connections that are open, at most `most`.
#[derive(Debug)]
struct OpenConnections {
    most: usize,
    open: Vec<OpenConnection>,
}

impl OpenConnections {
    /// Whether there is room for a connection of `address`, perhaps because an idle one was closed for it.
    fn make_room(&mut self, address: Option<IpAddr>) -> bool {
        self.open.retain(|one| !one.task.is_finished());
        let of_address = |one: &OpenConnection| address.is_some() && one.address == address;
        if self.open.iter().filter(|one| of_address(one)).count() >= CONNECTIONS_PER_ADDRESS_MAX {
            return self.close_idle(of_address);
        }
        self.open.len() < self.most || self.close_idle(|_| true)
    }

    /// Closes the connection that was idle for longest, among those that `may_go`.
    fn close_idle(&mut self, may_go: impl Fn(&OpenConnection) -> bool) -> bool {
        let idle = self.open.iter().enumerate().filter(|(_, one)| may_go(one)).filter_map(|(at, one)| {
            let (is_busy, since) = one.activity.get();
            (!is_busy).then_some((since, at))
        });
        let Some((_, at)) = idle.min() else { return false };
        self.open.remove(at).task.abort();
        true
    }

    fn add(&mut self, connection: OpenConnection) {
        self.open.push(connection);
    }
}

/// What every connection shares.
#[derive(Debug, Clone)]
struct Door {
    router: Router,
    guard: Arc<Guard>,
    certificates: Option<Arc<CertificateStore>>,
    phases: PhaseReceiver,
    name: &'static str,
}

impl Door {
    /// The address that a connection counts for.
    fn counted_address(&self, peer: Address) -> Option<IpAddr> {
        match peer {
            Address::Unix => None,
            Address::Ip(address) => {
                let address = address.ip();
                let is_proxy = self.guard.trusted_proxies().iter().any(|net| net.contains(&address));
                (!is_proxy).then_some(address)
            }
        }
    }

    /// Serves one connection to its end. An error is the peer's: it left, was late, or sent no HTTP.
    async fn serve(self, accepted: Accepted, activity: Arc<Activity>) {
        static LINES: Throttle = Throttle::new();
        let Accepted { stream, peer } = accepted;
        let local = match stream.local_address() {
            Ok(Address::Ip(address)) => Some(address),
            Ok(Address::Unix) | Err(_) => None,
        };
        match timeout(HEAD_TIMEOUT, self.secure(stream)).await {
            Ok(Ok(stream)) => self.speak(stream, Ends { peer, local }, activity).await,
            Ok(Err(error)) => LINES.speak(|suppressed| {
                tracing::info!(
                    suppressed, client = %peer, %error, "no TLS connection with a client of the {} listener", self.name
                );
            }),
            Err(_) => {}
        }
    }

    async fn secure(&self, stream: Stream) -> io::Result<Stream> {
        match &self.certificates {
            Some(certificates) => certificates.accept(stream).await,
            None => Ok(stream),
        }
    }

    async fn speak(self, stream: Stream, ends: Ends, activity: Arc<Activity>) {
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX);
        let mut phases = self.phases.clone();
        let requests = Requests {
            router: self.router,
            guard: self.guard,
            ends,
            activity: Arc::clone(&activity),
            name: self.name,
        };
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(requests));
        let mut connection = pin!(connection);
        let served = async {
            tokio::select! {
                _ = connection.as_mut() => return,
                () = reached(&mut phases, Phase::Draining) => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        };
        tokio::select! {
            () = served => {}
            () = activity.stalled() => {}
        }
    }
}

/// The requests of one connection.
#[derive(Debug, Clone)]
struct Requests {
    router: Router,
    guard: Arc<Guard>,
    ends: Ends,
    activity: Arc<Activity>,
    name: &'static str,
}

impl<B> Service<Request<B>> for Requests
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let requests = self.clone();
        Box::pin(async move { Ok(requests.answer(request.map(Body::new)).await) })
    }
}

impl Requests {
    async fn answer(self, request: Request<Body>) -> Response {
        self.activity.set(true);
        let (mut head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let answer = match self.guard.admit(&head, &self.ends) {
            Ok(peer) => {
                head.extensions.insert(peer);
                handle(self.router, head, body, self.name).await
            }
            Err(problem) => Err(problem),
        };
        let answer = answer.unwrap_or_else(|problem| into_answer(problem, &path));
        self.activity.set(false);
        self.guard.dress(answer, &path)
    }
}

/// What the handler answers, in time and without a panic.
async fn handle(router: Router, head: request::Parts, body: Body, name: &str) -> Result<Response, Problem> {
    let (method, path) = (head.method.clone(), head.uri.path().to_owned());
    let patience = patience(head.uri.query());
    // Nothing that outlives the request is left half changed: what handlers share is behind locks and transactions.
    let handler = AssertUnwindSafe(router.oneshot(Request::from_parts(head, body))).catch_unwind();
    match timeout(patience, handler).await {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Err(_)) => {
            tracing::error!(%method, path, "a request to the {name} listener panicked; please report this");
            Err(internal())
        }
        Err(_) => {
            tracing::warn!(%method, path, patience_s = patience.as_secs(), "a request to the {name} listener took too long");
            Err(too_slow())
        }
    }
}

/// How long a request with this query may take.
fn patience(query: Option<&str>) -> Duration {
    let waits = query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("wait=")));
    if waits { WAITING_REQUEST_TIMEOUT } else { REQUEST_TIMEOUT }
}

fn too_slow() -> Problem {
    let detail =
        "The request took too long and was given up. What it asked for may have happened nonetheless.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "Timeout", detail)
}

fn internal() -> Problem {
    Problem::of(Reason::Internal, "The gateway made a mistake; its log says more.")
}
