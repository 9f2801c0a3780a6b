//! Finds the payload of a body in the bytes of its connection (RFC 9112 §6 and §7), without copying it.

use std::{error, fmt, ops::Range};

use super::framing::BodyLength;
use super::parse::{HeadError, parse_trailers};
use crate::message::Fields;

/// The most bytes of extensions taken with one chunk (RFC 9112 §7.1.1).
pub const CHUNK_EXTENSION_BYTES: usize = 256;
/// The most bytes of chunk extensions taken with one body, so that a body cannot be all overhead.
pub const BODY_EXTENSION_BYTES: usize = 16 * 1024;
/// The most bytes of a trailer section.
pub const TRAILER_BYTES: usize = 8 * 1024;
/// The most fields of a trailer section.
pub const TRAILER_FIELDS: usize = 32;
/// 16 hexadecimal digits are just below 2^64.
const SIZE_DIGITS: u8 = 16;

/// Decodes one body, from the byte behind the head to the end of the message. Input may be split anywhere.
#[derive(Clone)]
pub struct BodyDecoder {
    state: State,
    extension_bytes: usize,
    trailers: Vec<u8>,
}

/// One step of decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// How many bytes of the input are done with, framing and payload. At least 1 if there is input and the body has
    /// not ended; what is left is to be passed again, in front of what is received next.
    pub consumed: usize,
    /// Where in the input payload stands; possibly empty.
    pub data: Range<usize>,
    /// Whether the body ended with this; bytes beyond `consumed` are not part of it.
    pub ended: bool,
}

/// Why a body is refused. The connection must close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// A chunk size is not 1 to 16 hexadecimal digits with CR or `;` right behind them (RFC 9112 §7.1).
    ChunkSize,
    /// A chunk extension holds a byte other than HTAB, SP and visible ASCII (RFC 9112 §7.1.1).
    ChunkExtension,
    /// Chunk extensions exceed [`CHUNK_EXTENSION_BYTES`] or [`BODY_EXTENSION_BYTES`].
    TooManyExtensions,
    /// The line of a chunk size or of a trailer ends otherwise than with CRLF (RFC 9112 §7.1).
    LineEnd,
    /// No CRLF where the data of a chunk must end (RFC 9112 §7.1).
    ChunkEnd,
    /// The trailer section is malformed (RFC 9112 §7.1.2).
    Trailer(HeadError),
    /// The trailer section exceeds [`TRAILER_BYTES`].
    TrailerTooLarge,
    /// The connection closed before the end of the body (RFC 9112 §8).
    Truncated,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChunkSize => f.write_str("a chunk size is not 1 to 16 hexadecimal digits"),
            Self::ChunkExtension => f.write_str("a chunk extension holds a control or non-ASCII character"),
            Self::TooManyExtensions => f.write_str("the chunk extensions are too long"),
            Self::LineEnd => f.write_str("a line of chunk framing does not end with CR LF"),
            Self::ChunkEnd => f.write_str("the data of a chunk does not end where its size says"),
            Self::Trailer(error) => write!(f, "the trailer section is malformed: {error}"),
            Self::TrailerTooLarge => f.write_str("the trailer section is too large"),
            Self::Truncated => f.write_str("the connection closed before the end of the body"),
        }
    }
}

impl error::Error for BodyError {}

/// What the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Payload, of which so much is left (never 0).
    Exact { left: u64 },
    /// Payload.
    UntilClose,
    /// Of a chunk size.
    Size { size: u64, digits: u8 },
    /// Of the extensions of a chunk.
    Extension { size: u64, length: usize },
    /// The LF behind a chunk size.
    SizeLf { size: u64 },
    /// Payload in a chunk, of which so much is left (never 0).
    Data { left: u64 },
    /// The CR behind the data of a chunk.
    DataCr,
    /// The LF behind the data of a chunk.
    DataLf,
    /// Of a line of the trailer section; an empty one ends the body.
    Trailer { empty: bool },
    /// The LF behind such a line.
    TrailerLf { empty: bool },
    /// Not of this body.
    Ended,
    /// Refused already.
    Failed(BodyError),
}

impl BodyDecoder {
    /// A decoder at the start of a body of this length.
    pub fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::Empty | BodyLength::Known(0) => State::Ended,
            BodyLength::Known(left) => State::Exact { left },
            BodyLength::Chunked => State::Size { size: 0, digits: 0 },
            BodyLength::UntilClose => State::UntilClose,
        };
        Self { state, extension_bytes: 0, trailers: Vec::new() }
    }

    /// Decodes up to and with the next run of payload in `input`, and whatever framing is at hand behind it.
    /// Call it again with the rest until `ended`, or until nothing is left and more must be received.
    ///
    /// Costs time linear in the framing, none for the payload; only trailers take memory, [`TRAILER_BYTES`] at most.
    ///
    /// # Errors
    /// [`BodyError`], the same one again on every later call; payload in front of the fault is lost with it.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, BodyError> {
        let mut consumed = 0;
        let mut data = 0..0;
        while let Some(&byte) = input.get(consumed) {
            if self.state == State::Ended {
                break;
            }
            if let Some(due) = self.state.payload_due() {
                if !data.is_empty() {
                    break;
                }
                let rest = input.len() - consumed;
                let length = usize::try_from(due).map_or(rest, |due| due.min(rest));
                data = consumed..consumed + length;
                consumed = data.end;
                self.state = self.state.after_payload(length as u64);
            } else {
                self.state = self.after(byte).inspect_err(|error| self.state = State::Failed(*error))?;
                consumed += 1;
            }
        }
        Ok(Decoded { consumed, data, ended: self.finished() })
    }

    /// Whether the body has been read to its end.
    pub fn finished(&self) -> bool {
        self.state == State::Ended
    }

    /// Says that the connection closed. This is how a body [`BodyLength::UntilClose`] ends; over TLS only a proper
    /// closure may be reported here, as anything else is truncation (RFC 9112 §9.8).
    ///
    /// # Errors
    /// [`BodyError::Truncated`] where the end of the body was still to come; an error found earlier.
    pub fn at_eof(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::UntilClose | State::Ended => {
                self.state = State::Ended;
                Ok(())
            }
            State::Failed(error) => Err(error),
            State::Exact { .. }
            | State::Size { .. }
            | State::Extension { .. }
            | State::SizeLf { .. }
            | State::Data { .. }
            | State::DataCr
            | State::DataLf
            | State::Trailer { .. }
            | State::TrailerLf { .. } => Err(BodyError::Truncated),
        }
    }

    /// The trailer section, once the body has ended: as sent, so ask [`may_be_trailer`] before any is passed on.
    pub fn trailers(&self) -> Fields<'_> {
        if self.trailers.is_empty() || !self.finished() {
            return Fields::default();
        }
        parse_trailers(&self.trailers, TRAILER_FIELDS).unwrap_or_default()
    }

    /// The state behind one byte that is not payload.
    fn after(&mut self, byte: u8) -> Result<State, BodyError> {
        match self.state {
            State::Size { size, digits } => self.after_size(size, digits, byte),
            State::Extension { size, .. } if byte == b'\r' => Ok(State::SizeLf { size }),
            State::Extension { size, length } => self.after_extension(size, length, byte),
            State::SizeLf { size } if byte == b'\n' => Ok(match size {
                0 => State::Trailer { empty: true },
                left => State::Data { left },
            }),
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(State::Size { size: 0, digits: 0 }),
            State::DataCr | State::DataLf => Err(BodyError::ChunkEnd),
            State::Trailer { empty } if byte == b'\r' => Ok(State::TrailerLf { empty }),
            State::Trailer { .. } => self.after_trailer(byte),
            State::TrailerLf { empty } if byte == b'\n' => self.after_trailer_line(empty),
            State::SizeLf { .. } | State::TrailerLf { .. } => Err(BodyError::LineEnd),
            State::Failed(error) => Err(error),
            State::Exact { .. } | State::UntilClose | State::Data { .. } | State::Ended => Ok(self.state),
        }
    }

    fn after_size(&mut self, size: u64, digits: u8, byte: u8) -> Result<State, BodyError> {
        match (char::from(byte).to_digit(16), byte) {
            (Some(digit), _) if digits < SIZE_DIGITS => {
                Ok(State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
            }
            (None, b'\r') if digits > 0 => Ok(State::SizeLf { size }),
            (None, b';') if digits > 0 => self.after_extension(size, 0, byte),
            _ => Err(BodyError::ChunkSize),
        }
    }

    fn after_extension(&mut self, size: u64, length: usize, byte: u8) -> Result<State, BodyError> {
        if !matches!(byte, b'\t' | b' '..=b'~') {
            // Above all a bare LF: some parsers end the line there, and others read on.
            return Err(BodyError::ChunkExtension);
        }
        self.extension_bytes += 1;
        if length == CHUNK_EXTENSION_BYTES || self.extension_bytes > BODY_EXTENSION_BYTES {
            return Err(BodyError::TooManyExtensions);
        }
        Ok(State::Extension { size, length: length + 1 })
    }

    fn after_trailer(&mut self, byte: u8) -> Result<State, BodyError> {
        if byte == b'\n' {
            return Err(BodyError::LineEnd);
        }
        if self.trailers.len() == TRAILER_BYTES {
            return Err(BodyError::TrailerTooLarge);
        }
        self.trailers.push(byte);
        Ok(State::Trailer { empty: false })
    }

    fn after_trailer_line(&mut self, empty: bool) -> Result<State, BodyError> {
        if !empty {
            self.trailers.extend_from_slice(b"\r\n");
            return Ok(State::Trailer { empty: true });
        }
        if !self.trailers.is_empty() {
            self.trailers.extend_from_slice(b"\r\n");
            parse_trailers(&self.trailers, TRAILER_FIELDS).map_err(BodyError::Trailer)?;
        }
        Ok(State::Ended)
    }
}

impl State {
    /// How many bytes of payload come next; `None` where framing does.
    fn payload_due(self) -> Option<u64> {
        match self {
            Self::Exact { left } | Self::Data { left } => Some(left),
            Self::UntilClose => Some(u64::MAX),
            Self::Size { .. }
            | Self::Extension { .. }
            | Self::SizeLf { .. }
            | Self::DataCr
            | Self::DataLf
            | Self::Trailer { .. }
            | Self::TrailerLf { .. }
            | Self::Ended
            | Self::Failed(_) => None,
        }
    }

    /// The state behind so much of the payload that is due.
    fn after_payload(self, length: u64) -> Self {
        match self {
            Self::Exact { left } if left == length => Self::Ended,
            Self::Exact { left } => Self::Exact { left: left - length },
            Self::Data { left } if left == length => Self::DataCr,
            Self::Data { left } => Self::Data { left: left - length },
            Self::UntilClose
            | Self::Size { .. }
            | Self::Extension { .. }
            | Self::SizeLf { .. }
            | Self::DataCr
            | Self::DataLf
            | Self::Trailer { .. }
            | Self::TrailerLf { .. }
            | Self::Ended
            | Self::Failed(_) => self,
        }
    }
}

impl fmt::Debug for BodyDecoder {
    /// Without the trailers, whose values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyDecoder").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Whether a field may be sent in a trailer section: not one needed for framing, routing, request modifiers,
/// authentication or to read the content (RFC 9110 §6.5.1), nor one of the connection.
pub fn may_be_trailer(name: &[u8]) -> bool {
    const NEVER: [&str; 39] = [
        "accept-encoding",
        "age",
        "authentication-info",
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-location",
        "content-range",
        "content-type",
        "cookie",
        "date",
        "expect",
        "expires",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "location",
        "max-forwards",
        "origin",
        "pragma",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "retry-after",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "via",
        "warning",
        "www-authenticate",
        "x-http-method-override",
    ];
    let starts =
        |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    !starts(b"if-")
        && !starts(b"x-forwarded-")
        && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes()))
}

#[cfg(test)]
mod tests;
