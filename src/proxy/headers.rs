//! Strip, then inject: which header fields go on, and which the gateway sets.
//!
//! Towards the upstream nothing that a client sends can add, change or delete identity: hop-by-hop fields go first,
//! then the credential, then every spelling of a managed name, and only then are ours written.

use std::{cell::RefCell, io::Write as _, net::IpAddr, sync::Arc};

use jiff::Timestamp;

use crate::{
    config::model::{Config, Cors, UpstreamConfig, UpstreamHost},
    gate::{Allowance, Denial, Request, identity::write_identity},
    http1::{
        body::may_be_trailer,
        encode::{HEAD_END, write_chunked_coding, write_content_length, write_request_line},
        framing::{BodyLength, connection_tokens},
    },
    live::Published,
    message::{Field, Fields, RequestHead, ResponseHead, Version},
    policy::{
        decide::Permit,
        fold::folds_to,
        origin::{is_of_the_origin, overrides_method},
        project::ProjectSource,
        reason::Reason,
        route::Route,
    },
    telemetry::trace_context::{RequestId, TraceParent},
};

use smallvec::SmallVec;

use super::{
    assertion::AssertionCache,
    client::{Client, Peer},
};

/// Everything that goes into the head of a request to an upstream.
pub(super) struct Composition<'a, 'b> {
    pub(super) permit: &'a Permit<'a, 'b>,
    pub(super) request: &'a Request<'b>,
    pub(super) head: &'a RequestHead<'b>,
    pub(super) published: &'a Arc<Published>,
    pub(super) upstream: &'a UpstreamConfig,
    pub(super) signed: Signed<'a>,
    pub(super) peer: &'a Peer,
    pub(super) client: IpAddr,
    pub(super) strip_credential: bool,
    pub(super) upgrade: bool,
    pub(super) request_id: &'a RequestId,
    pub(super) trace: &'a TraceParent,
    /// Whether the trace is the client's, so that its `tracestate` belongs to it.
    pub(super) continues_trace: bool,
}

/// What a request is signed with, if the upstream is told who asks so that it can prove it.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    /// What this worker has signed.
    pub(super) assertions: &'a RefCell<AssertionCache>,
    /// When the secret of the key stops working.
    pub(super) ends_at: Option<Timestamp>,
    /// The instant of the verdict.
    pub(super) now: Timestamp,
}

/// What of where a request came from a trusted proxy is believed, beside the address.
const BELIEVED_NAMES: [&str; 3] = ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"];

/// Whether a request trailer may go on: nothing that is no trailer (RFC 9110 §6.5.1), and nothing that would be stripped from
/// the header section, whoever sent it.
pub(super) fn trailer_goes_on(field: &Field<'_>, config: &Config, upstream: &UpstreamConfig) -> bool {
    let policy = &config.policy;
    let names_project = |route: &Route| match &route.project {
        Some(ProjectSource::Header(name)) => folds_to(field.name, name),
        Some(ProjectSource::Path(_) | ProjectSource::Query(_) | ProjectSource::HostLabel(_)) | None => false,
    };
    may_be_trailer(field.name)
        && !is_hop_by_hop(field)
        && !is_regenerated(field)
        && is_plain_name(field.name)
        && !policy.credentials.include(field)
        && !policy.identity_names.contains(field.name)
        && !is_of_the_origin(field.name)
        && !overrides_method(field.name)
        && !upstream.set_headers.iter().any(|(name, _)| name.as_bytes().eq_ignore_ascii_case(field.name))
        && !policy.routes.routes().iter().any(names_project)
}

impl Composition<'_, '_> {
    /// Writes the head.
    ///
    /// # Errors
    /// Where the identity is too large for a header, or the request line cannot be written.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), Denial<'static>> {
        write_request_line(out, self.request.method(), self.request.target)
            .map_err(|_| Denial::outside_table(Reason::Internal, "The request cannot be forwarded."))?;
        self.write_host(out);
        let named = connection_options(&self.head.fields);
        for field in self.head.fields.iter() {
            if !self.is_stripped(field, &named) {
                put(out, field.name, field.value);
            }
        }
        self.write_body_length(out);
        self.write_forwarded(out);
        for (name, value) in &self.upstream.set_headers {
            put(out, name.as_bytes(), value.0.as_bytes());
        }
        if let Some(principal) = self.permit.principal() {
            let config = self.config();
            write_identity(out, &config.identity, &config.policy.scopes, principal, self.permit.project())?;
            let Signed { assertions, ends_at, now } = self.signed;
            let mut assertions = assertions.borrow_mut();
            if let Some(token) = assertions.token(self.published, self.permit, ends_at, now)? {
                put(out, config.assertion_header().as_bytes(), token.as_bytes());
            }
        }
        out.extend_from_slice(HEAD_END);
        Ok(())
    }

    fn config(&self) -> &Config {
        &self.published.config
    }

    fn write_host(&self, out: &mut Vec<u8>) {
        let host = match &self.upstream.host {
            UpstreamHost::Preserve => self.request.authority.unwrap_or(&self.upstream.authority),
            UpstreamHost::Upstream => &self.upstream.authority,
            UpstreamHost::Name(name) => name,
        };
        put(out, b"Host", host.as_bytes());
    }

    fn is_stripped(&self, field: &Field<'_>, named: &[&[u8]]) -> bool {
        let policy = &self.config().policy;
        is_hop_by_hop(field)
            || is_regenerated(field)
            || is_named(field, named)
            || (self.strip_credential && policy.credentials.include(field))
            || policy.identity_names.contains(field.name)
            || (is_of_the_origin(field.name) && !self.believes(field))
            || (field.is("tracestate") && !self.continues_trace)
            || self
                .upstream
                .set_headers
                .iter()
                .any(|(name, _)| name.as_bytes().eq_ignore_ascii_case(field.name))
            || !(is_plain_name(field.name) || self.is_listed(field.name))
    }

    /// What a trusted proxy says of the client's own request; never a path, and never twice.
    fn believes(&self, field: &Field<'_>) -> bool {
        let is_told = |name: &str| field.is(name) && self.head.fields.only(name).is_ok();
        self.peer.is_trusted() && BELIEVED_NAMES.iter().any(|name| is_told(name))
    }

    fn is_listed(&self, name: &[u8]) -> bool {
        self.config().forwarded_headers.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(name))
    }

    fn write_body_length(&self, out: &mut Vec<u8>) {
        match self.request.body {
            BodyLength::Known(length) => write_content_length(out, length),
            BodyLength::Chunked => write_chunked_coding(out),
            BodyLength::Empty | BodyLength::UntilClose => {}
        }
        if self.request.expects_continue {
            put(out, b"Expect", b"100-continue");
        }
        if self.upgrade {
            out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
        } else if self.head.fields.all("te").any(|value| value.eq_ignore_ascii_case(b"trailers")) {
            out.extend_from_slice(b"Connection: TE\r\nTE: trailers\r\n");
        }
    }

    fn write_forwarded(&self, out: &mut Vec<u8>) {
        let trusted = self.peer.is_trusted();
        out.extend_from_slice(b"X-Forwarded-For: ");
        if trusted {
            for line in self.head.fields.all("x-forwarded-for") {
                out.extend_from_slice(line);
                out.extend_from_slice(b", ");
            }
        }
        put_address(out, self.peer.address);
        out.extend_from_slice(b"\r\nX-Real-IP: ");
        put_address(out, self.client);
        out.extend_from_slice(HEAD_END);
        let said = |name: &str| trusted && matches!(self.head.fields.only(name), Ok(Some(_)));
        if !said("x-forwarded-proto") {
            put(out, b"X-Forwarded-Proto", self.peer.scheme().as_bytes());
        }
        if let Some(authority) = self.request.authority
            && !said("x-forwarded-host")
        {
            put(out, b"X-Forwarded-Host", authority.as_bytes());
        }
        out.extend_from_slice(match self.head.version {
            Version::Http10 => b"Via: 1.0 ",
            Version::Http11 => b"Via: 1.1 ",
            Version::Http2 => b"Via: 2.0 ",
        });
        out.extend_from_slice(self.config().policy.via.as_bytes());
        out.extend_from_slice(b"\r\n");
        put(out, b"X-Request-Id", self.request_id.as_str().as_bytes());
        put(out, b"traceparent", &self.trace.to_header());
    }
}

/// Whether a client's field should not reach the upstream of another proxy, which can be told so: what the gateway itself
/// would strip, but for what that proxy writes of where the request came from.
pub(super) fn is_unwanted(field: &Field<'_>, config: &Config) -> bool {
    const OF_THE_PROXY: [&str; 4] =
        ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-client-cert", "x-envoy-external-address"];
    let is_the_proxys = OF_THE_PROXY.iter().any(|name| field.is(name));
    let is_listed =
        || config.forwarded_headers.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(field.name));
    config.policy.identity_names.contains(field.name)
        || (is_of_the_origin(field.name) && !is_the_proxys)
        || !(is_plain_name(field.name) || is_listed())
}

/// Fields that speak of one connection (RFC 9110 §7.6.1), with those that older proxies and clients use so.
fn is_hop_by_hop(field: &Field<'_>) -> bool {
    match field.name.len() {
        2 => field.is("te"),
        7 => field.is("upgrade") || field.is("trailer"),
        10 => field.is("connection") || field.is("keep-alive"),
        14 => field.is("http2-settings"),
        16 => field.is("proxy-connection"),
        17 => field.is("transfer-encoding"),
        18 => field.is("proxy-authenticate"),
        19 => field.is("proxy-authorization"),
        _ => false,
    }
}

/// The options that `Connection` names; each names a field that goes no further.
fn connection_options<'b>(fields: &Fields<'b>) -> SmallVec<[&'b [u8]; 8]> {
    connection_tokens(fields).collect()
}

fn is_named(field: &Field<'_>, options: &[&[u8]]) -> bool {
    options.iter().any(|option| option.eq_ignore_ascii_case(field.name))
}

/// Fields that the gateway writes itself.
fn is_regenerated(field: &Field<'_>) -> bool {
    match field.name.len() {
        4 => field.is("host"),
        6 => field.is("expect"),
        11 => field.is("traceparent"),
        12 => field.is("x-request-id"),
        14 => field.is("content-length"),
        _ => false,
    }
}

/// Letters, digits and `-` only: a name that no back end takes for another one.
fn is_plain_name(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

fn put(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    // Writing to memory cannot fail.
    let _ = write!(out, "{address}");
}

/// Writes the fields of an upstream's answer that go on to the client: none that speak of the connection, none that
/// only the gateway may set, and ours beside them.
pub(super) fn forward_response<C: Client>(
    client: &mut C,
    head: &ResponseHead<'_>,
    config: &Config,
    cors: Option<&CorsFields>,
    request_id: &RequestId,
    allowance: Option<&Allowance>,
) {
    let named = connection_options(&head.fields);
    let limits = allowance.and_then(|allowance| allowance.fields(&config.policy.plans));
    for field in head.fields.iter() {
        let is_ours = limits.is_some() && is_limit_field(field);
        if !is_response_stripped(field, config, cors.is_some()) && !is_named(field, &named) && !is_ours {
            client.field(field.name, field.value);
        }
    }
    if let Some((policy, left)) = limits {
        client.field(b"RateLimit-Policy", policy.as_bytes());
        client.field(b"RateLimit", left.as_bytes());
    }
    client.field(b"X-Request-Id", request_id.as_str().as_bytes());
    if let Some(cors) = cors {
        cors.write(client);
    }
}

/// Whether a field of an upstream's answer, or a trailer, goes no further; `has_cors`: the gateway answers for CORS.
pub(super) fn is_response_stripped(field: &Field<'_>, config: &Config, has_cors: bool) -> bool {
    is_hop_by_hop(field)
        || field.is("content-length")
        || field.is("x-request-id")
        || config.policy.identity_names.contains(field.name)
        || (has_cors && is_cors_field(field))
}

/// What the gateway tells of the limits of a key, in the place of an upstream that has its own.
fn is_limit_field(field: &Field<'_>) -> bool {
    field.is("ratelimit") || field.is("ratelimit-policy")
}

fn is_cors_field(field: &Field<'_>) -> bool {
    const PREFIX: &[u8] = b"access-control-";
    field.name.get(..PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(PREFIX))
}

/// What lets scripts of another origin read an answer (Fetch, "CORS protocol").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CorsFields(Vec<(&'static str, String)>);

impl CorsFields {
    /// The fields of an answer to a request from `origin`; only `Vary` where the origin may not read it.
    pub(super) fn of_answer(cors: &Cors, origin: Option<&[u8]>) -> Self {
        let mut fields = vec![("Vary", "Origin".to_owned())];
        if let Some(allowed) = allowed_origin(cors, origin) {
            fields.push(("Access-Control-Allow-Origin", allowed));
            if cors.credentials {
                fields.push(("Access-Control-Allow-Credentials", "true".to_owned()));
            }
            if !cors.expose.is_empty() {
                fields.push(("Access-Control-Expose-Headers", cors.expose.join(", ")));
            }
        }
        Self(fields)
    }

    /// The fields of the answer to a preflight that asks for `method` and `headers`.
    pub(super) fn of_preflight(
        cors: &Cors,
        origin: Option<&[u8]>,
        method: &str,
        headers: Option<&[u8]>,
    ) -> Self {
        let mut fields = vec![(
            "Vary",
            "Origin, Access-Control-Request-Method, Access-Control-Request-Headers".to_owned(),
        )];
        if let Some(allowed) = allowed_origin(cors, origin) {
            fields.push(("Access-Control-Allow-Origin", allowed));
            if cors.credentials {
                fields.push(("Access-Control-Allow-Credentials", "true".to_owned()));
            }
            let methods = if cors.methods.is_empty() { method.to_owned() } else { cors.methods.join(", ") };
            fields.push(("Access-Control-Allow-Methods", methods));
            let asked = headers.and_then(|headers| std::str::from_utf8(headers).ok()).unwrap_or_default();
            let headers = if cors.headers.is_empty() { asked.to_owned() } else { cors.headers.join(", ") };
            if !headers.is_empty() {
                fields.push(("Access-Control-Allow-Headers", headers));
            }
            fields.push(("Access-Control-Max-Age", cors.max_age_seconds.to_string()));
        }
        Self(fields)
    }

    /// The header lines.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    pub(super) fn write<C: Client>(&self, client: &mut C) {
        for (name, value) in &self.0 {
            client.field(name.as_bytes(), value.as_bytes());
        }
    }
}

fn allowed_origin(cors: &Cors, origin: Option<&[u8]>) -> Option<String> {
    let origin = std::str::from_utf8(origin?).ok()?;
    if cors.origins.iter().any(|allowed| **allowed == *"*") {
        return Some("*".to_owned());
    }
    cors.origins.iter().any(|allowed| **allowed == *origin).then(|| origin.to_owned())
}
