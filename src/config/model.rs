//! The configuration as the rest of the program sees it: resolved, checked, complete. Each struct is one concern; the
//! doc of each field names its default and what it does.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

pub use super::raw::doors::{AuthzProtocol, HeaderFamily};
use super::{
    address::{ListenAddress, reachable},
    authority::{Authority, PublicUrl},
};
use crate::{
    assertion,
    gate::Policy,
    http1::parse::HeadLimits,
    keys::{build::KeyPolicy, caps::RoleCaps, rules::KeyRules, secret::Brand},
    policy::{plan::Quota, reason::Reason},
    store::{
        contract::WhenStale,
        database_url::{DatabaseUrl, PostgresUrl},
    },
};
pub use crate::{assertion::Assertions, gate::identity::IdentityHeaders};

/// Everything `keygate.yaml` says.
#[derive(Debug)]
pub struct Config {
    /// Where clients are served, at least one; behind them the doors where other proxies ask.
    pub listeners: Vec<Arc<ListenerConfig>>,
    /// Where probes and scrapers are served; default `127.0.0.1:8082`, `None` turns it off.
    pub health: Option<SocketAddr>,
    /// Where the admin API and the console are served; default `127.0.0.1:8081`, `None` turns them off.
    pub admin: Option<AdminConfig>,
    /// Where whoever shows a whole key ends it; default nowhere.
    pub possession: Option<PossessionConfig>,
    /// The upstreams, by name in the order of the file; at least one.
    pub upstreams: Vec<UpstreamConfig>,
    /// Where keys, people and projects come from.
    pub keys: KeySource,
    /// Folder for usage and revocations seen; `None` keeps them for the life of the process.
    pub state: Option<PathBuf>,
    /// The brand of keys that are made here; default `kg`.
    pub brand: Brand,
    /// What each role caps; default owner and admin everything, member `write`, viewer `read`.
    pub role_caps: RoleCaps,
    /// Routes, scopes, credentials: what the gate judges by.
    pub policy: Policy,
    /// What happens to permitted requests; indexed by `Route::forwarding`.
    pub forwardings: Vec<Forwarding>,
    /// Requests with a bad key that one address may send before they are slowed; `None`: any number. Default 1/s, and 100 at
    /// once.
    pub failed_attempts: Option<Quota>,
    /// Names of the identity headers.
    pub identity: IdentityHeaders,
    /// What upstreams are told signed; `None`: nothing.
    pub assertions: Option<Assertions>,
    /// Names with `_` or `.` that are forwarded although a back end may confuse them; lower case; default none.
    pub forwarded_headers: Vec<Box<str>>,
    /// Bodies of refusals in the API's own envelope, by status; `None` is the default for all.
    pub error_templates: BTreeMap<Option<u16>, ErrorTemplate>,
    /// CORS for every route without its own, and for answers that belong to no route.
    pub cors: Option<Cors>,
    /// The access log.
    pub access_log: AccessLog,
    /// Whether the trace of a client's `traceparent` goes on (W3C Trace Context §3.2); default yes, else each request
    /// begins one.
    pub continue_traces: bool,
    /// Shutdown.
    pub shutdown: Shutdown,
    /// What becomes of requests under way whose key is good for them no longer; default cut.
    pub streams: Streams,
    /// For how long keys are trusted while their database is away; of no effect with key files.
    pub staleness: Staleness,
    /// Who may create keys; default owners and admins.
    pub key_creation: KeyCreation,
    /// How often sources are looked at although no watcher spoke; default 10 s.
    pub poll: Duration,
    /// Whether group-writable key files are refused instead of warned about; default no.
    pub strict_permissions: bool,
    /// Number of workers; default one per core that the process may use.
    pub workers: NonZeroUsize,
}

impl Config {
    /// What it says about keys.
    pub fn key_policy(&self) -> KeyPolicy<'_> {
        KeyPolicy {
            scopes: &self.policy.scopes,
            role_caps: &self.role_caps,
            brand: &self.brand,
            plans: &self.policy.plans,
        }
    }

    /// The header that carries assertions; only the gateway may set it, also where nothing is signed.
    pub fn assertion_header(&self) -> &str {
        self.assertions.as_ref().map_or(assertion::HEADER, |assertions| &assertions.header)
    }

    /// Every header by which an upstream learns who asks, the signed one among them: doors answer each, empty where there
    /// is nothing to say.
    pub fn identity_names(&self) -> impl Iterator<Item = &str> {
        self.identity.names().chain([self.assertion_header()])
    }
}

/// One address where clients are served, or where other proxies ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// What is served there; default the gateway.
    pub serves: Serves,
    /// `127.0.0.1:8080`, `[::]:8443` or `unix:/run/keygate.sock`.
    pub address: ListenAddress,
    /// Permission bits of a Unix socket; default `0660`.
    pub unix_mode: u32,
    /// TLS; `None` is cleartext.
    pub tls: Option<ListenerTls>,
    /// Peers whose `X-Forwarded-*` is believed, default nobody; at a door those that may ask, default the loopback.
    pub trusted_proxies: Vec<IpNet>,
    /// What a client may make grow.
    pub limits: ListenerLimits,
    /// How long a client may take.
    pub timeouts: ListenerTimeouts,
}

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// Clients, whose requests go on to the upstreams.
    Gateway,
    /// Proxies that describe a request in headers of one family and forward it themselves.
    ForwardAuth(HeaderFamily),
    /// Envoy and Istio, which ask by external authorization.
    ExtAuthz(AuthzProtocol),
}

/// The listener of the admin API and the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// `127.0.0.1:8081`, `[::]:8443` or `unix:/run/keygate-admin.sock`.
    pub address: ListenAddress,
    /// Where it is reached, if not there.
    pub public_url: Option<PublicUrl>,
    /// TLS; `None` is cleartext.
    pub tls: Option<ListenerTls>,
    /// Further names that it answers to; one without port stands for every port.
    pub hosts: Vec<Authority>,
    /// Peers whose `X-Forwarded-For` is believed; default nobody.
    pub trusted_proxies: Vec<IpNet>,
    /// How long one stays signed in.
    pub sessions: SessionLifetimes,
}

impl AdminConfig {
    /// Where people find the console when it listens at `bound`; `None` behind a Unix socket without `public_url`.
    pub fn url(&self, bound: &ListenAddress) -> Option<String> {
        if let Some(url) = &self.public_url {
            return Some(url.to_string());
        }
        let ListenAddress::Tcp(address) = bound else { return None };
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Some(format!("{scheme}://{}", reachable(*address)))
    }
}

/// The listener where whoever shows a whole key ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PossessionConfig {
    /// `0.0.0.0:8083`, `[::]:8443` or `unix:/run/keygate-revoke.sock`.
    pub address: ListenAddress,
    /// TLS; `None` is cleartext.
    pub tls: Option<ListenerTls>,
    /// Peers whose `X-Forwarded-For` is believed; default nobody.
    pub trusted_proxies: Vec<IpNet>,
}

/// How long one stays signed in to the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLifetimes {
    /// Without doing anything; default 12 h.
    pub idle: Duration,
    /// Whatever one does; default 7 d.
    pub absolute: Duration,
}

/// Certificates of a listener; the first is the default, others are chosen by server name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// Certificate chain and private key, as PEM files.
    pub certificates: Vec<CertificateFiles>,
    /// Certificate authorities that client certificates must come from; `None` asks for none.
    pub client_ca: Option<PathBuf>,
}

/// The files of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Chain, leaf first.
    pub certificate: PathBuf,
    /// Private key of the leaf.
    pub private_key: PathBuf,
}

/// What a client of one listener may make grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections at once, all workers together; default 10,000, at a door 1,000.
    pub connections: usize,
    /// Connections at once from one address; default 1,000; trusted proxies are not counted.
    pub connections_per_address: usize,
    /// Head, target and fields; default 32 KiB, 8 KiB and 100.
    pub head: HeadLimits,
    /// Body in bytes; default 1 GiB; a route may say otherwise.
    pub body_bytes: u64,
    /// HTTP/2 streams at once on one connection; default 100.
    pub streams: u32,
}

/// How long a client may take. None of them ends a response, an upgrade or an event stream that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTimeouts {
    /// From the first byte of a head to its last, and for a TLS handshake; default 15 s.
    pub head: Duration,
    /// Between two requests of one connection; default 75 s.
    pub keep_alive: Duration,
    /// Between two reads of a request body, and between two writes of a response that the client does not take;
    /// default 30 s.
    pub idle: Duration,
    /// Bytes per second that a request body must reach on average after `idle` has passed once; default 64.
    pub body_rate_bytes: u64,
}

/// One upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Its name in the file, in metrics and logs.
    pub name: Box<str>,
    /// Where it is.
    pub address: UpstreamAddress,
    /// The authority of its URL: `host[:port]` as written; what `host: upstream` sends.
    pub authority: Box<str>,
    /// TLS towards it; `None` for `http:`.
    pub tls: Option<UpstreamTls>,
    /// Which version of HTTP is spoken with it; default auto.
    pub http: UpstreamHttp,
    /// Which Host it sees; default the client's.
    pub host: UpstreamHost,
    /// Connections at once, idle ones too, all workers together; over HTTP/2 requests at once. Default 1,024.
    pub connections: usize,
    /// Requests that may wait for their turn, all workers together; default 1,024.
    pub pending: usize,
    /// How long things may take.
    pub timeouts: UpstreamTimeouts,
    /// Headers that are set on each request, after those of the client with the same name were removed.
    pub set_headers: Vec<(Box<str>, SecretText)>,
    /// Whether a link-local or metadata address is connected to; default no.
    pub allow_link_local: bool,
}

/// Where an upstream is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpstreamAddress {
    /// Host name or IP address, and port.
    Tcp {
        /// A DNS name or an IP address without brackets.
        host: Box<str>,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// TLS towards an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Certificate authorities as PEM, read from the file that `tls.ca` names, instead of the machine's.
    pub ca_pem: Option<Box<[u8]>>,
    /// The name to ask for and to verify; default the host of the URL.
    pub server_name: Box<str>,
}

/// Which version of HTTP is spoken with an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamHttp {
    /// Over TLS what it chooses of HTTP/2 and HTTP/1.1 (ALPN, RFC 7301); in clear HTTP/1.1.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: over TLS it must agree, in clear it is taken for granted (RFC 9113 §3.3).
    Http2,
}

/// Which Host an upstream sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamHost {
    /// The one the client sent.
    Preserve,
    /// The authority of the upstream's URL.
    Upstream,
    /// This one.
    Name(Box<str>),
}

/// How long an upstream may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// To connect, with TLS handshake and waiting for room; default 5 s.
    pub connect: Duration,
    /// From the end of the request to the head of the response; default 60 s.
    pub first_byte: Duration,
    /// Between two reads of a response body, and between two writes of a request; default 60 s; `None` for upgrades
    /// and event streams is not needed: they are told by their content type and may idle for 1 h.
    pub idle: Duration,
    /// How long a connection waits for its next request; default 50 s. Less than the upstream's own.
    pub keep_alive: Duration,
}

/// A value that may hold a secret: its Debug shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(pub Box<str>);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecretText(redacted)")
    }
}

/// Where keys, people and projects come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// One key file.
    File(PathBuf),
    /// Every `*.yaml` of a folder.
    Directory(PathBuf),
    /// A database.
    Database(DatabaseSource),
}

/// A database with keys, people and projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseSource {
    /// Where it is.
    pub url: DatabaseUrl,
    /// Where changes are heard, if not there.
    pub listen_url: Option<PostgresUrl>,
}

/// For how long keys are trusted while their database is away, and what then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staleness {
    /// For how long; default 15 min.
    pub max: Duration,
    /// What then; default serve.
    pub then: WhenStale,
}

/// Who may create keys of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCreation {
    /// Its owners and admins.
    Admins,
    /// Its members and viewers too, for themselves.
    Everyone,
}

/// What happens to a request that its route permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarding {
    /// Index into [`Config::upstreams`].
    pub upstream: usize,
    /// CORS of the route.
    pub cors: Option<Cors>,
    /// Body limit in bytes, if the route has its own.
    pub body_bytes: Option<u64>,
    /// Whether WebSocket upgrades are forwarded; default no.
    pub websocket: bool,
    /// Whether request trailers are forwarded; those of gRPC go to upstreams of HTTP/2 anyway. Default no.
    pub request_trailers: bool,
}

/// Cross-origin requests (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Origins that may read answers; `*` is any.
    pub origins: Vec<Box<str>>,
    /// Methods of a preflight's answer; empty: the one asked for.
    pub methods: Vec<Box<str>>,
    /// Headers of a preflight's answer; empty: those asked for.
    pub headers: Vec<Box<str>>,
    /// Headers that scripts may read.
    pub expose: Vec<Box<str>>,
    /// Whether cookies may be sent; never together with `*`.
    pub credentials: bool,
    /// How long a preflight may be remembered, in seconds; default 600.
    pub max_age_seconds: u32,
}

/// A refusal's body with places for `{code}`, `{message}` and `{request_id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorTemplate {
    /// Text and places, in order.
    pub parts: Vec<TemplatePart>,
    /// The media type; default `application/json`.
    pub content_type: Box<str>,
}

/// A piece of an [`ErrorTemplate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// As it stands.
    Text(Box<str>),
    /// [`Reason::code`].
    Code,
    /// The detail.
    Message,
    /// The request id.
    RequestId,
}

/// The access log; default: refusals and failures, one in 100 of the rest, to standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Which requests.
    pub mode: AccessLogMode,
    /// Where to.
    pub path: AccessLogPath,
}

/// Which requests the access log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogMode {
    /// None.
    Off,
    /// Every refusal and failure, and one in so many of the others.
    Sampled(NonZeroU32),
    /// All.
    All,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogPath {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, reopened on SIGHUP.
    File(PathBuf),
}

/// Shutdown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shutdown {
    /// From *not ready* to *accept no more*; default 0 s; load balancers need a few seconds.
    pub delay: Duration,
    /// How long requests in flight may take; default 30 s.
    pub deadline: Duration,
}

/// What becomes of requests under way whose key is good for them no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// They end at once.
    Cut,
    /// They may go on for so long.
    Drain(Duration),
    /// They go on to their end.
    Keep,
}

impl Config {
    /// What it says about records, for those who change them.
    pub fn key_rules(&self) -> KeyRules {
        KeyRules {
            scopes: self.policy.scopes.clone(),
            role_caps: self.role_caps,
            brand: self.brand.clone(),
            plans: self.policy.plans.clone(),
        }
    }

    /// The template for `reason`, if the API has its own envelope.
    pub fn error_template(&self, reason: Reason) -> Option<&ErrorTemplate> {
        self.error_templates.get(&Some(reason.status())).or_else(|| self.error_templates.get(&None))
    }
}
