//! What a request says, once its head was found to have one reading: row 1 of the table and the methods of row 2.

use memchr::memchr;

use super::{Denial, Policy, leak::shows_key};
use crate::{
    http1::framing::{
        BodyLength, Expectation, FramingError, connection_tokens, declared_length, expectation,
    },
    message::{Fields, RequestHead, Version},
    policy::{
        decide::Asked,
        fold::{folds_to, same_fold},
        origin::{is_method_override, overrides_method},
        path::RequestPath,
        project::from_query,
        reason::Reason,
        route::RouteTable,
    },
};

/// A request whose method, target, host, framing and header set have exactly one reading.
#[derive(Debug)]
pub struct Request<'b> {
    head: &'b RequestHead<'b>,
    /// The path; `None` for `OPTIONS *`.
    pub path: Option<RequestPath<'b>>,
    /// What is forwarded as the target: origin form, byte for byte the path and query that were sent.
    pub target: &'b [u8],
    query: Option<&'b [u8]>,
    /// The host as sent, with its port.
    pub authority: Option<&'b str>,
    /// How its body is delimited.
    pub body: BodyLength,
    /// What it expects before it sends the body.
    pub expects_continue: bool,
    /// The method of an `X-HTTP-Method-Override` field or its kin.
    method_override: Option<&'b str>,
    /// The method that a CORS preflight asks for.
    pub preflight_method: Option<&'b str>,
}

impl<'b> Request<'b> {
    /// Reads what `head` says.
    ///
    /// An HTTP/2 request that goes on after its head without `content-length` has a body like a chunked one.
    ///
    /// # Errors
    /// A [`Denial`] of row 1 or 2. After it, an HTTP/1 connection must close.
    pub fn read(head: &'b RequestHead<'b>, policy: &Policy) -> Result<Self, Denial<'static>> {
        check_method(head.method)?;
        let body = read_body_length(head)?;
        let (target, form_authority) = split_target(head)?;
        if memchr(b'#', target).is_some() {
            return Err(Denial::bad_request("The request target holds a fragment."));
        }
        let authority = read_authority(head, form_authority)?;
        check_connection_options(head, policy)?;
        let expects_continue = match expectation(head.version, &head.fields) {
            Expectation::None => false,
            Expectation::Continue => !body.is_empty(),
            Expectation::Other => return Err(Denial::expectation_failed()),
        };
        if passed_here_before(&head.fields, &policy.via) {
            return Err(Denial::loop_detected());
        }
        let (path, query) = if target == b"*" {
            (None, None)
        } else {
            let (path, query) = split_query(target);
            (Some(RequestPath::parse(path).map_err(Denial::path)?), query)
        };
        if query.is_some_and(|query| shows_key(query, &policy.brand)) {
            return Err(Denial::bad_request(
                "The query seems to hold an API key. Send it in the Authorization header, and revoke it: it is in logs by now.",
            ));
        }
        let method_override = read_method_override(head, query, &policy.routes)?;
        let preflight_method = read_preflight(head);
        Ok(Self {
            head,
            path,
            target,
            query,
            authority,
            body,
            expects_continue,
            method_override,
            preflight_method,
        })
    }

    /// The method as sent.
    pub fn method(&self) -> &'b str {
        self.head.method
    }

    /// The header section.
    pub fn fields(&self) -> &'b Fields<'b> {
        &self.head.fields
    }

    /// The host without port and trailing dot, as sent; `None` for an HTTP/1.0 request without Host.
    pub fn host_name(&self) -> Option<&'b str> {
        self.authority.map(|authority| {
            let name = match authority.rfind(':') {
                Some(at) if !authority.ends_with(']') => &authority[..at],
                Some(_) | None => authority,
            };
            name.strip_suffix('.').unwrap_or(name)
        })
    }

    pub(super) fn asked<'h>(&'h self, path: &'h RequestPath<'b>) -> Asked<'b, 'h> {
        Asked {
            method: self.head.method,
            path,
            query: self.query,
            host: self.host_name(),
            fields: &self.head.fields,
            method_override: self.method_override,
            has_body: !self.body.is_empty(),
        }
    }
}

/// Methods have a case (RFC 9110 §9.1), and no registered one has lower-case letters: a back end that ignores the case
/// would serve another method than the one that was judged.
fn check_method(method: &str) -> Result<(), Denial<'static>> {
    if ["CONNECT", "TRACE"].iter().any(|never| never.eq_ignore_ascii_case(method)) {
        return Err(Denial::method_never_served());
    }
    if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(Denial::bad_request("The method is not in upper case."));
    }
    Ok(())
}

fn read_body_length(head: &RequestHead<'_>) -> Result<BodyLength, Denial<'static>> {
    let declared = declared_length(head.version, &head.fields).map_err(Denial::framing)?;
    if head.ends_stream {
        return match declared {
            None | Some(BodyLength::Known(0)) => Ok(BodyLength::Empty),
            Some(_) => Err(Denial::framing(FramingError::Length)),
        };
    }
    Ok(declared.unwrap_or(match head.version {
        Version::Http10 | Version::Http11 => BodyLength::Empty,
        Version::Http2 => BodyLength::Chunked,
    }))
}

/// Origin form and asterisk form as they stand, absolute form without its authority (RFC 9112 §3.2).
fn split_target<'b>(head: &RequestHead<'b>) -> Result<(&'b [u8], Option<&'b [u8]>), Denial<'static>> {
    let target = head.target;
    match target.first() {
        Some(b'/') => Ok((target, None)),
        Some(b'*') if target.len() == 1 && head.method == "OPTIONS" => Ok((target, None)),
        Some(_) if head.version != Version::Http2 => {
            let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
                target.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
            });
            let rest = scheme.map(|scheme| &target[scheme.len()..]).ok_or_else(Denial::target_form)?;
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            match rest.get(end) {
                Some(b'/') => Ok((&rest[end..], Some(&rest[..end]))),
                // A target without path would have to be given one; nothing is repaired.
                Some(_) | None => Err(Denial::target_form()),
            }
        }
        Some(_) | None => Err(Denial::target_form()),
    }
}

/// Exactly one Host (RFC 9112 §3.2), equal to the authority of an absolute form or of `:authority`.
fn read_authority<'b>(
    head: &RequestHead<'b>,
    form_authority: Option<&'b [u8]>,
) -> Result<Option<&'b str>, Denial<'static>> {
    let host = head.fields.only("host").map_err(|_| Denial::host("The request has more than one Host."))?;
    let said = [host, head.authority, form_authority];
    let mut all = said.into_iter().flatten();
    let Some(first) = all.next() else {
        return match head.version {
            Version::Http10 => Ok(None),
            Version::Http11 | Version::Http2 => Err(Denial::host("The request has no Host.")),
        };
    };
    if all.any(|other| !other.eq_ignore_ascii_case(first)) {
        return Err(Denial::host("Host and the authority of the target differ."));
    }
    if !is_authority(first) {
        return Err(Denial::host("The Host is malformed."));
    }
    std::str::from_utf8(first).map(Some).map_err(|_| Denial::host("The Host is malformed."))
}

/// A name or an IPv4 address, or an IPv6 address in brackets, and perhaps a port (RFC 3986 §3.2.2 and §3.2.3), without
/// the spellings that two parsers read differently: user information, percent-encoding, an empty name or port.
fn is_authority(host: &[u8]) -> bool {
    let is_port = |port: &[u8]| (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit);
    if let Some(rest) = host.strip_prefix(b"[") {
        let Some(end) = memchr(b']', rest) else { return false };
        let inner = std::str::from_utf8(&rest[..end]).unwrap_or_default();
        let tail = &rest[end + 1..];
        return inner.parse::<core::net::Ipv6Addr>().is_ok()
            && (tail.is_empty() || tail.strip_prefix(b":").is_some_and(is_port));
    }
    let (name, port) = match memchr(b':', host) {
        Some(at) => (&host[..at], Some(&host[at + 1..])),
        None => (host, None),
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    !name.is_empty()
        && name.len() <= 255
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte))
        && !name.split(|byte| *byte == b'.').any(<[u8]>::is_empty)
        && port.is_none_or(is_port)
}

/// `Connection` may not name a field whose removal changes who asks, for what, or how the message is delimited
/// (RFC 9110 §7.6.1).
fn check_connection_options(head: &RequestHead<'_>, policy: &Policy) -> Result<(), Denial<'static>> {
    for token in connection_tokens(&head.fields) {
        let folds = |name: &str| folds_to(token, name);
        let starts = |prefix: &str| token.len() >= prefix.len() && folds_to(&token[..prefix.len()], prefix);
        let decides = [
            "host",
            "authorization",
            "cookie",
            "transfer-encoding",
            "forwarded",
            "via",
            "x-real-ip",
            "x-request-id",
        ]
        .into_iter()
        .any(folds)
            || starts("content-")
            || starts("x-forwarded-")
            || policy.credentials.names().any(folds)
            || overrides_method(token)
            || policy.routes.project_headers().any(|name| same_fold(token, name.as_bytes()))
            || policy.identity_names.contains(token);
        if decides {
            return Err(Denial::bad_request("The Connection header names a field that may not be removed."));
        }
    }
    Ok(())
}

fn passed_here_before(fields: &Fields<'_>, via: &str) -> bool {
    fields.all("via").any(|line| {
        line.split(|byte| *byte == b',').any(|hop| {
            let mut words = hop.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
            words.nth(1).is_some_and(|name| name == via.as_bytes())
        })
    })
}

fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b'?', target) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

/// The query parameter by which frameworks let a client change the method.
const OVERRIDE_PARAMETER: &str = "_method";

/// The method that a POST asks for in place of its own, where some route honours that. Judged before the key and
/// without regard to the path, so that the answer tells nothing about routes.
fn read_method_override<'b>(
    head: &RequestHead<'b>,
    query: Option<&'b [u8]>,
    routes: &RouteTable,
) -> Result<Option<&'b str>, Denial<'static>> {
    let mut lines = head.fields.iter().filter(|field| overrides_method(field.name));
    let line = lines.next();
    let in_query = query.map_or(Ok(None), |query| from_query(query, OVERRIDE_PARAMETER));
    if line.is_none() && in_query == Ok(None) {
        return Ok(None);
    }
    if !routes.honours_method_override() {
        return Err(Denial::bad_request("The request overrides its method, which is not permitted here."));
    }
    let unclear = || {
        Denial::bad_request(
            "Only a POST may override its method, once, with a method in upper case, by a name spelled as it is known.",
        )
    };
    let value = match (line, lines.next(), in_query) {
        (Some(line), None, Ok(None)) if is_method_override(line.name) => line.value,
        (None, None, Ok(Some(value))) => value,
        (_, _, _) => return Err(unclear()),
    };
    let is_method = (1..=crate::http1::parse::METHOD_BYTES).contains(&value.len())
        && value.iter().all(u8::is_ascii_uppercase);
    if matches!(value, b"CONNECT" | b"TRACE") {
        return Err(Denial::method_never_served());
    }
    if head.method != "POST" || !is_method {
        return Err(unclear());
    }
    Ok(std::str::from_utf8(value).ok())
}

fn read_preflight<'b>(head: &'b RequestHead<'b>) -> Option<&'b str> {
    if head.method != "OPTIONS" || head.fields.all("origin").next().is_none() {
        return None;
    }
    let method = head.fields.only("access-control-request-method").ok().flatten()?;
    std::str::from_utf8(method).ok()
}

/// Which [`Reason`] a head that the codec refused is answered with.
pub fn head_error_reason(error: crate::http1::parse::HeadError) -> Reason {
    match error.status() {
        414 => Reason::UriTooLong,
        431 => Reason::HeadersTooLarge,
        505 => Reason::VersionNotSupported,
        _ => Reason::BadRequest,
    }
}
