//! The health listener: `/livez`, `/readyz` and `/metrics` for probes and scrapers, and the public keys that assertions
//! are signed with.
//!
//! It answers any Host and asks for no key, so nothing here may show a secret, and nothing here may change anything.
//! One connection carries one request, so that a slow or forgotten peer holds a place for ten seconds at the most.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderName, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use jiff::Timestamp;
use serde::Serialize;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use super::jwks;
use crate::{
    clock::{self, Clock as _, SystemClock},
    config::reachable,
    live::Live,
    net::{
        drain::{Phase, Shutdown},
        listener::Listener,
        stream::Stream,
    },
    telemetry::metrics::{Metrics, SourceStatus},
};

/// Connections at once; for one more, the oldest is closed: an answer takes no time, so it waits for a slow peer.
pub const CONNECTIONS_MAX: usize = 256;

/// From the first byte of a request's head to its last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(1);

/// From accepting a connection to the last byte of its answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest request head.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// How long [`healthcheck`] waits for the whole answer.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// As much of an answer as [`healthcheck`] reads.
const HEALTHCHECK_BYTES_MAX: usize = 64 * 1024;

type Headers = [(HeaderName, &'static str); 2];

/// What the answers are made of.
#[derive(Clone, Debug)]
pub struct HealthState {
    /// Counts, and how each source stands.
    pub metrics: Metrics,
    /// What is in force.
    pub live: Live,
    /// Whether the gateway is about to end.
    pub shutdown: Shutdown,
}

/// Answers on `listener`, until the future is dropped; that closes every connection.
///
/// It goes on through the drain, so that probes see "not ready" instead of nothing.
pub async fn serve(mut listener: Listener, state: HealthState) {
    let router = router(state);
    let mut connections = JoinSet::new();
    let mut by_age = VecDeque::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                make_room(&mut by_age);
                by_age.push_back(connections.spawn(serve_connection(accepted.stream, router.clone())));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// So that whoever holds connections open cannot keep probes out.
fn make_room(by_age: &mut VecDeque<AbortHandle>) {
    if by_age.len() >= CONNECTIONS_MAX {
        by_age.retain(|connection| !connection.is_finished());
    }
    if by_age.len() >= CONNECTIONS_MAX
        && let Some(oldest) = by_age.pop_front()
    {
        oldest.abort();
    }
}

/// Serves one request. An error is the peer's: it left, was late, or sent no HTTP.
async fn serve_connection(stream: Stream, router: Router) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
}

fn router(state: HealthState) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route(jwks::PATH, get(keys))
        .with_state(state)
}

async fn livez() -> impl IntoResponse {
    (answer_headers("text/plain; charset=utf-8"), "ok\n")
}

async fn readyz(State(state): State<HealthState>) -> impl IntoResponse {
    let detail = Detail::of(&state);
    let status = if detail.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Strings, numbers and lists: serializing them cannot fail.
    let body = serde_json::to_string(&detail).unwrap_or_default();
    (status, answer_headers("application/json"), body + "\n")
}

async fn metrics(State(state): State<HealthState>) -> impl IntoResponse {
    (answer_headers(Metrics::CONTENT_TYPE), state.metrics.render())
}

async fn keys(State(state): State<HealthState>) -> Response {
    jwks::answer(&state.live.current().config)
}

fn answer_headers(content_type: &'static str) -> Headers {
    [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")]
}

/// The body of `/readyz`.
#[derive(Serialize)]
struct Detail {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    revision: u64,
    /// Keys that stay refused although their source says that they are good.
    #[serde(skip_serializing_if = "is_none")]
    revocations_undone: u64,
    /// Routes that forward what they would refuse.
    #[serde(skip_serializing_if = "is_none")]
    routes_observing: u64,
    sources: Vec<SourceDetail>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

#[derive(Serialize)]
struct SourceDetail {
    name: Box<str>,
    state: &'static str,
    since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Box<str>>,
}

impl Detail {
    /// A wrong source does not make the gateway unready: its last good content serves on.
    fn of(state: &HealthState) -> Self {
        let published = state.live.current();
        let reason = match state.shutdown.phase() {
            Phase::Leaving | Phase::Draining | Phase::Forced => Some("shutting_down"),
            Phase::Running if published.keys.is_none() => Some("no_keys"),
            Phase::Running if !state.live.lease().runs_at(clock::boot()) => Some("keys_stale"),
            Phase::Running => None,
        };
        Self {
            ready: reason.is_none(),
            reason,
            revision: published.revision,
            revocations_undone: state.metrics.revocations_undone(),
            routes_observing: published.config.policy.routes.routes_observing(SystemClock.now()),
            sources: state.metrics.sources().into_iter().map(SourceDetail::from).collect(),
        }
    }
}

impl From<SourceStatus> for SourceDetail {
    fn from(SourceStatus { name, since, problem }: SourceStatus) -> Self {
        let state = if problem.is_some() { "wrong" } else { "ok" };
        Self { name, state, since, problem }
    }
}

/// Why a gateway does not count as healthy. `Display` says it in one line.
#[derive(Debug)]
pub enum Unhealthy {
    /// No answer within two seconds, or none at all.
    Unreachable(SocketAddr, io::Error),
    /// What answers is no gateway's health listener.
    NotHttp(SocketAddr),
    /// It answers that it is not ready, with this status and detail.
    NotReady(u16, String),
}

/// Asks the health listener at `address` whether the gateway is ready, within two seconds; blocks. An unspecified
/// address (`0.0.0.0`, `[::]`), which is one to listen on, means this machine.
///
/// # Errors
/// [`Unhealthy`] unless `/readyz` answers 200.
pub fn healthcheck(address: SocketAddr) -> Result<(), Unhealthy> {
    let address = reachable(address);
    let answer = ask(address).map_err(|error| Unhealthy::Unreachable(address, error))?;
    match parse_answer(&String::from_utf8_lossy(&answer)) {
        Some((200, _)) => Ok(()),
        Some((status, detail)) => Err(Unhealthy::NotReady(status, detail.to_owned())),
        None => Err(Unhealthy::NotHttp(address)),
    }
}

fn ask(address: SocketAddr) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + HEALTHCHECK_TIMEOUT;
    let mut stream = TcpStream::connect_timeout(&address, HEALTHCHECK_TIMEOUT)?;
    stream.set_write_timeout(Some(HEALTHCHECK_TIMEOUT))?;
    stream.write_all(
        format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    while answer.len() < HEALTHCHECK_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk)? {
            0 => break,
            read => answer.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(answer)
}

/// Status and body, by the status line of RFC 9112 §4.
fn parse_answer(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.trim_end()))
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(address, error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    write!(f, "{address} does not answer within {} s", HEALTHCHECK_TIMEOUT.as_secs())
                }
                _ => write!(f, "{address} cannot be reached: {error}"),
            },
            Self::NotHttp(address) => write!(f, "{address} answers, but is no health listener"),
            Self::NotReady(status, detail) => write!(f, "not ready: {status} {detail}"),
        }
    }
}

impl std::error::Error for Unhealthy {}
