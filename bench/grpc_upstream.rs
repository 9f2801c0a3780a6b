//! The gRPC server behind the gateways of `bench/race --scenario grpc`: `grpc-upstream PORT [FILE]`.
//!
//! HTTP/2 in clear on the loopback. Whatever is called answers with the message it was sent, `grpc-status: 0` in its trailers, once
//! the whole message has come: a unary call. With `FILE`, the head of each request is written there before it is answered, as
//! HTTP/1.1 would spell it.

use std::{
    error::Error,
    fs::File,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use tokio::net::{TcpListener, TcpStream};

/// More than any of the gateways has under way.
const STREAMS: u32 = 10_000;
const WINDOW: u32 = 1 << 20;
/// Of one message; nobody sends more than some hundred bytes.
const MOST: usize = 64 * 1024;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (port, record) = match &arguments[..] {
        [port] => (port.parse()?, None),
        [port, file] => (port.parse()?, Some(Arc::new(Mutex::new(File::create(file)?)))),
        _ => return Err("usage: grpc-upstream PORT [FILE]".into()),
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(port, record))
}

type Record = Option<Arc<Mutex<File>>>;

async fn serve(port: u16, record: Record) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let record = record.clone();
        // A connection that breaks is its gateway's loss, which the load generator counts.
        tokio::spawn(async move { connection(stream, record).await.ok() });
    }
}

async fn connection(stream: TcpStream, record: Record) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(16 * WINDOW);
    let mut connection = builder.handshake::<_, Bytes>(stream).await?;
    while let Some(asked) = connection.accept().await {
        let (request, answer) = asked?;
        let record = record.clone();
        tokio::spawn(async move { call(request, answer, record).await.ok() });
    }
    Ok(())
}

async fn call(
    request: Request<RecvStream>,
    mut answer: SendResponse<Bytes>,
    record: Record,
) -> Result<(), Failure> {
    if let Some(file) = record {
        file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&spelled(&request))?;
    }
    let message = whole(request.into_body()).await?;
    let mut head = Response::new(());
    head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let mut body = answer.send_response(head, false)?;
    body.send_data(message, false)?;
    body.send_trailers(HeaderMap::from_iter([("grpc-status".parse()?, HeaderValue::from_static("0"))]))?;
    Ok(())
}

/// The body of a request, to its end.
async fn whole(mut body: RecvStream) -> Result<Bytes, Failure> {
    let mut message = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        message.extend_from_slice(&part);
        if message.len() > MOST {
            return Err("a message is too large".into());
        }
    }
    Ok(message.freeze())
}

/// The head of a request as lines of HTTP/1.1.
fn spelled<T>(request: &Request<T>) -> Vec<u8> {
    let target = request.uri().path_and_query().map_or("*", |target| target.as_str());
    let mut lines = format!("{} {target} HTTP/1.1\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        lines.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    lines.extend(b"\r\n");
    lines
}
