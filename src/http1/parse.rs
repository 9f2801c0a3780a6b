//! Reads the head of a request or a response (RFC 9112 §2 to §5) out of the bytes received so far.

use std::{error, fmt};

use memchr::memchr_iter;

use super::grammar::{is_token, text_run, token_run, trim, visible_run};
use crate::message::{Field, Fields, RequestHead, ResponseHead, Version};

/// How large a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// The whole head in bytes, from its first byte to the empty line that ends it.
    pub head_bytes: usize,
    /// The request target in bytes.
    pub target_bytes: usize,
    /// The number of field lines.
    pub fields: usize,
}

impl Default for HeadLimits {
    /// A head of 32 KiB, a target of 8 KiB (RFC 9112 §3 recommends 8000 bytes at least), 100 fields.
    fn default() -> Self {
        Self { head_bytes: 32 * 1024, target_bytes: 8 * 1024, fields: 100 }
    }
}

/// The longest method taken; the longest one registered has 18 bytes.
pub const METHOD_BYTES: usize = 32;

/// What the bytes received so far amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The head, and the number of bytes it took; what follows is the body.
    Complete {
        /// The head.
        head: T,
        /// Its length in bytes, with the empty line that ends it (and the one that a client may send before it).
        length: usize,
    },
    /// Nothing wrong so far, and not the end.
    Partial,
}

/// Why a head is refused. Offending bytes are not part of it: they may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// The start line is not its parts with exactly one space between them (RFC 9112 §3, §4).
    StartLine,
    /// The method is not a token, or longer than [`METHOD_BYTES`] (RFC 9110 §9.1).
    Method,
    /// The request target is empty or holds a byte that is not visible ASCII (RFC 9112 §3.2).
    Target,
    /// The request target is longer than [`HeadLimits::target_bytes`].
    TargetTooLong,
    /// A version of HTTP, but neither 1.0 nor 1.1.
    Version,
    /// The status is not three digits from 100 to 999 (RFC 9112 §4).
    Status,
    /// The reason phrase holds a control byte (RFC 9112 §4).
    Reason,
    /// A line ends otherwise than with CRLF (RFC 9112 §2.2).
    LineEnd,
    /// A field name is not a token with a colon right behind it (RFC 9112 §5.1).
    FieldName,
    /// A field value holds a control byte (RFC 9110 §5.5).
    FieldValue,
    /// A line of the header section starts with white space (obs-fold, RFC 9112 §5.2; §2.2 for the first).
    Fold,
    /// More field lines than [`HeadLimits::fields`].
    TooManyFields,
    /// The head is longer than [`HeadLimits::head_bytes`].
    HeadTooLarge,
}

impl HeadError {
    /// The status that a server answers to a request whose head is refused for this.
    pub fn status(self) -> u16 {
        match self {
            Self::StartLine
            | Self::Method
            | Self::Target
            | Self::Status
            | Self::Reason
            | Self::LineEnd
            | Self::FieldName
            | Self::FieldValue
            | Self::Fold => 400,
            Self::TargetTooLong => 414,
            Self::TooManyFields | Self::HeadTooLarge => 431,
            Self::Version => 505,
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartLine => "the start line is malformed",
            Self::Method => "the method is not a token of at most 32 characters",
            Self::Target => "the request target is empty or holds a byte that is not visible ASCII",
            Self::TargetTooLong => "the request target is too long",
            Self::Version => "the version of HTTP is neither 1.0 nor 1.1",
            Self::Status => "the status is not three digits from 100 to 999",
            Self::Reason => "the reason phrase holds a control character",
            Self::LineEnd => "a line does not end with CR LF",
            Self::FieldName => "a field name is not a token followed by a colon",
            Self::FieldValue => "a field value holds a control character",
            Self::Fold => "a line of the header section starts with white space",
            Self::TooManyFields => "the header section has too many fields",
            Self::HeadTooLarge => "the head is too large",
        })
    }
}

impl error::Error for HeadError {}

/// Reads a request head from the start of `bytes` (RFC 9112 §3, §5); an empty line before it is skipped, once (§2.2).
///
/// Takes time linear in the head and no heap memory for up to 32 fields. It starts over on every call: after
/// [`Parsed::Partial`], call again only once [`find_head_end`] finds an end or `bytes` reaches `limits.head_bytes`.
///
/// # Errors
/// [`HeadError`], as soon as the bytes at hand are wrong, or more than `limits` allows, with or without an end.
pub fn parse_request<'b>(bytes: &'b [u8], limits: &HeadLimits) -> Result<Parsed<RequestHead<'b>>, HeadError> {
    parse(bytes, limits, |cursor| {
        if cursor.rest.first() == Some(&b'\r') {
            cursor.line_end()?;
        }
        let method = cursor.method()?;
        let target = cursor.target(limits.target_bytes)?;
        let version = cursor.version()?;
        cursor.line_end()?;
        let fields = cursor.fields(limits.fields)?;
        Ok(RequestHead { method, target, authority: None, version, ends_stream: false, fields })
    })
}

/// Reads a response head from the start of `bytes` (RFC 9112 §4, §5), at the same cost as [`parse_request`] and to
/// be called again in the same way. The reason phrase may be missing, with or without the space before it.
///
/// # Errors
/// [`HeadError`], as soon as the bytes at hand are wrong, or more than `limits` allows, with or without an end.
pub fn parse_response<'b>(
    bytes: &'b [u8],
    limits: &HeadLimits,
) -> Result<Parsed<ResponseHead<'b>>, HeadError> {
    parse(bytes, limits, |cursor| {
        let version = cursor.version()?;
        let status = cursor.status()?;
        let reason = cursor.reason()?;
        let fields = cursor.fields(limits.fields)?;
        Ok(ResponseHead { status, reason, version, fields })
    })
}

/// Whether a head with this method and target could come from [`parse_request`], of one that is told in another way;
/// then the method.
///
/// # Errors
/// [`HeadError`], as for the request line.
pub fn check_request_line<'b>(
    method: &'b [u8],
    target: &[u8],
    limits: &HeadLimits,
) -> Result<&'b str, HeadError> {
    if !is_token(method) || method.len() > METHOD_BYTES {
        return Err(HeadError::Method);
    }
    if target.len() > limits.target_bytes {
        return Err(HeadError::TargetTooLong);
    }
    if target.is_empty() || visible_run(target) != target.len() {
        return Err(HeadError::Target);
    }
    str::from_utf8(method).map_err(|_| HeadError::Method)
}

/// The same for a field line.
///
/// # Errors
/// [`HeadError`], as for a line of the header section.
pub fn check_field(name: &[u8], value: &[u8]) -> Result<(), HeadError> {
    if !is_token(name) {
        return Err(HeadError::FieldName);
    }
    if text_run(value) != value.len() || trim(value).len() != value.len() {
        return Err(HeadError::FieldValue);
    }
    Ok(())
}

/// Reads a trailer section that is whole: field lines and the empty line that ends them, and nothing more.
pub(super) fn parse_trailers(bytes: &[u8], limit: usize) -> Result<Fields<'_>, HeadError> {
    let mut cursor = Cursor { rest: bytes };
    match cursor.fields(limit) {
        Ok(fields) if cursor.rest.is_empty() => Ok(fields),
        Ok(_) | Err(Stop::Partial) => Err(HeadError::LineEnd),
        Err(Stop::Refused(error)) => Err(error),
    }
}

/// Where the head at the start of `bytes` ends: the offset behind the first empty line, also one that a bare LF ends,
/// so that a parser gets to see and refuse it. `from` is the number of bytes that an earlier call has seen (or 0).
pub fn find_head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let start = from.saturating_sub(3).min(bytes.len());
    memchr_iter(b'\n', &bytes[start..]).find_map(|at| match &bytes[start + at + 1..] {
        [b'\n', ..] => Some(start + at + 2),
        [b'\r', b'\n', ..] => Some(start + at + 3),
        _ => None,
    })
}

/// Why reading stopped before the end of the head.
enum Stop {
    Partial,
    Refused(HeadError),
}

impl From<HeadError> for Stop {
    fn from(error: HeadError) -> Self {
        Self::Refused(error)
    }
}

fn parse<'b, T>(
    bytes: &'b [u8],
    limits: &HeadLimits,
    read: impl FnOnce(&mut Cursor<'b>) -> Result<T, Stop>,
) -> Result<Parsed<T>, HeadError> {
    let window = &bytes[..bytes.len().min(limits.head_bytes)];
    let mut cursor = Cursor { rest: window };
    match read(&mut cursor) {
        Ok(head) => Ok(Parsed::Complete { head, length: window.len() - cursor.rest.len() }),
        Err(Stop::Partial) if window.len() == limits.head_bytes => Err(HeadError::HeadTooLarge),
        Err(Stop::Partial) => Ok(Parsed::Partial),
        Err(Stop::Refused(error)) => Err(error),
    }
}

/// The bytes not read yet. A method takes one element of the grammar, and what delimits it, off their start.
struct Cursor<'b> {
    rest: &'b [u8],
}

impl<'b> Cursor<'b> {
    fn method(&mut self) -> Result<&'b str, Stop> {
        let length = token_run(self.rest);
        if length > METHOD_BYTES {
            return Err(HeadError::Method.into());
        }
        let method = self.take(length);
        match self.rest {
            [b' ', rest @ ..] if length > 0 => self.rest = rest,
            [] => return Err(Stop::Partial),
            _ => return Err(HeadError::Method.into()),
        }
        str::from_utf8(method).map_err(|_| HeadError::Method.into())
    }

    fn target(&mut self, limit: usize) -> Result<&'b [u8], Stop> {
        let length = visible_run(self.rest);
        if length > limit {
            return Err(HeadError::TargetTooLong.into());
        }
        let target = self.take(length);
        match self.rest {
            [b' ', rest @ ..] if length > 0 => self.rest = rest,
            [] => return Err(Stop::Partial),
            _ => return Err(HeadError::Target.into()),
        }
        Ok(target)
    }

    fn version(&mut self) -> Result<Version, Stop> {
        const FORM: &[u8; 5] = b"HTTP/";
        let Some((version, rest)) = self.rest.split_first_chunk::<8>() else {
            let known = self.rest.len().min(FORM.len());
            let possible = self.rest[..known] == FORM[..known];
            return Err(if possible { Stop::Partial } else { HeadError::StartLine.into() });
        };
        self.rest = rest;
        match version {
            b"HTTP/1.1" => Ok(Version::Http11),
            b"HTTP/1.0" => Ok(Version::Http10),
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(HeadError::Version.into()),
            _ => Err(HeadError::StartLine.into()),
        }
    }

    fn status(&mut self) -> Result<u16, Stop> {
        match *self.rest {
            [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ref rest @ ..] => {
                self.rest = rest;
                let digit = |byte| u16::from(byte - b'0');
                Ok(digit(a) * 100 + digit(b) * 10 + digit(c))
            }
            [] | [b' '] | [b' ', b'1'..=b'9'] | [b' ', b'1'..=b'9', b'0'..=b'9'] => Err(Stop::Partial),
            [b' ', ..] => Err(HeadError::Status.into()),
            _ => Err(HeadError::StartLine.into()),
        }
    }

    /// Takes the rest of the status line. Some servers leave out the space that RFC 9112 §4 wants before a phrase
    /// that is absent; clients have always put up with it, and it has one reading.
    fn reason(&mut self) -> Result<&'b [u8], Stop> {
        match self.rest {
            [b' ', rest @ ..] => self.rest = rest,
            [b'\r' | b'\n', ..] | [] => {}
            _ => return Err(HeadError::Status.into()),
        }
        self.text_line(HeadError::Reason)
    }

    fn fields(&mut self, limit: usize) -> Result<Fields<'b>, Stop> {
        let mut fields = Fields::default();
        loop {
            match self.rest {
                [b'\r' | b'\n', ..] | [] => {
                    self.line_end()?;
                    return Ok(fields);
                }
                [b' ' | b'\t', ..] => return Err(HeadError::Fold.into()),
                _ if fields.len() == limit => return Err(HeadError::TooManyFields.into()),
                _ => fields.push(self.field()?),
            }
        }
    }

    fn field(&mut self) -> Result<Field<'b>, Stop> {
        let name = self.take(token_run(self.rest));
        match self.rest {
            [b':', rest @ ..] if !name.is_empty() => self.rest = rest,
            [] => return Err(Stop::Partial),
            _ => return Err(HeadError::FieldName.into()),
        }
        Ok(Field { name, value: trim(self.text_line(HeadError::FieldValue)?) })
    }

    /// Takes text up to the end of its line; `wrong` is what a control byte in it is.
    fn text_line(&mut self, wrong: HeadError) -> Result<&'b [u8], Stop> {
        let text = self.take(text_run(self.rest));
        match self.rest {
            [b'\r' | b'\n', ..] | [] => self.line_end()?,
            _ => return Err(wrong.into()),
        }
        Ok(text)
    }

    fn line_end(&mut self) -> Result<(), Stop> {
        match self.rest {
            [b'\r', b'\n', rest @ ..] => self.rest = rest,
            [] | [b'\r'] => return Err(Stop::Partial),
            _ => return Err(HeadError::LineEnd.into()),
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> &'b [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }
}

#[cfg(test)]
mod tests;
