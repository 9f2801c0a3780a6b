//! The door of Envoy and Istio, external authorization v3: a call of `Authorization/Check` over gRPC, or a check request
//! that repeats the head of the client's own.
//!
//! Envoy joins the lines of one name with commas before it asks, so a list where one value decides may be two lines: it is
//! refused ([`check_joined`]).

mod messages;

use std::net::IpAddr;

use prost::Message;

use self::messages::{CheckRequest, HttpRequest};
pub(crate) use self::messages::{
    CheckResponse, DeniedHttpResponse, HeaderValueOption, HttpResponse, HttpStatus, OkHttpResponse, Status,
};
use super::{AskError, Unclear, may_have_body};
use crate::{
    config::model::Config,
    gate::Denial,
    http1::parse::{HeadError, HeadLimits, check_field, check_request_line},
    message::{Field, Fields, RequestHead, Version},
    policy::origin::is_method_override,
};

/// The path of the one call that is answered.
pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The longest message that is read: a head in both of its forms, with room.
pub const MESSAGE_BYTES_MAX: usize = 512 * 1024;

/// What precedes a message in gRPC: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// What Envoy adds where it was told to look at bodies (`with_request_body`), and there is one: also an empty one in chunks.
const PARTIAL_BODY: &str = "x-envoy-auth-partial-body";

/// The names of an answer that Envoy reads from the HTTP flavour.
pub const HEADERS_TO_REMOVE: &str = "x-envoy-auth-headers-to-remove";

/// What Envoy asks by gRPC.
#[derive(Debug)]
pub struct Check(CheckRequest);

impl Check {
    /// The call's one message, in `body` with its gRPC prefix.
    ///
    /// # Errors
    /// [`Unclear::Malformed`]: compressed, cut, followed by something, or no `CheckRequest`.
    pub fn decode(body: &[u8]) -> Result<Self, Unclear> {
        let malformed = Unclear::Malformed("CheckRequest");
        let Some((&[0, a, b, c, d], message)) = body.split_first_chunk::<PREFIX_BYTES>() else {
            return Err(malformed);
        };
        if u32::from_be_bytes([a, b, c, d]) as usize != message.len() {
            return Err(malformed);
        }
        CheckRequest::decode(message).map(Self).map_err(|_| malformed)
    }

    /// The address of the peer that sent Envoy the request: the client, or another proxy.
    ///
    /// # Errors
    /// Where it says none.
    pub fn source(&self) -> Result<IpAddr, Unclear> {
        const NAME: &str = "attributes.source.address";
        let source = self.0.attributes.as_ref().and_then(|attributes| attributes.source.as_ref());
        let address = source.and_then(|source| source.address.as_ref()?.socket_address.as_ref());
        let address = address.ok_or(Unclear::Missing(NAME))?;
        let address: IpAddr = address.address.parse().map_err(|_| Unclear::Malformed(NAME))?;
        Ok(address.to_canonical())
    }

    /// The request that is asked about, within `limits`.
    ///
    /// Envoy tells neither the coding of HTTP/1.1 nor whether HTTP/2 and HTTP/3 send a body without length, but by
    /// `x-envoy-auth-partial-body`; without that there is none.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn describe(&self, limits: &HeadLimits) -> Result<RequestHead<'_>, AskError> {
        let request = self.0.attributes.as_ref().and_then(|attributes| attributes.request.as_ref());
        let http = request.and_then(|request| request.http.as_ref());
        let http = http.ok_or(Unclear::Missing("attributes.request.http"))?;
        if http.path.is_empty() && !http.method.eq_ignore_ascii_case("CONNECT") {
            return Err(Unclear::Missing("attributes.request.http.path").into());
        }
        let target = if http.path.is_empty() { &http.host } else { &http.path };
        let method = check_request_line(http.method.as_bytes(), target.as_bytes(), limits)?;
        let mut fields = client_fields(http, limits)?;
        let version = match http.protocol.as_str() {
            "HTTP/1.0" => Version::Http10,
            "HTTP/1.1" | "" => Version::Http11,
            "HTTP/2" | "HTTP/3" => Version::Http2,
            _ => return Err(HeadError::Version.into()),
        };
        let authority = Some(http.host.as_bytes()).filter(|host| !host.is_empty());
        let names_host = fields.iter().any(|field| field.is("host"));
        if let Some(value) = authority.filter(|_| !names_host) {
            fields.push(Field { name: b"host", value });
        }
        let has_body = http.headers.contains_key(PARTIAL_BODY) || tells_of_body(&fields);
        let has_length = fields.all("content-length").any(|length| length != b"0");
        let ends_stream = version == Version::Http2 && !has_length && !has_body;
        if has_body {
            push_coding(&mut fields, version);
        }
        Ok(RequestHead { method, target: target.as_bytes(), authority, version, ends_stream, fields })
    }
}

/// The header lines that the client sent. Pseudo-headers only repeat what else is said.
fn client_fields<'b>(http: &'b HttpRequest, limits: &HeadLimits) -> Result<Fields<'b>, AskError> {
    let raw = http.header_map.iter().flat_map(|map| &map.headers);
    let raw = raw.map(|line| {
        let value = if line.raw_value.is_empty() { line.value.as_bytes() } else { &line.raw_value };
        (line.key.as_str(), value)
    });
    let joined = http.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let is_raw = http.header_map.as_ref().is_some_and(|map| !map.headers.is_empty());
    let lines: Vec<(&str, &[u8])> = if is_raw { raw.collect() } else { joined.collect() };
    let mut fields = Fields::default();
    let mut bytes = 0;
    for (name, value) in lines {
        if let Some(pseudo) = name.strip_prefix(':') {
            check_pseudo(pseudo, value, http)?;
            continue;
        }
        check_field(name.as_bytes(), value)?;
        bytes += name.len() + value.len();
        fields.push(Field { name: name.as_bytes(), value });
    }
    if fields.len() > limits.fields {
        return Err(HeadError::TooManyFields.into());
    }
    if bytes > limits.head_bytes {
        return Err(HeadError::HeadTooLarge.into());
    }
    Ok(fields)
}

fn tells_of_body(fields: &Fields<'_>) -> bool {
    fields.all(PARTIAL_BODY).next().is_some()
}

/// A body without length came in chunks.
fn push_coding(fields: &mut Fields<'_>, version: Version) {
    let is_framed = fields.iter().any(|field| field.is("content-length") || field.is("transfer-encoding"));
    if version != Version::Http2 && !is_framed {
        fields.push(Field { name: b"transfer-encoding", value: b"chunked" });
    }
}

fn check_pseudo(name: &str, value: &[u8], http: &HttpRequest) -> Result<(), Unclear> {
    let (said, what) = match name {
        "method" => (&http.method, ":method"),
        "path" => (&http.path, ":path"),
        "authority" => (&http.host, ":authority"),
        // Of an upgrade over HTTP/2, which Envoy shows as that of HTTP/1.1.
        _ => return Ok(()),
    };
    if said.as_bytes() == value { Ok(()) } else { Err(Unclear::Contradicting(what)) }
}

/// The request that the check request `ask` repeats: its own method, target and host, and the fields that its client sent.
///
/// What Envoy sends along of the client's body tells that there is one; how long it is remains unknown.
///
/// # Errors
/// [`AskError`]: its target is empty.
pub fn describe_http<'b>(ask: &RequestHead<'b>) -> Result<RequestHead<'b>, AskError> {
    if ask.target.is_empty() {
        return Err(Unclear::Missing("the path").into());
    }
    let of_the_ask = |field: &Field<'_>| {
        // Envoy writes a length of its own, and lets go of what else speaks of the client's body.
        field.is("content-length") || field.is("transfer-encoding")
    };
    let mut fields: Fields<'b> = ask.fields.iter().filter(|field| !of_the_ask(field)).copied().collect();
    let has_body = may_have_body(ask) || tells_of_body(&fields);
    if has_body {
        push_coding(&mut fields, ask.version);
    }
    Ok(RequestHead { ends_stream: !has_body, fields, ..ask.clone() })
}

/// Refuses a list where one value decides: it may have been several lines, of which the API reads one.
///
/// # Errors
/// A [`Denial`] of row 1.
pub fn check_joined(fields: &Fields<'_>, config: &Config) -> Result<(), Denial<'static>> {
    const DECIDE: [&str; 6] =
        ["host", "origin", "access-control-request-method", "content-length", "transfer-encoding", "upgrade"];
    let policy = &config.policy;
    let decides = |field: &Field<'_>| {
        DECIDE.iter().any(|name| field.is(name))
            || is_method_override(field.name)
            || policy.credentials.include(field)
            || policy.routes.project_headers().any(|name| name.as_bytes().eq_ignore_ascii_case(field.name))
    };
    if fields.iter().any(|field| field.value.contains(&b',') && decides(field)) {
        return Err(Denial::bad_request("A header that decides about the request has more than one value."));
    }
    Ok(())
}

/// `response` as the one message of an answer, with its gRPC prefix.
pub(crate) fn encode(response: &CheckResponse) -> Vec<u8> {
    let message = response.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], &message].concat()
}

#[cfg(test)]
mod tests;
