//! Writes heads and chunks (RFC 9112). Always in version 1.1, the one this codec speaks (RFC 9110 §2.5); a recipient
//! that speaks 1.0 must be given no [`write_chunked_coding`].
//!
//! What could end a line early or be read in two ways is not written: it is an [`Unwritable`], and `out` is left as it
//! was. So no value, wherever it came from, can inject a line.

use std::num::NonZeroUsize;
use std::{error, fmt};

use bytes::BufMut;

use super::body::may_be_trailer;
use super::grammar::{is_token, text_run, visible_run};
use crate::message::{Field, Fields};

/// Ends the head.
pub const HEAD_END: &[u8] = b"\r\n";
/// Ends the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// Ends a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What cannot be written without a second reading. Offending bytes are not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwritable {
    /// The method is not a token.
    Method,
    /// The target is empty or not visible ASCII.
    Target,
    /// The status is not 100 to 999.
    Status,
    /// The reason phrase holds a control byte.
    Reason,
    /// The field name is not a token.
    FieldName,
    /// The field value holds a control byte.
    FieldValue,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "the method to send is not a token",
            Self::Target => "the request target to send is empty or not visible ASCII",
            Self::Status => "the status to send is not between 100 and 999",
            Self::Reason => "the reason phrase to send holds a control character",
            Self::FieldName => "the field name to send is not a token",
            Self::FieldValue => "the field value to send holds a control character",
        })
    }
}

impl error::Error for Unwritable {}

/// Writes a request line (RFC 9112 §3).
///
/// # Errors
/// [`Unwritable`], and `out` is as it was.
pub fn write_request_line(out: &mut impl BufMut, method: &str, target: &[u8]) -> Result<(), Unwritable> {
    check(is_token(method.as_bytes()), Unwritable::Method)?;
    check(!target.is_empty() && visible_run(target) == target.len(), Unwritable::Target)?;
    out.put_slice(method.as_bytes());
    out.put_slice(b" ");
    out.put_slice(target);
    out.put_slice(b" HTTP/1.1\r\n");
    Ok(())
}

/// Writes a status line (RFC 9112 §4); `reason` may be empty.
///
/// # Errors
/// [`Unwritable`], and `out` is as it was.
pub fn write_status_line(out: &mut impl BufMut, status: u16, reason: &[u8]) -> Result<(), Unwritable> {
    check((100..=999).contains(&status), Unwritable::Status)?;
    check(text_run(reason) == reason.len(), Unwritable::Reason)?;
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(itoa::Buffer::new().format(status).as_bytes());
    out.put_slice(b" ");
    out.put_slice(reason);
    out.put_slice(b"\r\n");
    Ok(())
}

/// Writes a field line (RFC 9112 §5): the name in the case given, a colon, a space, the value.
///
/// # Errors
/// [`Unwritable`], and `out` is as it was.
pub fn write_field(out: &mut impl BufMut, name: &[u8], value: &[u8]) -> Result<(), Unwritable> {
    check_field(name, value)?;
    put_field(out, name, value);
    Ok(())
}

/// Writes `Content-Length` (RFC 9110 §8.6).
pub fn write_content_length(out: &mut impl BufMut, length: u64) {
    put_field(out, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
}

/// Writes `Transfer-Encoding: chunked` (RFC 9112 §6.1); only for a recipient that speaks HTTP/1.1.
pub fn write_chunked_coding(out: &mut impl BufMut) {
    put_field(out, b"Transfer-Encoding", b"chunked");
}

/// Writes one chunk with its data (RFC 9112 §7.1), or nothing where `data` is empty: a chunk of size 0 is the last.
pub fn write_chunk(out: &mut impl BufMut, data: &[u8]) {
    if let Some(size) = NonZeroUsize::new(data.len()) {
        write_chunk_header(out, size);
        out.put_slice(data);
        out.put_slice(CHUNK_END);
    }
}

/// Writes the line before the data of a chunk (RFC 9112 §7.1); [`CHUNK_END`] must follow the data.
pub fn write_chunk_header(out: &mut impl BufMut, size: NonZeroUsize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let size = size.get();
    let mut shift = size.ilog2() / 4 * 4;
    loop {
        out.put_u8(DIGITS[size >> shift & 0xf]);
        if shift == 0 {
            break;
        }
        shift -= 4;
    }
    out.put_slice(b"\r\n");
}

/// Writes the last chunk and a trailer section (RFC 9112 §7.1.2), leaving out what must not be in one
/// ([`may_be_trailer`]).
///
/// # Errors
/// [`Unwritable`], and `out` is as it was.
pub fn write_last_chunk(out: &mut impl BufMut, trailers: &Fields<'_>) -> Result<(), Unwritable> {
    let sent = || trailers.iter().filter(|field| may_be_trailer(field.name));
    sent().try_for_each(|Field { name, value }| check_field(name, value))?;
    out.put_slice(b"0\r\n");
    sent().for_each(|Field { name, value }| put_field(out, name, value));
    out.put_slice(HEAD_END);
    Ok(())
}

fn check_field(name: &[u8], value: &[u8]) -> Result<(), Unwritable> {
    check(is_token(name), Unwritable::FieldName)?;
    check(text_run(value) == value.len(), Unwritable::FieldValue)
}

fn put_field(out: &mut impl BufMut, name: &[u8], value: &[u8]) {
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

fn check(fine: bool, otherwise: Unwritable) -> Result<(), Unwritable> {
    if fine { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests;
