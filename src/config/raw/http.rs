//! The scalars of HTTP: header names, methods, hosts, origins, URLs of upstreams.

use std::path::PathBuf;

use schemars::{Schema, json_schema};

use super::text::{Written, quoted};
use crate::config::{
    address::is_unix_path,
    model::{UpstreamAddress, UpstreamHost, UpstreamHttp},
};

/// The longest header name taken.
const NAME_BYTES_MAX: usize = 128;

/// The name of a header field (RFC 9110 §5.1), in the spelling of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderName(pub Box<str>);

impl Written for HeaderName {
    const EXPECTED: &'static str = "a header name";

    fn read(text: &str) -> Result<Self, String> {
        if is_token(text) && text.len() <= NAME_BYTES_MAX {
            return Ok(Self(text.into()));
        }
        Err(format!("{} is no header name; use letters, digits and \"-\", as in X-Auth-User", quoted(text)))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$" })
    }
}

/// Whether `text` is a token (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The name of a method (RFC 9110 §9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method(pub Box<str>);

impl Written for Method {
    const EXPECTED: &'static str = "a method such as GET";

    fn read(text: &str) -> Result<Self, String> {
        /// What the HTTP/1.1 parser takes at most.
        const METHOD_BYTES: usize = 32;
        if !is_token(text) || text.len() > METHOD_BYTES {
            return Err(format!("{} is no method; write one such as GET", quoted(text)));
        }
        let upper = text.to_ascii_uppercase();
        if upper != text {
            return Err(format!(
                "the method {} never matches, since methods are case-sensitive; write {upper}",
                quoted(text)
            ));
        }
        if ["CONNECT", "TRACE"].contains(&text) {
            return Err(format!("{text} is refused everywhere; remove it"));
        }
        Ok(Self(text.into()))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Z-]{1,32}$" })
    }
}

/// A method, or all that are not named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MethodOrRest {
    /// This one.
    Method(Method),
    /// `'*'`
    Rest,
}

impl Written for MethodOrRest {
    const EXPECTED: &'static str = "a method such as GET, or '*'";

    fn read(text: &str) -> Result<Self, String> {
        if text == "*" { Ok(Self::Rest) } else { Method::read(text).map(Self::Method) }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// A host a route is for: `api.example.com`, or `*.example.com` for any name below; lower case, without port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern(pub String);

impl Written for HostPattern {
    const EXPECTED: &'static str = "a host such as api.example.com or *.example.com";

    fn read(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let is_address = text.starts_with('[')
            && text.ends_with(']')
            && text[1..text.len() - 1].parse::<std::net::Ipv6Addr>().is_ok();
        if is_host_name(name) || is_address {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        let remedy = match text.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && is_host_name(host) => {
                format!("hosts are compared without port: write {host}")
            }
            _ => "write api.example.com, or *.example.com for any name below it".into(),
        };
        Err(format!("{} is no host; {remedy}", quoted(text)))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// Labels of letters, digits, `-` and `_` (which internal names hold), 253 characters at most.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// An origin that may read answers (Fetch, "HTTP-network-or-cache"): `https://app.example.com`, `null`, or `*` for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(pub Box<str>);

impl Written for Origin {
    const EXPECTED: &'static str = "an origin such as https://app.example.com, or '*'";

    fn read(text: &str) -> Result<Self, String> {
        let is_origin = text.split_once("://").is_some_and(|(scheme, authority)| {
            !scheme.is_empty()
                && scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
                && authority.to_ascii_lowercase() == authority
                && split_authority(authority).is_some()
        });
        if ["*", "null"].contains(&text) || is_origin {
            return Ok(Self(text.into()));
        }
        Err(format!(
            "{} is no origin as browsers send it; write scheme, host and port only, in lower case, as in https://app.example.com",
            quoted(text)
        ))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^(\\*|null|[a-z][a-z0-9+.-]*://[^/?#@A-Z]+)$" })
    }
}

/// Where an upstream is, and whether TLS is spoken with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// The address.
    pub address: UpstreamAddress,
    /// Host and port as written; `localhost` for a Unix socket.
    pub authority: Box<str>,
    /// `https:`
    pub tls: bool,
}

impl Written for UpstreamUrl {
    const EXPECTED: &'static str = "a URL such as http://127.0.0.1:9000 or unix:/run/api.sock";

    fn read(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !is_unix_path(path) {
                return Err(
                    "after unix: stands no absolute path of at most 107 bytes; write unix:/run/api.sock"
                        .into(),
                );
            }
            let address = UpstreamAddress::Unix(PathBuf::from(path));
            return Ok(Self { address, authority: "localhost".into(), tls: false });
        }
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => {
                return Err(format!(
                    "{} is no URL of an upstream; write http://HOST:PORT, https://HOST:PORT or unix:/PATH",
                    shown_url(text)
                ));
            }
        };
        let authority = bare_authority(rest)?;
        let (host, port) = split_authority(authority).ok_or_else(|| {
            format!(
                "{} is no host with a port; write http://127.0.0.1:9000 or http://[::1]:9000",
                quoted(authority)
            )
        })?;
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        if port == 0 {
            return Err("nobody listens on port 0; write the port of the upstream".into());
        }
        let address = UpstreamAddress::Tcp { host: host.into(), port };
        Ok(Self { address, authority: authority.into(), tls })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^(https?://[^/?#@]+/?|unix:/.+)$" })
    }
}

/// `rest` of a URL if it is an authority without user information, path, query or fragment; a lone `/` may end it.
fn bare_authority(rest: &str) -> Result<&str, String> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if authority.contains('@') {
        return Err("the URL holds a user or password; send them with set_headers: {Authorization: \"Basic ${file:…}\"}".into());
    }
    if !["", "/"].contains(&tail) {
        return Err(format!(
            "the URL goes on behind the host with {}; end it there, since paths are forwarded as they came and never rewritten",
            quoted(tail)
        ));
    }
    Ok(authority)
}

/// A URL without what may be a password.
fn shown_url(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => quoted(&format!("…@{rest}")),
        None => quoted(text),
    }
}

/// Host (an IPv6 address without its brackets) and port of `authority` (RFC 3986 §3.2).
pub(crate) fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let valid = authority.starts_with('[') || is_host_name(host);
    let port = match port {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
        None => None,
    };
    valid.then_some((host, port))
}

impl Written for UpstreamHttp {
    const EXPECTED: &'static str = "auto, 1 or 2";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "1" => Ok(Self::Http1),
            "2" => Ok(Self::Http2),
            other => {
                Err(format!("{} is no version of HTTP that is spoken; write auto, 1 or 2", quoted(other)))
            }
        }
    }

    fn read_number(number: u64) -> Result<Self, String> {
        Self::read(&number.to_string())
    }

    fn schema() -> Schema {
        json_schema!({ "enum": ["auto", 1, 2, "1", "2"] })
    }
}

impl Written for UpstreamHost {
    const EXPECTED: &'static str = "preserve, upstream or a host";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "preserve" => Ok(Self::Preserve),
            "upstream" => Ok(Self::Upstream),
            name if split_authority(name).is_some() => Ok(Self::Name(name.into())),
            name => Err(format!(
                "{} is no host; write preserve, upstream, or a host such as api.internal",
                quoted(name)
            )),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [{ "enum": ["preserve", "upstream"] }, { "type": "string", "minLength": 1 }] })
    }
}

/// Where a route's requests name their project, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectPlace {
    /// `path:NAME`
    Path(String),
    /// `query:NAME`, as written
    Query(Box<str>),
    /// `header:NAME`, lower case
    Header(Box<str>),
    /// `host:N`
    Host(usize),
}

impl Written for ProjectPlace {
    const EXPECTED: &'static str = "path:NAME, query:NAME, header:NAME or host:N";

    fn read(text: &str) -> Result<Self, String> {
        /// A host of 253 characters has no more labels.
        const LABELS_MAX: usize = 127;
        let wrong = || {
            format!(
                "{} does not say where the project stands; write path:NAME, query:NAME, header:NAME or host:N (0 is the leftmost label)",
                quoted(text)
            )
        };
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        match kind {
            "path" if !name.is_empty() => Ok(Self::Path(name.into())),
            "query" if is_token(name) => Ok(Self::Query(name.into())),
            "header" => {
                let HeaderName(name) = HeaderName::read(name)?;
                Ok(Self::Header(name.to_ascii_lowercase().into()))
            }
            "host" => name.parse().ok().filter(|at| *at < LABELS_MAX).map(Self::Host).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^((path|query|header):.+|host:[0-9]+)$" })
    }
}

/// Which refusals an error template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorStatus {
    /// `default`
    Default,
    /// One status.
    Status(u16),
}

impl Written for ErrorStatus {
    const EXPECTED: &'static str = "default, or a status such as 404";

    fn read(text: &str) -> Result<Self, String> {
        let status = text.parse().ok().filter(|status| (400..600).contains(status));
        match (text, status) {
            ("default", _) => Ok(Self::Default),
            (_, Some(status)) => Ok(Self::Status(status)),
            (_, None) => Err(format!(
                "{} is no status of an error; write default, or a number such as 404",
                quoted(text)
            )),
        }
    }

    fn read_number(number: u64) -> Result<Self, String> {
        Self::read(&number.to_string())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^(default|[45][0-9][0-9])$" })
    }
}
