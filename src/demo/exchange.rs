//! One request of the demo and what came back: over TCP for `--once`, as a curl line for people.

use std::{
    fmt::Write as _,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

use super::keyring::{Holder, Keyring};

/// For the whole of one exchange.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// More than any answer of the demo.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// What a request presents.
#[derive(Debug, Clone, Copy)]
pub(super) enum Presented {
    Nothing,
    Key(Holder),
    /// The key with its last character lost.
    CutShort(Holder),
    /// This as the value of `Authorization`.
    Text(&'static str),
}

/// A request of the demo.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) target: &'static str,
    pub(super) presented: Presented,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: Option<&'static str>,
}

impl Request {
    pub(super) const fn new(method: &'static str, target: &'static str, presented: Presented) -> Self {
        Self { method, target, presented, headers: &[], body: None }
    }

    /// Sends it to `gateway` on a connection of its own, and reads the answer to its end.
    pub(super) fn send(&self, gateway: SocketAddr, keyring: &Keyring) -> io::Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&gateway, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(self.bytes(gateway, keyring).as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Answer::parse(&String::from_utf8_lossy(&answer))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP/1.1 response"))
    }

    /// As it is sent. The connection ends with the answer, unless a header says otherwise.
    pub(super) fn bytes(&self, gateway: SocketAddr, keyring: &Keyring) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {gateway}\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| *name == "Connection") {
            head += "Connection: close\r\n";
        }
        for (name, value) in self.fields(keyring) {
            // Writing to a string cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let body = self.body.unwrap_or_default();
        if self.body.is_some() {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        format!("{head}\r\n{body}")
    }

    /// The same request for a shell.
    pub(super) fn curl(&self, gateway: SocketAddr, keyring: &Keyring) -> String {
        // What a WebSocket brings shall be seen as it comes.
        let mut line = if self.is_upgrade() { "curl -i -N" } else { "curl -i" }.to_owned();
        if self.target.contains("..") {
            line += " --path-as-is";
        }
        if self.method != "GET" {
            let _ = write!(line, " -X {}", self.method);
        }
        for (name, value) in self.fields(keyring) {
            let _ = write!(line, " -H '{name}: {value}'");
        }
        if let Some(body) = self.body {
            let _ = write!(line, " -d '{body}'");
        }
        format!("{line} 'http://{gateway}{}'", self.target)
    }

    fn is_upgrade(&self) -> bool {
        self.headers.iter().any(|(name, _)| *name == "Upgrade")
    }

    fn fields(&self, keyring: &Keyring) -> Vec<(&'static str, String)> {
        let credential = match self.presented {
            Presented::Nothing => None,
            Presented::Key(holder) => Some(format!("Bearer {}", keyring.secret(holder))),
            Presented::CutShort(holder) => {
                let secret = keyring.secret(holder);
                Some(format!("Bearer {}", &secret[..secret.len() - 1]))
            }
            Presented::Text(text) => Some(text.to_owned()),
        };
        let others = self.headers.iter().map(|&(name, value)| (name, value.to_owned()));
        credential.map(|value| ("Authorization", value)).into_iter().chain(others).collect()
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The head without its status line.
    head: String,
    /// As JSON, where it is.
    pub(super) body: Value,
    text: String,
}

impl Answer {
    fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let (status_line, head) = head.split_once("\r\n")?;
        let status = status_line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let json = serde_json::from_str(body).unwrap_or_default();
        Some(Self { status, head: head.to_owned(), body: json, text: body.to_owned() })
    }

    /// The code of a refusal.
    pub(super) fn code(&self) -> &str {
        self.text_of("code")
    }

    /// What a refusal tells its reader.
    pub(super) fn detail(&self) -> &str {
        self.text_of("detail")
    }

    fn text_of(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }

    /// All of it but what differs between any two answers: date and request id.
    pub(super) fn masked(&self) -> String {
        let is_own = |line: &str| {
            let line = line.to_ascii_lowercase();
            line.starts_with("date:") || line.starts_with("x-request-id:")
        };
        let head: Vec<_> = self.head.lines().filter(|line| !is_own(line)).collect();
        let body = self.text.replace(self.text_of("request_id"), "");
        format!("{} {}\n{body}", self.status, head.join("\n"))
    }
}
