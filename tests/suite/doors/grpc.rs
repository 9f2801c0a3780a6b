//! Envoy's side of external authorization over gRPC, for asking a door directly. The messages are written once more, from
//! Envoy's definitions: a mistake in the gateway's own would not be seen with those.

use std::{collections::BTreeMap, net::SocketAddr};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use prost::Message;
use tokio::{net::TcpStream, runtime, time::timeout};

use crate::harness::GUARD;

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Field by field as in `attribute_context.proto`; names of messages are of no matter on the wire.
#[derive(Clone, PartialEq, Message)]
struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, optional, tag = "1")]
    source: Option<Source>,
    #[prost(message, optional, tag = "4")]
    request: Option<Asked>,
}

#[derive(Clone, PartialEq, Message)]
struct Source {
    #[prost(message, optional, tag = "1")]
    address: Option<Address>,
}

#[derive(Clone, PartialEq, Message)]
struct Address {
    #[prost(message, optional, tag = "1")]
    socket_address: Option<SocketAddress>,
}

#[derive(Clone, PartialEq, Message)]
struct SocketAddress {
    #[prost(string, tag = "2")]
    address: String,
    #[prost(uint32, tag = "3")]
    port_value: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Asked {
    #[prost(message, optional, tag = "2")]
    http: Option<Http>,
}

/// The request that is asked about.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Http {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) method: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(super) headers: BTreeMap<String, String>,
    #[prost(string, tag = "4")]
    pub(super) path: String,
    #[prost(string, tag = "5")]
    pub(super) host: String,
    #[prost(string, tag = "6")]
    pub(super) scheme: String,
    #[prost(int64, tag = "9")]
    pub(super) size: i64,
    #[prost(string, tag = "10")]
    pub(super) protocol: String,
}

#[derive(Clone, PartialEq, Message)]
struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<RpcStatus>,
    #[prost(message, optional, tag = "2")]
    denied: Option<Denied>,
    #[prost(message, optional, tag = "3")]
    ok: Option<Permitted>,
}

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Denied {
    #[prost(message, optional, tag = "1")]
    status: Option<RpcStatus>,
    #[prost(message, repeated, tag = "2")]
    headers: Vec<Header>,
    #[prost(string, tag = "3")]
    body: String,
}

#[derive(Clone, PartialEq, Message)]
struct Permitted {
    #[prost(message, repeated, tag = "2")]
    headers: Vec<Header>,
    #[prost(string, repeated, tag = "5")]
    headers_to_remove: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(message, optional, tag = "1")]
    header: Option<Line>,
    #[prost(int32, tag = "3")]
    append_action: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// What a door answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) goes_on: bool,
    /// What Envoy is to answer; 200 where the request goes on.
    pub(super) status: u16,
    /// To set on the request, or on the answer of a refusal.
    pub(super) headers: Vec<(String, String)>,
    pub(super) remove: Vec<String>,
    pub(super) body: String,
}

/// A call as it ended, whatever was called.
pub(super) struct Called {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) trailers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// The message of a call that asks about `http`, sent by `client`.
pub(super) fn message(http: Http, client: &str) -> Vec<u8> {
    let socket_address = Some(SocketAddress { address: client.to_owned(), port_value: 4711 });
    let source = Some(Source { address: Some(Address { socket_address }) });
    CheckRequest { attributes: Some(Attributes { source, request: Some(Asked { http: Some(http) }) }) }
        .encode_to_vec()
}

/// What the door at `address` answers to `message`.
pub(super) fn ask(address: SocketAddr, message: &[u8]) -> Checked {
    let called = call(address, CHECK, "application/grpc", &framed(message));
    let grpc_status = called.trailers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
    assert_eq!((called.status, grpc_status.as_deref()), (StatusCode::OK, Some("0")), "{:?}", called.headers);
    let response = CheckResponse::decode(&called.body[5..]).unwrap();
    let code = response.status.unwrap().code;
    let lines = |headers: Vec<Header>| {
        assert!(headers.iter().all(|header| header.append_action == 2), "{headers:?}");
        let lines = headers.into_iter().map(|header| header.header.unwrap());
        lines.map(|line| (line.key, line.value)).collect()
    };
    match (response.ok, response.denied) {
        (Some(ok), None) => {
            assert_eq!(code, 0);
            let (headers, remove) = (lines(ok.headers), ok.headers_to_remove);
            Checked { goes_on: true, status: 200, headers, remove, body: String::new() }
        }
        (None, Some(denied)) => {
            assert_ne!(code, 0);
            let status = u16::try_from(denied.status.unwrap().code).unwrap();
            Checked {
                goes_on: false,
                status,
                headers: lines(denied.headers),
                remove: Vec::new(),
                body: denied.body,
            }
        }
        (ok, denied) => panic!("{ok:?} {denied:?}"),
    }
}

/// `message` with the prefix that gRPC gives it.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// One call over HTTP/2.
pub(super) fn call(address: SocketAddr, path: &str, content_type: &str, body: &[u8]) -> Called {
    let request = Request::post(format!("http://keygate{path}"));
    let request = request.header("content-type", content_type).header("te", "trailers");
    exchange(address, request.body(()).unwrap(), body)
}

/// One request over HTTP/2, with a body of no announced length.
pub(super) fn exchange(address: SocketAddr, request: Request<()>, body: &[u8]) -> Called {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let calling = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let called = send(sender, request, body).await;
        connection.abort();
        called
    };
    runtime.block_on(async { timeout(GUARD, calling).await.expect("the call hangs") })
}

async fn send(mut sender: SendRequest<Bytes>, request: Request<()>, body: &[u8]) -> Called {
    let (response, mut stream) = sender.send_request(request, false).unwrap();
    // The window of one stream has room for every message of these tests.
    stream.send_data(Bytes::copy_from_slice(body), true).unwrap();
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut received = Vec::new();
    while let Some(data) = body.data().await {
        received.extend_from_slice(&data.unwrap());
    }
    let trailers = body.trailers().await.unwrap().unwrap_or_default();
    Called { status: head.status, headers: head.headers, trailers, body: received }
}
