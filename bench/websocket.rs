//! Both ends of `bench/race --scenario websocket`: `websocket serve PORT`, and `websocket load ADDRESS REQUESTS CONNECTIONS SECONDS`.
//!
//! The server takes upgrades (RFC 6455 §4.2) and answers each frame with its payload. The load is a closed loop: each connection is
//! upgraded once, with one of the keys of `REQUESTS` (lines `METHOD PATH SECRET`), then sends a frame, waits for its echo, compares it,
//! and sends the next. Frames are whole, binary and of at most 125 bytes, which is all that is spoken here. One thread each, so that
//! the gateway between them is what is full. The load prints one JSON object.

use std::{
    error::Error,
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Buf, BufMut, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, timeout_at},
};

const TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_END: &[u8] = b"\r\n\r\n";
const HEAD_BYTES: usize = 16 * 1024;
/// The nonce of RFC 6455 §1.3, and what a server answers to it.
const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// RFC 6455 §1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// FIN and the opcode of binary data, RFC 6455 §5.2.
const BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;
const MOST: u8 = 125;
const PAYLOAD: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments[..] {
        ["serve", port] => runtime.block_on(serve(port.parse()?)),
        ["load", address, requests, connections, seconds] => {
            let heads: Option<Vec<_>> = std::fs::read_to_string(requests)?.lines().map(upgrade).collect();
            let heads = heads
                .filter(|heads| !heads.is_empty())
                .ok_or("REQUESTS: lines of METHOD PATH SECRET are wanted")?;
            let duration = Duration::from_secs(seconds.parse()?);
            runtime.block_on(load(address.parse()?, &heads, connections.parse()?, duration))
        }
        _ => Err("usage: websocket serve PORT | load ADDRESS REQUESTS CONNECTIONS SECONDS".into()),
    }
}

async fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection that breaks is its gateway's loss, which the load generator counts.
        tokio::spawn(async move { echo(stream).await.ok() });
    }
}

/// Upgrades one connection and answers its frames until it closes.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = BytesMut::new();
    let head = receive_head(&mut stream, &mut received).await?;
    let nonce = field(&head, "sec-websocket-key").ok_or(io::ErrorKind::InvalidData)?;
    let digest = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        format!("{nonce}{GUID}").as_bytes(),
    );
    let accept = BASE64_STANDARD.encode(digest);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    let mut answers = Vec::new();
    loop {
        while let Some(payload) = cut_frame(&mut received)? {
            write_frame(&mut answers, &payload, None);
        }
        stream.write_all(&answers).await?;
        answers.clear();
        receive(&mut stream, &mut received).await?;
    }
}

async fn load(
    address: SocketAddr,
    heads: &[Vec<u8>],
    connections: usize,
    duration: Duration,
) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let end = begin + duration;
    let mut tasks = JoinSet::new();
    for number in 0..connections {
        let head = heads[number % heads.len()].clone();
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            let done = timeout_at(end + TIMEOUT, exchange(address, &head, number, end, &mut latencies)).await;
            (latencies, matches!(done, Ok(Ok(()))))
        });
    }
    let outcomes = tasks.join_all().await;
    let seconds = begin.elapsed().as_secs_f64();
    let lost = outcomes.iter().filter(|(_, whole)| !whole).count();
    let mut latencies: Vec<u64> = outcomes.into_iter().flat_map(|(latencies, _)| latencies).collect();
    latencies.sort_unstable();
    let at = |hundredths: usize| {
        latencies.get(latencies.len().saturating_sub(1) * hundredths / 100).copied().unwrap_or_default()
    };
    writeln!(
        io::stdout(),
        r#"{{"requests": {}, "seconds": {seconds:.3}, "lost": {lost}, "p50_us": {}, "p99_us": {}}}"#,
        latencies.len(),
        at(50),
        at(99),
    )?;
    Ok(())
}

/// One connection until `end`; an error where it is refused, breaks, or echoes something else. Each echo adds its microseconds.
async fn exchange(
    address: SocketAddr,
    head: &[u8],
    number: usize,
    end: Instant,
    latencies: &mut Vec<u64>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(head).await?;
    let mut received = BytesMut::new();
    let answer = receive_head(&mut stream, &mut received).await?;
    if !answer.starts_with("HTTP/1.1 101 ") || field(&answer, "sec-websocket-accept") != Some(ACCEPT) {
        return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
    }
    let mut message = [b'x'; PAYLOAD];
    message[..8].copy_from_slice(&number.to_be_bytes());
    let mut frame = Vec::new();
    loop {
        let begin = Instant::now();
        if begin >= end {
            return Ok(());
        }
        let count = latencies.len();
        message[8..16].copy_from_slice(&count.to_be_bytes());
        frame.clear();
        write_frame(&mut frame, &message, Some([0x5a, 0x17, count.to_le_bytes()[0], 0xc3]));
        stream.write_all(&frame).await?;
        let echoed = loop {
            match cut_frame(&mut received)? {
                Some(payload) => break payload,
                None => receive(&mut stream, &mut received).await?,
            }
        };
        if echoed != message[..] || !received.is_empty() {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        latencies.push(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
}

/// The request that asks for the upgrade.
fn upgrade(line: &str) -> Option<Vec<u8>> {
    let mut words = line.split(' ');
    let (_, path, secret) = (words.next()?, words.next()?, words.next()?);
    Some(format!("GET {path} HTTP/1.1\r\nHost: race\r\nAuthorization: Bearer {secret}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n\r\n").into_bytes())
}

/// Reads up to the end of a head, which is cut off what was received.
async fn receive_head(stream: &mut TcpStream, received: &mut BytesMut) -> io::Result<String> {
    loop {
        if let Some(end) = received.windows(HEAD_END.len()).position(|window| window == HEAD_END) {
            let head = received.split_to(end + HEAD_END.len());
            return String::from_utf8(head.to_vec()).map_err(|_| io::ErrorKind::InvalidData.into());
        }
        if received.len() > HEAD_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        receive(stream, received).await?;
    }
}

async fn receive(stream: &mut TcpStream, received: &mut BytesMut) -> io::Result<()> {
    received.reserve(4096);
    match stream.read_buf(received).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn field<'head>(head: &'head str, name: &str) -> Option<&'head str> {
    head.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(given, _)| given.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Takes the first frame, if it is whole; its payload without the mask.
fn cut_frame(received: &mut BytesMut) -> io::Result<Option<BytesMut>> {
    let [kind, length, ..] = received[..] else { return Ok(None) };
    let (masked, length) = (length & MASKED != 0, length & !MASKED);
    if kind != BINARY || length > MOST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let start = if masked { 6 } else { 2 };
    if received.len() < start + usize::from(length) {
        return Ok(None);
    }
    let mut payload = received.split_to(start + usize::from(length));
    if masked {
        let mask = [payload[2], payload[3], payload[4], payload[5]];
        apply(mask, &mut payload[start..]);
    }
    payload.advance(start);
    Ok(Some(payload))
}

/// Appends a frame; `payload` is at most 125 bytes, as all that is sent and accepted here.
fn write_frame(to: &mut Vec<u8>, payload: &[u8], mask: Option<[u8; 4]>) {
    let length = u8::try_from(payload.len()).unwrap_or(MOST).min(MOST);
    to.put_u8(BINARY);
    to.put_u8(if mask.is_some() { MASKED | length } else { length });
    to.extend(mask.iter().flatten());
    let start = to.len();
    to.extend(&payload[..usize::from(length)]);
    if let Some(mask) = mask {
        apply(mask, &mut to[start..]);
    }
}

/// RFC 6455 §5.3: masks, and unmasks.
fn apply(mask: [u8; 4], payload: &mut [u8]) {
    for (byte, masking) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= masking;
    }
}
