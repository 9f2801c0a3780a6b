//! What every request of the admin listener passes before a handler sees it, and what every answer gets on its way out.
//!
//! A browser sends requests that no one at the keyboard meant: a page of another site can aim a form at the loopback,
//! and a name of the attacker can resolve to it (DNS rebinding). So a request must name this listener as its `Host`, and
//! one that may change something must come from our own pages, or from a program that shows its key.

use std::net::{IpAddr, SocketAddr};

use axum::{
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{
            ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
            COOKIE, FORWARDED, HOST, ORIGIN, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
        request,
    },
    response::{IntoResponse, Response},
};
use ipnet::IpNet;

use super::problem::{PROBLEM_JSON, Problem};
use crate::{
    config::{Authority, ListenAddress, PublicUrl, model::AdminConfig},
    gate::denial::METHODS_SERVED,
    net::{client_addr::client_address, stream::Address},
    policy::reason::Reason,
};

/// The largest request body in bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What every answer carries, whatever a handler says. Scripts and styles come from files of our own only.
const SECURITY_HEADERS: [(HeaderName, &str); 7] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("permissions-policy"),
        // All that browsers ask about is off but writing to the clipboard, for the buttons that copy.
        "accelerometer=(), autoplay=(), camera=(), clipboard-read=(), clipboard-write=(self), display-capture=(), \
         encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), \
         payment=(), picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), usb=(), \
         xr-spatial-tracking=()",
    ),
];

/// A year, in seconds.
const HSTS: &str = "max-age=31536000";

/// Who sends a request: an extension of every request that reaches a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The client's address, as far as trusted proxies tell it, an IPv4 one in its own form; `None` over a Unix socket
    /// without such a proxy.
    pub address: Option<IpAddr>,
    /// Whether the request never left this machine: the connection and the client are local, and no proxy that is not
    /// trusted says that it stands between.
    pub is_loopback: bool,
    /// Whether the client speaks TLS: with the listener, or with what stands before it at `public_url`.
    pub is_secure: bool,
}

/// What one connection says of its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    /// The other end.
    pub(super) peer: Address,
    /// Our end.
    pub(super) local: Option<SocketAddr>,
}

/// The rules of one admin listener.
#[derive(Debug, Clone)]
pub struct Guard {
    names: Vec<Name>,
    public_url: Option<PublicUrl>,
    is_tls: bool,
    trusted_proxies: Vec<IpNet>,
    /// Whether every name and every site may ask: where nobody is known by a cookie or an address.
    is_open: bool,
}

/// A name that the listener answers to.
#[derive(Debug, Clone)]
enum Name {
    Exact(Authority),
    AnyPort(Box<str>),
}

impl Guard {
    /// The rules for a listener with `config` that is bound to `bound`.
    pub fn new(config: &AdminConfig, bound: &ListenAddress) -> Self {
        let of_config = config.hosts.iter().map(|host| match host.port {
            Some(_) => Name::Exact(host.clone()),
            None => Name::AnyPort(host.host.clone()),
        });
        let public = config.public_url.iter().map(|url| Name::Exact(url.authority.clone()));
        Self {
            names: own_names(bound).into_iter().chain(public).chain(of_config).collect(),
            public_url: config.public_url.clone(),
            is_tls: config.tls.is_some(),
            trusted_proxies: config.trusted_proxies.clone(),
            is_open: false,
        }
    }

    /// The rules for a listener that answers to every name, and takes what anybody's page or program sends: who asks
    /// is told by nothing but what they send.
    pub fn open(is_tls: bool, trusted_proxies: Vec<IpNet>) -> Self {
        Self { names: Vec::new(), public_url: None, is_tls, trusted_proxies, is_open: true }
    }

    /// Peers whose word about others is believed.
    pub(super) fn trusted_proxies(&self) -> &[IpNet] {
        &self.trusted_proxies
    }

    /// Whether clients speak TLS to whatever they reach us by.
    pub(super) fn is_secure(&self) -> bool {
        self.is_tls || self.public_url.as_ref().is_some_and(|url| url.is_secure)
    }

    /// Who sends the request that begins with `head`.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn admit(&self, head: &request::Parts, ends: &Ends) -> Result<Peer, Problem> {
        if [Method::TRACE, Method::CONNECT].contains(&head.method) {
            return Err(Problem::of(Reason::MethodNotAllowed, "CONNECT and TRACE are not served."));
        }
        if !self.is_open {
            let host = self.host(head, ends)?;
            if !head.method.is_safe() {
                self.comes_from_us(&head.headers, &host)?;
                content_type_fits(head)?;
            }
        }
        if content_length(&head.headers).is_some_and(|length| length > BODY_BYTES_MAX as u64) {
            return Err(content_too_large());
        }
        self.peer(&head.headers, ends)
    }

    /// The one name by which the request calls us (RFC 9110 §7.2, RFC 9112 §3.2), if it is one of ours.
    fn host(&self, head: &request::Parts, ends: &Ends) -> Result<Authority, Problem> {
        let host = only(&head.headers, &HOST).and_then(|host| host?.parse::<Authority>().ok());
        let Some(host) = host else {
            return Err(bad_request("The request must have one Host that names a host."));
        };
        if !target_fits(&head.uri, &host) {
            return Err(bad_request("The request target and Host name different hosts."));
        }
        let is_named = self.names.iter().any(|name| name.is(&host));
        if is_named || ends.local.is_some_and(|local| is_address(&host, local)) {
            return Ok(host);
        }
        Err(misdirected())
    }

    /// Whether the request comes from our own pages, or from a program that no page can make send it.
    fn comes_from_us(&self, headers: &HeaderMap, host: &Authority) -> Result<(), Problem> {
        match only(headers, &SEC_FETCH_SITE) {
            Some(Some("same-origin")) => return Ok(()),
            // Older browsers do not say, and people who type an address come from nowhere.
            Some(None | Some("none")) => {}
            Some(Some(_)) | None => return Err(cross_site()),
        }
        match only(headers, &ORIGIN) {
            Some(Some(origin)) if self.is_our_origin(origin, host) => Ok(()),
            Some(None) if headers.contains_key(AUTHORIZATION) && !headers.contains_key(COOKIE) => Ok(()),
            Some(None) => Err(unknown_origin()),
            Some(Some(_)) | None => Err(cross_site()),
        }
    }

    fn is_our_origin(&self, origin: &str, host: &Authority) -> bool {
        let Ok(origin) = origin.parse::<PublicUrl>() else { return false };
        self.public_url.as_ref() == Some(&origin)
            || (origin.authority == *host && (origin.is_secure || !self.is_secure()))
    }

    fn peer(&self, headers: &HeaderMap, ends: &Ends) -> Result<Peer, Problem> {
        let forwarded_for = || headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
        let hop = ends.peer.ip();
        let address = client_address(hop, forwarded_for(), &self.trusted_proxies)
            .map_err(|_| bad_request("A trusted proxy sent an X-Forwarded-For that is no address."))?;
        let is_hop_trusted = self.trusted_proxies.iter().any(|net| net.contains(&hop));
        let says_forwarded = headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(FORWARDED);
        let is_known = match ends.peer {
            Address::Ip(_) => true,
            Address::Unix => is_hop_trusted && says_forwarded,
        };
        Ok(Peer {
            address: is_known.then_some(address),
            is_loopback: hop.is_loopback() && address.is_loopback() && (is_hop_trusted || !says_forwarded),
            is_secure: self.is_secure(),
        })
    }

    /// Makes `answer` to a request for `path` one that browsers treat with care; errors without a body get one.
    pub(super) fn dress(&self, answer: Response, path: &str) -> Response {
        let mut answer = with_body(answer, path);
        let is_method_refused = answer.status() == StatusCode::METHOD_NOT_ALLOWED;
        let headers = answer.headers_mut();
        for (name, value) in SECURITY_HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if is_method_refused {
            headers.entry(ALLOW).or_insert(HeaderValue::from_static(METHODS_SERVED));
        }
        if self.is_secure() {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
        }
        answer
    }
}

/// Names that follow from where the listener is bound.
fn own_names(bound: &ListenAddress) -> Vec<Name> {
    const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
    match bound {
        ListenAddress::Unix(_) => LOOPBACK.map(|host| Name::AnyPort(host.into())).into(),
        ListenAddress::Tcp(address) => {
            let port = Some(address.port());
            let is_local = address.ip().is_loopback() || address.ip().is_unspecified();
            let loopback = LOOPBACK.into_iter().filter(|_| is_local).map(str::to_owned);
            let names = loopback.chain([address.ip().to_string()]);
            names.map(|host| Name::Exact(Authority::new(&host, port))).collect()
        }
    }
}

impl Name {
    fn is(&self, host: &Authority) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::AnyPort(name) => *name == host.host,
        }
    }
}

/// Whether `host` is the address that the client has connected to: a name that resolves there is no address.
fn is_address(host: &Authority, local: SocketAddr) -> bool {
    let ip = host.host.parse::<IpAddr>().ok();
    ip == Some(local.ip()) && host.port == Authority::new("", Some(local.port())).port
}

/// Whether a target in absolute form names `host` (RFC 9112 §3.2.2).
fn target_fits(target: &Uri, host: &Authority) -> bool {
    let Some(authority) = target.authority() else { return true };
    authority.as_str().parse().as_ref() == Ok(host)
}

/// The one value of `name`, `Some(None)` where it is not there, `None` where it is doubled or no text.
#[expect(clippy::option_option, reason = "not there and in doubt are different things")]
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Option<&'h str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => value.to_str().ok().map(Some),
        (Some(_), Some(_)) => None,
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A page of another site can send only forms and text without asking; JSON for the API, forms for the console.
fn content_type_fits(head: &request::Parts) -> Result<(), Problem> {
    let has_body = head.headers.contains_key(TRANSFER_ENCODING)
        || content_length(&head.headers).is_some_and(|length| length > 0);
    let wanted =
        if is_api(head.uri.path()) { "application/json" } else { "application/x-www-form-urlencoded" };
    let media_type = only(&head.headers, &CONTENT_TYPE).flatten().unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if has_body && !essence.eq_ignore_ascii_case(wanted) {
        return Err(unsupported_media_type(wanted));
    }
    Ok(())
}

/// Whether `path` belongs to the JSON API, whose clients read problem details.
pub fn is_api(path: &str) -> bool {
    path.strip_prefix("/api").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Errors that nobody has put into words: those of the router and of extractors.
fn with_body(answer: Response, path: &str) -> Response {
    let status = answer.status();
    let is_said = answer.headers().contains_key(CONTENT_TYPE);
    let is_ours = answer.headers().get(CONTENT_TYPE).is_some_and(|media_type| media_type == PROBLEM_JSON);
    let problem = match status {
        StatusCode::PAYLOAD_TOO_LARGE if !is_ours => content_too_large(),
        StatusCode::NOT_FOUND if !is_said => Problem::not_found(),
        StatusCode::METHOD_NOT_ALLOWED if !is_said => Problem::of(
            Reason::MethodNotAllowed,
            "This path does not take this method; Allow names those it takes.",
        ),
        _ => return answer,
    };
    let (mut head, _) = answer.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    head.headers.remove(CONTENT_TYPE);
    let worded = into_answer(problem, path);
    let (worded_head, body) = worded.into_parts();
    head.headers.extend(worded_head.headers);
    Response::from_parts(head, body)
}

/// Problem details for clients of the API, text for everybody else.
pub(super) fn into_answer(problem: Problem, path: &str) -> Response {
    if is_api(path) { problem.into_response() } else { problem.into_text() }
}

fn bad_request(detail: &'static str) -> Problem {
    Problem::of(Reason::BadRequest, detail)
}

fn misdirected() -> Problem {
    let detail = "The admin listener does not answer to this Host. If it is meant to, give the name as admin.public_url \
                  or add it to admin.hosts in keygate.yaml.";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected_request", "Misdirected request", detail)
}

fn cross_site() -> Problem {
    forbidden("The request comes from another site.")
}

fn unknown_origin() -> Problem {
    forbidden(
        "The request does not say where it comes from. Programs send a key in Authorization and no cookie; browsers \
         send Sec-Fetch-Site or Origin.",
    )
}

fn forbidden(detail: &'static str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "cross_site", "Cross-site request", detail)
}

fn unsupported_media_type(wanted: &'static str) -> Problem {
    let detail = format!("The body must be {wanted}, and Content-Type must say so.");
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Problem::new(status, "unsupported_media_type", "Unsupported media type", detail)
}

fn content_too_large() -> Problem {
    Problem::of(Reason::ContentTooLarge, format!("The body may have {BODY_BYTES_MAX} bytes at most."))
}
