//! The events of the sample API, told over WebSocket (RFC 6455): whoever opens one is sent an event a second, until they
//! close it.

use std::{io, time::Duration};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{interval, timeout},
};

/// More than a demo needs, less than hurts.
const CONNECTIONS_MAX: usize = 64;
const HEAD_BYTES_MAX: u64 = 64 * 1024;
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
const EVENT_EVERY: Duration = Duration::from_secs(1);

/// What both sides put behind the client's key to show that they mean WebSocket (RFC 6455 §1.3).
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const TEXT: u8 = 0x81;
const CLOSE: [u8; 2] = [0x88, 0];

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = listener.accept().await;
        if let Ok((stream, _)) = accepted
            && connections.len() < CONNECTIONS_MAX
        {
            connections.spawn(converse(stream));
        }
    }
}

async fn converse(mut stream: TcpStream) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let opening = timeout(HEAD_PATIENCE, Opening::read(&mut reader)).await??;
    let Some(opening) = opening else {
        return writer
            .write_all(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\nContent-Length: 0\r\n\r\n")
            .await;
    };
    writer.write_all(opening.answer().as_bytes()).await?;
    tokio::select! {
        closed = until_closed(&mut reader) => {
            closed?;
            writer.write_all(&CLOSE).await
        }
        told = tell(&mut writer, &opening.caller) => told,
    }
}

/// A request to open a WebSocket.
struct Opening {
    /// `Sec-WebSocket-Key`.
    key: String,
    /// Who the gateway says is asking.
    caller: String,
}

impl Opening {
    /// `None`: it is another request.
    async fn read(reader: impl AsyncBufRead + Unpin) -> io::Result<Option<Self>> {
        let mut lines = reader.take(HEAD_BYTES_MAX).lines();
        let (mut key, mut caller) = (None, String::new());
        while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("sec-websocket-key") => {
                    key = Some(value.trim().to_owned());
                }
                Some((name, value)) if name.eq_ignore_ascii_case("x-auth-key-id") => {
                    value.trim().clone_into(&mut caller);
                }
                Some(_) | None => {}
            }
        }
        Ok(key.map(|key| Self { key, caller }))
    }

    /// RFC 6455 §4.2.2.
    fn answer(&self) -> String {
        let proof = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{}{MAGIC}", self.key).as_bytes());
        let accept = BASE64_STANDARD.encode(proof);
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
    }
}

async fn tell(mut writer: impl AsyncWrite + Unpin, caller: &str) -> io::Result<()> {
    let mut clock = interval(EVENT_EVERY);
    for number in 1_u64.. {
        clock.tick().await;
        let text = format!("event {number} for {caller}\n");
        // Ids of keys have 64 characters at most, so that one byte tells the length (RFC 6455 §5.2).
        let length = u8::try_from(text.len()).unwrap_or(125).min(125);
        let mut frame = vec![TEXT, length];
        frame.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
        writer.write_all(&frame).await?;
    }
    Ok(())
}

/// Reads over what the client sends, up to its close frame (RFC 6455 §5.2).
async fn until_closed(mut reader: impl AsyncBufRead + Unpin) -> io::Result<()> {
    loop {
        let [first, second] = [reader.read_u8().await?, reader.read_u8().await?];
        let payload = match second & 0x7f {
            126 => u64::from(reader.read_u16().await?),
            127 => reader.read_u64().await?,
            length => u64::from(length),
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let mut frame = (&mut reader).take(payload.saturating_add(mask));
        tokio::io::copy(&mut frame, &mut tokio::io::sink()).await?;
        if first & 0x0f == 8 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_is_answered_as_the_standard_shows() {
        let opening = Opening { key: "dGhlIHNhbXBsZSBub25jZQ==".to_owned(), caller: String::new() };
        assert!(opening.answer().contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    }
}
