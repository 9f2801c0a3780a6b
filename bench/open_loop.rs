//! An open-loop HTTP/1.1 load generator: `open-loop ADDRESS REQUESTS CONNECTIONS RATE SECONDS`.
//!
//! Requests are due at fixed times, whatever became of those before, and a latency counts from the time the request was due. So
//! a gateway that stalls for 100 ms is charged for every request that had to wait, not for one (what `wrk` would say). Where the
//! connection was free and only this process woke late, it counts from the waking: that delay is not the gateway's.
//!
//! `REQUESTS` is a file of lines `METHOD PATH SECRET`, sent in rotation. One thread per connection, blocking: the load is low by
//! intent, and nothing of a runtime's timer comes into the figures. Prints one JSON object.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_END: &[u8] = b"\r\n\r\n";

fn main() -> Result<(), Box<dyn Error>> {
    let plan = Plan::from_arguments(&std::env::args().skip(1).collect::<Vec<_>>())?;
    let begin = Instant::now() + Duration::from_millis(200); // all threads are up by then
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.connections)
            .map(|number| {
                scope.spawn({
                    let plan = &plan;
                    move || plan.drive(number, begin)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
    });
    let seconds = begin.elapsed().as_secs_f64();
    let mut latencies: Vec<u64> =
        outcomes.iter().flat_map(|outcome| outcome.latencies.iter().copied()).collect();
    latencies.sort_unstable();
    let lost: u64 = outcomes.iter().map(|outcome| outcome.lost).sum();
    let reconnected: u64 = outcomes.iter().map(|outcome| outcome.reconnected).sum();
    let at = |thousandths: usize| {
        latencies.get(latencies.len().saturating_sub(1) * thousandths / 1000).copied().unwrap_or_default()
    };
    writeln!(
        io::stdout(),
        r#"{{"requests": {}, "seconds": {seconds:.3}, "lost": {lost}, "reconnected": {reconnected}, "p50_us": {}, "p90_us": {}, "p99_us": {}, "p999_us": {}, "max_us": {}}}"#,
        latencies.len(),
        at(500),
        at(900),
        at(990),
        at(999),
        at(1000),
    )?;
    Ok(())
}

struct Plan {
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    connections: u32,
    interval: Duration,
    duration: Duration,
}

/// What one connection saw: microseconds of each answered request, how many were not answered with
/// 200, and how often a kept connection was found closed.
#[derive(Default)]
struct Outcome {
    latencies: Vec<u64>,
    lost: u64,
    reconnected: u64,
}

impl Plan {
    fn from_arguments(arguments: &[String]) -> Result<Self, Box<dyn Error>> {
        let [address, requests, connections, rate, seconds] = arguments else {
            return Err("usage: open-loop ADDRESS REQUESTS CONNECTIONS RATE SECONDS".into());
        };
        let requests: Option<Vec<_>> =
            std::fs::read_to_string(requests)?.lines().map(request_bytes).collect();
        let requests = requests
            .filter(|requests| !requests.is_empty())
            .ok_or("REQUESTS: lines of METHOD PATH SECRET are wanted")?;
        let rate: f64 = rate.parse()?;
        Ok(Self {
            address: address.parse()?,
            requests,
            connections: connections.parse()?,
            interval: Duration::try_from_secs_f64(1.0 / rate)?,
            duration: Duration::from_secs(seconds.parse()?),
        })
    }

    /// Every `connections`th request is this connection's, starting with its number.
    fn drive(&self, number: u32, begin: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        let mut connection = None;
        let end = begin + self.duration;
        let mut due = begin + self.interval * number;
        let mut turn = number as usize;
        while due < end {
            let from = wait_until(due);
            if self.exchange(&mut connection, turn, &mut outcome).is_ok_and(|status| status == 200) {
                outcome.latencies.push(u64::try_from(from.elapsed().as_micros()).unwrap_or(u64::MAX));
            } else {
                connection = None;
                outcome.lost += 1;
            }
            due += self.interval * self.connections;
            turn += self.connections as usize;
        }
        outcome
    }

    /// One request and its whole answer; the status. As any HTTP client, it asks once more where the connection it had kept
    /// turns out to be closed before a byte of the answer came.
    fn exchange(
        &self,
        connection: &mut Option<TcpStream>,
        turn: usize,
        outcome: &mut Outcome,
    ) -> io::Result<u16> {
        let request = &self.requests[turn % self.requests.len()];
        if let Some(kept) = connection {
            match ask(kept, request) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => outcome.reconnected += 1,
                answered => return answered,
            }
        }
        ask(connection.insert(connect(self.address)?), request)
    }
}

fn request_bytes(line: &str) -> Option<Vec<u8>> {
    let mut words = line.split(' ');
    let (method, path, secret) = (words.next()?, words.next()?, words.next()?);
    Some(format!("{method} {path} HTTP/1.1\r\nHost: race\r\nAccept: application/json\r\nAuthorization: Bearer {secret}\r\n\r\n").into_bytes())
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// When the request counts as sent: now, if there was time to sleep; else when it was due.
fn wait_until(due: Instant) -> Instant {
    match due.checked_duration_since(Instant::now()) {
        Some(early) if !early.is_zero() => {
            thread::sleep(early);
            Instant::now()
        }
        _ => due,
    }
}

/// Sends and reads one answer to its end; only answers with a `Content-Length` are understood. `ConnectionAborted` means that
/// nothing of an answer came.
fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<u16> {
    let unanswered = |_| io::Error::from(io::ErrorKind::ConnectionAborted);
    let mut buffer = [0; 16 * 1024];
    stream.write_all(request).map_err(unanswered)?;
    let mut filled = receive(stream, &mut buffer).map_err(unanswered)?;
    let head = loop {
        if let Some(end) = buffer[..filled].windows(HEAD_END.len()).position(|window| window == HEAD_END) {
            break end + HEAD_END.len();
        }
        filled += receive(stream, &mut buffer[filled..])?;
    };
    let (status, length) = parse_head(&buffer[..head]).ok_or(io::ErrorKind::InvalidData)?;
    let mut missing = (head + length).saturating_sub(filled);
    while missing > 0 {
        let most = missing.min(buffer.len());
        missing -= receive(stream, &mut buffer[..most])?;
    }
    Ok(status)
}

fn receive(stream: &mut TcpStream, into: &mut [u8]) -> io::Result<usize> {
    match stream.read(into)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}

/// Status and `Content-Length`.
fn parse_head(head: &[u8]) -> Option<(u16, usize)> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?
        .1;
    Some((status, length.trim().parse().ok()?))
}
