//! The client's end of a WebSocket (RFC 6455), as far as the demo needs it: it opens one and reads what comes.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use super::{
    exchange::{Request, TIMEOUT},
    keyring::Keyring,
};
use crate::clock::monotonic;

const HEAD_BYTES_MAX: u64 = 16 * 1024;
const CLOSE: u8 = 8;

/// An open WebSocket.
pub(super) struct Socket(BufReader<TcpStream>);

/// What came through it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Text(String),
    /// It was closed: the code and why.
    Closed(u16, String),
}

impl Socket {
    /// Opens one by `request`.
    ///
    /// # Errors
    /// Where the answer is not 101.
    pub(super) fn open(request: &Request, gateway: SocketAddr, keyring: &Keyring) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&gateway, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(request.bytes(gateway, keyring).as_bytes())?;
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        for line in reader.by_ref().take(HEAD_BYTES_MAX).lines() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        match lines.first() {
            Some(status) if status.starts_with("HTTP/1.1 101 ") => Ok(Self(reader)),
            Some(status) => Err(invalid(status)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Waits for the next frame; none of a server is masked (RFC 6455 §5.1), and none of the demo is longer than 125 bytes.
    pub(super) fn message(&mut self) -> io::Result<Message> {
        let mut header = [0; 2];
        self.0.read_exact(&mut header)?;
        if header[1] > 125 {
            return Err(invalid("a longer frame than the demo sends"));
        }
        let mut payload = vec![0; usize::from(header[1])];
        self.0.read_exact(&mut payload)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Ok(match (header[0] & 0x0f, payload.split_first_chunk()) {
            (CLOSE, Some((code, reason))) => Message::Closed(u16::from_be_bytes(*code), text(reason)),
            // "No status received" (RFC 6455 §7.4.1).
            (CLOSE, None) => Message::Closed(1005, String::new()),
            _ => Message::Text(text(&payload)),
        })
    }

    /// Waits until it is closed; with which code and why.
    ///
    /// # Errors
    /// Also where only events go on to come.
    pub(super) fn closed(mut self) -> io::Result<(u16, String)> {
        let start = monotonic();
        while start.elapsed() < TIMEOUT {
            if let Message::Closed(code, reason) = self.message()? {
                return Ok((code, reason));
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
