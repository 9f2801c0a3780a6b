//! Keys, and blocking requests with them.

use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A key of the file that `seed` wrote.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) request: Vec<u8>,
}

pub(crate) fn read_keys(file: &str) -> Result<Vec<Key>, Box<dyn Error>> {
    let keys = fs::read_to_string(file)?;
    let keys: Option<Vec<_>> = keys
        .lines()
        .map(|line| {
            let (id, secret) = line.split_once(' ')?;
            let request = format!("GET /x HTTP/1.1\r\nHost: fleet\r\nAuthorization: Bearer {secret}\r\n\r\n");
            Some(Key { id: id.to_owned(), request: request.into_bytes() })
        })
        .collect();
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| "lines of ID SECRET are wanted".into())
}

/// A connection that is made when it is needed and kept for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Connection {
    target: SocketAddr,
    patience: Duration,
    stream: Option<TcpStream>,
}

impl Connection {
    pub(crate) fn new(target: SocketAddr, patience: Duration) -> Self {
        Self { target, patience, stream: None }
    }

    /// The status of the answer to one request.
    ///
    /// # Errors
    /// Where there was none in time; the next request has a connection of its own.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        stream.write_all(request)?;
        let (status, is_kept) = answer(&mut stream)?;
        self.stream = is_kept.then_some(stream);
        Ok(status)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.target, self.patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        Ok(stream)
    }
}

/// Reads an answer with a length; its status, and whether the connection may be kept.
fn answer(stream: &mut TcpStream) -> io::Result<(u16, bool)> {
    let mut answer = [0; 8192];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut answer[filled..])?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        let Some(end) = answer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head =
            std::str::from_utf8(&answer[..end]).map_err(|_| ErrorKind::InvalidData)?.to_ascii_lowercase();
        let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or(ErrorKind::InvalidData)?;
        let length = field(&head, "content-length").and_then(|length| length.parse::<usize>().ok());
        let length = length.ok_or(ErrorKind::InvalidData)?;
        let is_kept = field(&head, "connection") != Some("close");
        let mut missing = (end + 4 + length).saturating_sub(filled);
        while missing > 0 {
            let room = missing.min(answer.len());
            match stream.read(&mut answer[..room])? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => missing -= read,
            }
        }
        return Ok((status, is_kept));
    }
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
