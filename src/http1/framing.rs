//! How long the body of a message is, and what its `Connection` and `Expect` fields ask for
//! (RFC 9112 §6 and §9, RFC 9110 §7.6.1 and §10.1.1).

use std::{error, fmt};

use super::grammar::trim;
use crate::message::{Fields, RequestHead, ResponseHead, Version};

/// What delimits the body of a message (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none, and no field speaks of one, or the kind of message rules it out.
    Empty,
    /// So many bytes, possibly 0: `Content-Length`.
    Known(u64),
    /// Chunks, up to the one of size 0: `Transfer-Encoding: chunked`.
    Chunked,
    /// Everything until the connection closes; responses only.
    UntilClose,
}

impl BodyLength {
    /// Whether it is certain that no byte of body follows.
    pub fn is_empty(self) -> bool {
        match self {
            Self::Empty | Self::Known(0) => true,
            Self::Known(_) | Self::Chunked | Self::UntilClose => false,
        }
    }
}

/// Why the framing of a message has no, or more than one, reading. The connection must close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramingError {
    /// `Transfer-Encoding` beside `Content-Length` (RFC 9112 §6.1).
    LengthBesideCoding,
    /// `Content-Length` is not exactly one line of digits that make a number below 2^64 (RFC 9112 §6.3).
    Length,
    /// `Transfer-Encoding` is not exactly one line that says exactly `chunked` (RFC 9112 §6.1).
    Coding,
    /// `Transfer-Encoding` in another version than HTTP/1.1 (RFC 9112 §6.1).
    CodingInVersion,
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LengthBesideCoding => "Transfer-Encoding stands beside Content-Length",
            Self::Length => "Content-Length is not exactly one number",
            Self::Coding => "Transfer-Encoding is not exactly \"chunked\"",
            Self::CodingInVersion => "Transfer-Encoding is not a field of this version of HTTP",
        })
    }
}

impl error::Error for FramingError {}

/// The length of the body that follows a request head (RFC 9112 §6.3); without a field that says it, [`Empty`].
///
/// # Errors
/// [`FramingError`]: 400, and close.
///
/// [`Empty`]: BodyLength::Empty
pub fn request_body_length(head: &RequestHead<'_>) -> Result<BodyLength, FramingError> {
    Ok(declared_length(head.version, &head.fields)?.unwrap_or(BodyLength::Empty))
}

/// The length of the body that follows a response head, given the method of its request (RFC 9112 §6.3).
///
/// 1xx, 204, 304 and responses to HEAD have no body whatever their fields say. CONNECT is nothing this codec serves.
///
/// # Errors
/// [`FramingError`]: 502, and close.
pub fn response_body_length(
    head: &ResponseHead<'_>,
    request_method: &str,
) -> Result<BodyLength, FramingError> {
    if request_method == "HEAD" || matches!(head.status, 100..=199 | 204 | 304) {
        return Ok(BodyLength::Empty);
    }
    Ok(declared_length(head.version, &head.fields)?.unwrap_or(BodyLength::UntilClose))
}

/// What `Content-Length` and `Transfer-Encoding` say, `None` where neither stands: [`Known`] or [`Chunked`].
///
/// Of a response to HEAD and of a 304 it is the length of a body that is not sent (RFC 9110 §8.6).
///
/// # Errors
/// [`FramingError`], where they have no, or more than one, reading.
///
/// [`Known`]: BodyLength::Known
/// [`Chunked`]: BodyLength::Chunked
pub fn declared_length(version: Version, fields: &Fields<'_>) -> Result<Option<BodyLength>, FramingError> {
    let coding = fields.only("transfer-encoding").map_err(|_| FramingError::Coding)?;
    let length = fields.only("content-length").map_err(|_| FramingError::Length)?;
    match (coding, length) {
        (None, None) => Ok(None),
        (None, Some(digits)) => number(digits).map(|length| Some(BodyLength::Known(length))),
        (Some(_), Some(_)) => Err(FramingError::LengthBesideCoding),
        (Some(_), None) if version != Version::Http11 => Err(FramingError::CodingInVersion),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Some(BodyLength::Chunked)),
        (Some(_), None) => Err(FramingError::Coding),
    }
}

/// Whether the sender of this head keeps the connection open after its message (RFC 9112 §9.3): `close` decides,
/// then the version, and HTTP/1.0 must say `keep-alive`.
pub fn keeps_alive(version: Version, fields: &Fields<'_>) -> bool {
    let says = |option: &[u8]| connection_tokens(fields).any(|token| token.eq_ignore_ascii_case(option));
    match version {
        Version::Http10 => !says(b"close") && says(b"keep-alive"),
        Version::Http11 | Version::Http2 => !says(b"close"),
    }
}

/// The connection options of all `Connection` lines (RFC 9110 §7.6.1), trimmed, none empty, as sent: any case, and
/// not necessarily tokens or UTF-8.
pub fn connection_tokens<'s, 'b>(fields: &'s Fields<'b>) -> impl Iterator<Item = &'b [u8]> + use<'s, 'b> {
    fields
        .all("connection")
        .flat_map(|line| line.split(|&byte| byte == b','))
        .map(trim)
        .filter(|token| !token.is_empty())
}

/// What a request expects of the server before it sends its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Nothing.
    None,
    /// `100-continue`: an interim response, or the final one.
    Continue,
    /// Something that nobody defined: 417.
    Other,
}

/// What the `Expect` field of a request asks for (RFC 9110 §10.1.1). HTTP/1.0 cannot expect anything.
pub fn expectation(version: Version, fields: &Fields<'_>) -> Expectation {
    match (version, fields.only("expect")) {
        (Version::Http10, _) | (_, Ok(None)) => Expectation::None,
        (_, Ok(Some(value))) if value.eq_ignore_ascii_case(b"100-continue") => Expectation::Continue,
        (_, Ok(Some(_)) | Err(_)) => Expectation::Other,
    }
}

/// 1*DIGIT below 2^64. `str::parse` would take a sign.
fn number(digits: &[u8]) -> Result<u64, FramingError> {
    if digits.is_empty() {
        return Err(FramingError::Length);
    }
    digits
        .iter()
        .try_fold(0_u64, |number, byte| match byte {
            b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
            _ => None,
        })
        .ok_or(FramingError::Length)
}

#[cfg(test)]
mod tests;
