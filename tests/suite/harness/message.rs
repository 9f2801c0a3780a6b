//! HTTP/1.1 messages as a test wants to see them: read leniently from a socket, with every byte kept.

use std::fmt;
use std::io::{self, Read};
use std::net::TcpStream;

/// One request or response as it came.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// The request line or status line.
    pub(crate) start: String,
    /// Names as they were written, values trimmed, in order.
    pub(crate) fields: Vec<(String, String)>,
    /// Without its framing.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// All of it, as it came.
    pub(crate) raw: Vec<u8>,
    /// Whether the body is all that its framing promised.
    pub(crate) complete: bool,
}

/// How the end of a message is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A request: without length there is no body.
    Request,
    /// The answer to any method but HEAD: without length the body lasts until the end of the connection.
    Response,
    /// The answer to HEAD: a head alone.
    ResponseToHead,
}

impl Message {
    /// Every value of a header, in order; the name in any case.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let of_name = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value.as_str()).collect()
    }

    /// The one value of a header that may stand once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.headers(name);
        assert!(all.len() <= 1, "{name} stands {} times in {self:?}", all.len());
        all.first().copied()
    }

    pub(crate) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap()
    }

    pub(crate) fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_else(|| panic!("no target in {self:?}"))
    }

    pub(crate) fn status(&self) -> u16 {
        let code = self.start.split(' ').nth(1).and_then(|code| code.parse().ok());
        code.unwrap_or_else(|| panic!("no status in {self:?}"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("no UTF-8 in {self:?}"))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.raw[..self.raw.len().min(4096)];
        write!(
            f,
            "\n{}\n({} bytes, complete: {})",
            String::from_utf8_lossy(shown),
            self.raw.len(),
            self.complete
        )
    }
}

/// Reads messages off a connection and shows every byte to `tap` as it arrives.
pub(super) struct MessageReader<'t> {
    stream: TcpStream,
    buffer: Vec<u8>,
    tap: Tap<'t>,
}

type Tap<'t> = Box<dyn FnMut(&[u8]) + Send + 't>;

impl<'t> MessageReader<'t> {
    pub(super) fn new(stream: TcpStream, tap: impl FnMut(&[u8]) + Send + 't) -> Self {
        Self { stream, buffer: Vec::new(), tap: Box::new(tap) }
    }

    /// The next message, or `None` where the connection ends before its first byte. A connection that ends later leaves a
    /// message that is not `complete`.
    pub(super) fn message(&mut self, framing: Framing) -> io::Result<Option<Message>> {
        let Some(mut message) = self.head()? else { return Ok(None) };
        if message.complete {
            self.body(&mut message, framing)?;
        }
        Ok(Some(message))
    }

    /// The next head, its body unread; then [`MessageReader::body`] follows.
    pub(super) fn head(&mut self) -> io::Result<Option<Message>> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break Some(at + 4);
            }
            if !self.fill()? {
                break None;
            }
        };
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let raw = self.take(end.unwrap_or(self.buffer.len()));
        let text = raw.iter().map(|byte| char::from(*byte)).collect::<String>();
        let (start, fields) = text.split_once("\r\n").unwrap_or((&text, ""));
        let (body, trailers) = (Vec::new(), Vec::new());
        let (start, fields) = (start.to_owned(), parse_fields(fields));
        Ok(Some(Message { start, fields, body, trailers, raw, complete: end.is_some() }))
    }

    /// Reads the body that belongs to `message`, whose head came from here.
    pub(super) fn body(&mut self, message: &mut Message, framing: Framing) -> io::Result<()> {
        let bodiless = framing == Framing::ResponseToHead
            || framing == Framing::Response && matches!(message.status(), 100..=199 | 204 | 304);
        message.complete = if bodiless {
            true
        } else if message.headers("transfer-encoding").iter().any(|coding| coding.contains("chunked")) {
            self.chunks(message)?
        } else if let Some(length) = message.headers("content-length").first() {
            let length = length.parse().map_err(io::Error::other)?;
            let taken = self.up_to(length)?;
            message.raw.extend_from_slice(&taken);
            message.body = taken;
            message.body.len() == length
        } else if framing == Framing::Response {
            let rest = self.rest()?;
            message.raw.extend_from_slice(&rest);
            message.body = rest;
            true
        } else {
            true
        };
        Ok(())
    }

    /// Everything until the connection ends, by its end or by a reset.
    pub(super) fn rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(error),
            }
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Up to `length` bytes; fewer only where the connection ends.
    pub(super) fn up_to(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length && self.fill()? {}
        Ok(self.take(length.min(self.buffer.len())))
    }

    fn chunks(&mut self, message: &mut Message) -> io::Result<bool> {
        loop {
            let Some(line) = self.line(message)? else { return Ok(false) };
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
            if length == 0 {
                break;
            }
            let data = self.up_to(length)?;
            message.raw.extend_from_slice(&data);
            message.body.extend_from_slice(&data);
            if data.len() < length || self.line(message)?.is_none() {
                return Ok(false);
            }
        }
        loop {
            match self.line(message)? {
                None => return Ok(false),
                Some(line) if line.is_empty() => return Ok(true),
                Some(line) => message.trailers.extend(parse_fields(&line)),
            }
        }
    }

    fn line(&mut self, message: &mut Message) -> io::Result<Option<String>> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                break at;
            }
            if !self.fill()? {
                return Ok(None);
            }
        };
        let line = self.take(end + 2);
        message.raw.extend_from_slice(&line);
        Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()))
    }

    fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        let length = self.stream.read(&mut chunk)?;
        (self.tap)(&chunk[..length]);
        self.buffer.extend_from_slice(&chunk[..length]);
        Ok(length > 0)
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(length);
        std::mem::replace(&mut self.buffer, rest)
    }
}

fn parse_fields(text: &str) -> Vec<(String, String)> {
    let pairs = text.split("\r\n").filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
