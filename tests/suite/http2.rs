//! HTTP/2 from clients, right and hostile ones: `tests/http2/scenarios.py` sends frame by frame through the real
//! binary. What the upstream gets, and how listeners tell protocols apart, is asserted here.

use std::{io, path::Path, thread};

use keygate::keys::digest::KeyDigest;
use rustix::process::Signal;

use crate::harness::{Client, Gateway, Latch, Talk, Upstream, run};

/// Long enough for a key; it is no secret. `scenarios.py` knows it.
const KEY: &str = "a-key-for-the-tests-of-http2-0123456789";

#[test]
fn a_request_that_is_no_request_is_refused_and_never_forwarded() {
    let set_up = SetUp::new("");
    set_up.run("malformed");
    for request in set_up.upstream.requests() {
        assert!(matches!(request.target(), "/api/x"), "{request:?}");
    }
    set_up.run("lengths");
    assert!(set_up.upstream.requests().iter().all(|request| request.method() == "GET"));
}

#[test]
fn the_upstream_gets_the_same_request_in_http1() {
    let set_up = SetUp::new("");
    set_up.run("forwarded");
    let requests = set_up.upstream.requests();
    let [get, unknown, known] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(get.start, "GET /api/x?y=%7E HTTP/1.1");
    let sent: Vec<_> = get.fields.iter().take(5).map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(sent, ["Host: api.example", "b: 2", "b: 3", "cookie: a=1; b=2", "a: 1"]);
    assert_eq!((get.header("te"), get.header("connection")), (Some("trailers"), Some("TE")));
    assert!(get.header("via").unwrap().starts_with("2.0 "));
    for dropped in ["authorization", "transfer-encoding", "http2-settings"] {
        assert_eq!(get.header(dropped), None);
    }
    assert_eq!((unknown.text(), unknown.header("transfer-encoding")), ("unknown length", Some("chunked")));
    assert_eq!((known.text(), known.header("content-length")), ("known", Some("5")));
}

#[test]
fn ten_thousand_streams_of_one_connection_are_served() {
    SetUp::new("").run("many");
}

#[test]
fn floods_end_their_connection_and_no_other() {
    let set_up = SetUp::new("");
    for flood in [
        "too_many",
        "rapid_reset",
        "slow_reset",
        "cancelled",
        "continuation_flood",
        "header_bomb",
        "frame_floods",
        "endless_frames",
        "window_overrun",
    ] {
        set_up.run(flood);
    }
}

#[test]
fn bodies_flow_as_fast_as_both_sides_take_them() {
    let set_up = SetUp::new("");
    set_up.run("large");
    set_up.run("fair");
    let sent: Vec<_> = set_up
        .upstream
        .requests()
        .iter()
        .filter(|one| one.method() == "POST")
        .map(|one| one.body.len())
        .collect();
    assert_eq!(sent, [5_000_000, 5_000_000]);
}

#[test]
fn a_client_that_takes_nothing_is_let_go() {
    let set_up = SetUp::new("timeouts: {idle: 1s}");
    set_up.run("unread");
    set_up.run("stalled");
}

#[test]
fn answers_are_brought_back_in_all_their_parts() {
    let set_up = SetUp::new("");
    for scenario in ["early_answer", "trailers", "interim", "fields_of_answers", "broken", "websocket"] {
        set_up.run(scenario);
    }
    let requests = set_up.upstream.requests();
    let trailers: Vec<_> = requests
        .iter()
        .filter(|one| one.target().ends_with("trailers"))
        .map(|one| one.trailers.as_slice())
        .collect();
    let checksum = [("checksum".to_owned(), "7".to_owned())];
    assert_eq!(trailers, [&[], &[], &checksum[..], &checksum]);
}

#[test]
fn a_connection_without_requests_is_closed_in_order() {
    let set_up = SetUp::new("timeouts: {keep_alive: 1s}");
    set_up.run("idle");
    let set_up = SetUp::new("timeouts: {head: 1s, keep_alive: 1s}");
    set_up.run("silent");
}

#[test]
fn a_shutdown_loses_no_request() {
    let mut set_up = SetUp::new("");
    thread::scope(|scope| {
        let client = scope.spawn(|| set_up.run("drain"));
        set_up.upstream.wait_until_received("the first request", |all| {
            all.iter().any(|bytes| bytes.starts_with(b"GET /api/until-released")).then_some(())
        });
        set_up.gate.signal(Signal::TERM);
        client.join().unwrap();
    });
    let (status, _) = set_up.gate.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn alpn_decides_over_tls_and_the_first_bytes_without() {
    let set_up = SetUp::new("tls: {certificate: cert.pem, private_key: key.pem}");
    set_up.run("encrypted");
    let address = set_up.gate.address("data");
    let curl = |arguments: &[&str]| {
        let url = format!("https://{address}/api/x");
        let key = format!("Authorization: Bearer {KEY}");
        let fixed = ["-k", "-H", &key, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", &url];
        run::curl(&[arguments, &fixed].concat()).expect_success().stdout
    };
    assert_eq!(curl(&["--http2"]), "2 200");
    assert_eq!(curl(&["--http1.1"]), "1.1 200");
    assert_eq!(curl(&["--http1.1", "--no-alpn"]), "1.1 200");
    let proto = |request: &crate::harness::Message| request.header("x-forwarded-proto").map(str::to_owned);
    assert!(set_up.upstream.requests().iter().all(|one| proto(one).as_deref() == Some("https")));

    Client::connect(address).send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").read_to_end();
    set_up.gate.wait_for_line("no TLS connection with a client");

    let set_up = SetUp::new("");
    let address = set_up.gate.address("data");
    let mut client = Client::connect(address);
    assert_eq!(client.send(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03").response().status(), 400);
    client.expect_close();
    set_up.gate.wait_for_line("a client speaks TLS on a cleartext port");
    let url = format!("http://{address}/api/x");
    let key = format!("Authorization: Bearer {KEY}");
    for (version, said) in [("--http2-prior-knowledge", "2 200"), ("--http2", "1.1 200")] {
        let arguments = [version, "-H", &key, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", &url];
        assert_eq!(run::curl(&arguments).expect_success().stdout, said);
    }
}

/// A gateway in front of an upstream that does what the path says.
struct SetUp {
    // Dropped before the upstream, whose connections end with it.
    gate: Gateway,
    upstream: Upstream,
    release: Latch,
}

impl Drop for SetUp {
    fn drop(&mut self) {
        self.release.open();
    }
}

impl SetUp {
    /// `listen` is what the listener has beside its address.
    fn new(listen: &str) -> Self {
        let release = Latch::default();
        let upstream = Upstream::start({
            let release = release.clone();
            move |talk| serve(talk, &release)
        });
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let gate = Gateway::start(&[
            ("keygate.yaml", &config(listen, &upstream.url())),
            ("keys.yaml", &keys()),
            ("cert.pem", &certificate.cert.pem()),
            ("key.pem", &certificate.signing_key.serialize_pem()),
        ]);
        Self { gate, upstream, release }
    }

    fn run(&self, scenario: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http2/scenarios.py");
        let address = self.gate.address("data").to_string();
        run::python([script.to_str().unwrap(), scenario, &address]).expect_success();
    }
}

fn config(listen: &str, upstream: &str) -> String {
    let separator = if listen.is_empty() { "" } else { ", " };
    format!(
        "version: 1
listen: {{address: 127.0.0.1:0{separator}{listen}}}
health: null
admin: null
upstreams: {{api: {{url: {upstream}}}}}
keys: {{file: keys.yaml}}
routes:
  - path: '/api/{{*rest}}'
    methods: {{'*': write}}
  - {{path: /api/open-trailers, methods: {{'*': write}}, request_trailers: true}}
"
    )
}

fn keys() -> String {
    let digest = KeyDigest::of(KEY.as_bytes()).to_text();
    format!(
        "version: 1\nkeys:\n  - {{id: one, hash: '{digest}', scopes: [write], projects: all, expires_at: never}}\n"
    )
}

fn serve(talk: &mut Talk, release: &Latch) -> io::Result<()> {
    while let Some(mut request) = talk.head()? {
        let target = request.target().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path {
            "/api/hold" => {
                // What returns without an answer reads on until the client is gone; the connection says nothing.
                talk.rest()?;
                return Ok(());
            }
            "/api/early" => {
                talk.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")?;
                return Ok(());
            }
            "/api/broken" => return talk.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
            "/api/hints" => {
                talk.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")?;
            }
            "/api/release" => release.open(),
            "/api/until-released" | "/api/unread" => release.wait(),
            _ => {}
        }
        if request.header("expect").is_some() {
            talk.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        talk.body(&mut request)?;
        talk.send(answer(path, query, request.method()))?;
    }
    Ok(())
}

fn answer(path: &str, query: &str, method: &str) -> String {
    match path {
        "/api/body" => {
            let length: usize = query.parse().unwrap();
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length))
        }
        "/api/trailers" | "/api/open-trailers" => {
            "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n\
            5\r\nreply\r\n0\r\ngrpc-status: 0\r\nGrpc-Message: fine\r\nContent-Length: 3\r\n\r\n"
                .to_owned()
        }
        "/api/fields" => {
            let body = if method == "HEAD" { "" } else { "hello" };
            format!(
                "HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nKeep-Alive: timeout=9\r\nConnection: keep-alive, X-Hop\r\n\
                 X-Hop: 1\r\nSet-Cookie: b=2\r\nContent-Length: 5\r\n\r\n{body}"
            )
        }
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_owned(),
    }
}
