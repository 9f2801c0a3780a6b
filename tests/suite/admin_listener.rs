//! The admin listener: through the real binary as far as it serves something, and with handlers of the test for the rest.

use std::{
    fmt::Write as _,
    fs,
    net::{SocketAddr, TcpStream},
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use axum::{Extension, Router, body::Bytes, routing::post};
use keygate::{
    admin::{
        guard::{BODY_BYTES_MAX, Guard, Peer},
        listener::{CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX},
        thread::{AdminThread, AdminThreadParts},
    },
    config::model::{AdminConfig, SessionLifetimes},
    net::{
        descriptors,
        drain::{Phase, Shutdown},
        listener::{ListenAddress, ListenOptions, bind},
    },
};
use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;

use crate::{
    fixture::{self, request},
    harness::{
        Client, GUARD, Gateway, Latch, Message, Upstream,
        run::{Run, curl},
    },
};

/// The real gateway with `admin`, in front of nothing.
fn gateway(admin: &str) -> Gateway {
    Gateway::start(&[("keygate.yaml", &config(admin)), ("keys.yaml", &fixture::keys())])
}

fn config(admin: &str) -> String {
    fixture::config("http://127.0.0.1:9", "", "", "").replace("admin: null", &format!("admin: {{{admin}}}"))
}

fn ask(address: SocketAddr, start: &str, fields: &[&str]) -> Message {
    let mut text = format!("{start} HTTP/1.1\r\n");
    for field in fields {
        write!(text, "{field}\r\n").unwrap();
    }
    Client::connect(address).exchange(text + "\r\n")
}

#[test]
fn only_its_own_names_are_answered() {
    let gate = gateway(
        "address: '127.0.0.1:0', public_url: 'https://keys.example.com', hosts: ['keys.internal:9443', any.internal]",
    );
    let address = gate.address("admin");
    let port = address.port();
    for (host, expected) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        (format!("LOCALHOST:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        ("keys.example.com".to_owned(), 200),
        ("keys.example.com:443".to_owned(), 200),
        ("keys.internal:9443".to_owned(), 200),
        ("any.internal:1".to_owned(), 200),
        ("keys.example.com:8443".to_owned(), 421),
        ("keys.internal".to_owned(), 421),
        ("localhost".to_owned(), 421),
        ("localhost:1".to_owned(), 421),
        (format!("attacker.example:{port}"), 421),
        (format!("localhost.attacker.example:{port}"), 421),
        (format!("127.0.0.2:{port}"), 421),
        (format!("ada@localhost:{port}"), 400),
        (String::new(), 400),
    ] {
        let answer = ask(address, "GET /sign-in", &[&format!("Host: {host}")]);
        assert_eq!(answer.status(), expected, "{host}: {answer:?}");
    }
    let ours = format!("Host: localhost:{port}");
    for (start, fields, expected) in [
        ("GET /".to_owned(), vec![], 400),
        ("GET /".to_owned(), vec![ours.as_str(), ours.as_str()], 400),
        (format!("GET http://localhost:{port}/sign-in"), vec![ours.as_str()], 200),
        ("GET http://attacker.example/".to_owned(), vec![ours.as_str()], 400),
        ("TRACE /".to_owned(), vec![ours.as_str()], 405),
        (format!("CONNECT localhost:{port}"), vec![ours.as_str()], 405),
    ] {
        assert_eq!(ask(address, &start, &fields).status(), expected, "{start} {fields:?}");
    }
}

#[test]
fn what_may_change_something_comes_from_our_pages_or_carries_a_key() {
    const JSON: &str = "Content-Type: application/json";
    const KEY: &str = "Authorization: Bearer kg_live_x";
    let gate = gateway("address: '127.0.0.1:0', public_url: 'http://keys.example.com'");
    let address = gate.address("admin");
    let host = format!("Host: {address}");
    let ours = format!("Origin: http://{address}");
    // 401 is what the handler answers: the request has passed.
    let cases: &[(&str, &[&str], u16)] = &[
        ("POST /api/v1/keys", &["Sec-Fetch-Site: same-origin"], 401),
        ("DELETE /api/v1/keys", &["Sec-Fetch-Site: same-origin"], 405),
        ("POST /api/v1/keys", &["Sec-Fetch-Site: same-site", KEY], 403),
        ("POST /api/v1/keys", &["Sec-Fetch-Site: cross-site", &ours], 403),
        ("POST /api/v1/keys", &["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"], 403),
        ("POST /api/v1/keys", &["Sec-Fetch-Site: none", &ours], 401),
        ("POST /api/v1/keys", &["Sec-Fetch-Site: none"], 403),
        ("POST /api/v1/keys", &[&ours], 401),
        ("POST /api/v1/keys", &["Origin: http://keys.example.com"], 401),
        ("POST /api/v1/keys", &["Origin: https://keys.example.com"], 403),
        ("POST /api/v1/keys", &["Origin: http://attacker.example", KEY], 403),
        ("POST /api/v1/keys", &["Origin: null", KEY], 403),
        ("POST /api/v1/keys", &[KEY], 401),
        ("POST /api/v1/keys", &[KEY, "Cookie: session=x"], 403),
        ("POST /api/v1/keys", &[], 403),
        ("POST /sign-in", &[], 403),
        ("BREW /sign-in", &[], 403),
        ("GET /api/v1/keys", &["Sec-Fetch-Site: cross-site"], 401),
    ];
    for (start, fields, expected) in cases {
        let answer = ask(address, start, &[&[host.as_str()], *fields].concat());
        assert_eq!(answer.status(), *expected, "{start} {fields:?}: {answer:?}");
    }
    for (path, media_type, expected) in [
        ("/api/v1/keys", JSON, 401),
        ("/api/v1/keys", "Content-Type: Application/JSON; charset=utf-8", 401),
        ("/api/v1/keys", "Content-Type: text/plain", 415),
        ("/api/v1/keys", "Content-Type: application/x-www-form-urlencoded", 415),
        ("/api/v1/keys", "X-Nothing: said", 415),
        // Nobody who has a key can sign in with a password: the request has passed.
        ("/sign-in", "Content-Type: application/x-www-form-urlencoded", 409),
        ("/sign-in", JSON, 415),
        ("/sign-in", "Content-Type: multipart/form-data; boundary=x", 415),
    ] {
        let request = format!(
            "POST {path} HTTP/1.1\r\n{host}\r\n{KEY}\r\n{media_type}\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        assert_eq!(Client::connect(address).exchange(request).status(), expected, "{path} {media_type}");
    }
}

#[test]
fn every_answer_is_dressed_for_browsers() {
    let gate = gateway("address: '127.0.0.1:0'");
    let address = gate.address("admin");
    let host = format!("Host: {address}");
    let answers = [
        ask(address, "GET /", &[&host]),
        ask(address, "HEAD /nowhere", &[&host]),
        ask(address, "GET /api/nowhere", &[&host]),
        ask(address, "GET /", &["Host: attacker.example"]),
        ask(address, "POST /", &[&host]),
        ask(address, "TRACE /", &[&host]),
    ];
    for answer in &answers {
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
        assert!(answer.header("permissions-policy").unwrap().contains("camera=()"));
        assert_eq!(answer.header("strict-transport-security"), None, "{answer:?}");
    }
    assert_eq!(answers[1].status(), 303, "whoever is not signed in is led to where they can");
    assert_eq!(answers[2].header("content-type"), Some("application/problem+json"));
    assert_eq!(answers[2].json()["code"], "not_found");
    assert_eq!(answers[2].json()["type"], "urn:keygate:not_found");
    assert!(answers[5].header("allow").is_some());
}

#[test]
fn tls_is_served_and_its_certificate_is_read_again() {
    let pem = || {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), certificate.pem() + &key.serialize_pem())
    };
    let (first, first_with_key) = pem();
    let admin = "address: '127.0.0.1:0', tls: {certificate: admin.pem, private_key: admin.pem}";
    let gate = Gateway::start(&[
        ("keygate.yaml", &config(admin)),
        ("keys.yaml", &fixture::keys()),
        ("admin.pem", &first_with_key),
    ]);
    let url = format!("https://localhost:{}/", gate.address("admin").port());
    let ask = |authority: &str| -> Run {
        let path = gate.folder().join("ca.pem");
        fs::write(&path, authority).unwrap();
        curl(&[
            "--cacert",
            path.to_str().unwrap(),
            "--resolve",
            &format!("{}:127.0.0.1", &url[8..url.len() - 1]),
            "-i",
            &url,
        ])
    };
    let answer = ask(&first).expect_success().stdout;
    assert!(
        answer.starts_with("HTTP/1.1 303") && answer.contains("strict-transport-security: max-age="),
        "{answer}"
    );
    let (second, second_with_key) = pem();
    assert_ne!(ask(&second).code, Some(0));
    gate.replace("admin.pem", &second_with_key);
    gate.signal(Signal::HUP);
    let started = Instant::now();
    while ask(&second).code != Some(0) {
        assert!(started.elapsed() < GUARD, "the new certificate is not served");
    }
}

#[test]
fn clients_are_served_however_many_connections_idle_at_the_admin_listener() {
    const IDLE: usize = 10_000;
    descriptors::raise_limit();
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let config = fixture::config(&upstream.url(), "", "", "")
        .replace("admin: null", "admin: {address: '127.0.0.1:0'}");
    let gate = Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &fixture::keys())]);
    let address = gate.address("admin");
    let idle: Vec<TcpStream> = (0..IDLE).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(gate.connect().exchange(request("GET /any/x", &[], "")).status(), 200);
    assert_eq!(ask(address, "GET /", &[&format!("Host: {address}")]).status(), 303);
    let open = fs::read_dir(format!("/proc/{}/fd", gate.id())).unwrap().count();
    assert!(open < CONNECTIONS_MAX + 128, "{open} files are open");
    drop(idle);
}

#[test]
fn one_address_makes_room_by_its_own_idle_connections() {
    let admin = Admin::start(Router::new(), |_| {});
    let mut first = Client::connect(admin.address);
    assert_eq!(first.exchange(admin.get("/")).status(), 404);
    let mut later: Vec<_> =
        (0..CONNECTIONS_PER_ADDRESS_MAX).map(|_| Client::connect(admin.address)).collect();
    assert_eq!(later.last_mut().unwrap().exchange(admin.get("/")).status(), 404);
    first.expect_close();
}

#[test]
fn a_head_must_end_in_time_and_within_bounds() {
    let gate = gateway("address: '127.0.0.1:0'");
    let address = gate.address("admin");
    let mut slow = Client::connect(address);
    slow.send("GET / HTTP/1.1\r\nHost:");
    let large = format!("GET / HTTP/1.1\r\nHost: {address}\r\nX-Large: {}\r\n\r\n", "x".repeat(64 << 10));
    assert_eq!(Client::connect(address).exchange(large).status(), 431);
    let _ = slow.read_to_end();
}

#[test]
fn a_body_has_a_mebibyte_at_most() {
    let length = async |body: Bytes| body.len().to_string();
    let admin = Admin::start(Router::new().route("/api/length", post(length)), |_| {});
    let head = format!(
        "POST /api/length HTTP/1.1\r\nHost: {}\r\nAuthorization: x\r\nContent-Type: application/json\r\n",
        admin.address
    );
    let announced = |length: usize| format!("{head}Content-Length: {length}\r\n\r\n");
    let whole = announced(BODY_BYTES_MAX) + &"x".repeat(BODY_BYTES_MAX);
    assert_eq!(Client::connect(admin.address).exchange(whole).text(), BODY_BYTES_MAX.to_string());
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", BODY_BYTES_MAX + 1, "x".repeat(BODY_BYTES_MAX + 1));
    for request in [announced(BODY_BYTES_MAX + 1), format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}")]
    {
        let answer = Client::connect(admin.address).exchange(request);
        assert_eq!((answer.status(), &answer.json()["code"]), (413, &"content_too_large".into()));
    }
}

#[test]
#[expect(unreachable_code, reason = "a handler that panics")]
fn a_panic_is_answered_and_ends_nothing() {
    let fail = async || {
        panic!("this one is meant");
        ""
    };
    let admin = Admin::start(Router::new().route("/api/panic", axum::routing::get(fail)), |_| {});
    let mut client = Client::connect(admin.address);
    for _ in 0..3 {
        let answer = client.exchange(admin.get("/api/panic"));
        assert_eq!((answer.status(), &answer.json()["code"]), (500, &"internal".into()));
        assert!(answer.header("content-security-policy").is_some());
    }
    assert_eq!(client.exchange(admin.get("/")).status(), 404);
}

#[test]
fn a_method_that_a_path_does_not_take_is_told_with_those_it_takes() {
    let admin = Admin::start(Router::new().route("/api/x", post(async || "")), |_| {});
    let answer = Client::connect(admin.address).exchange(admin.get("/api/x"));
    assert_eq!((answer.status(), answer.header("allow")), (405, Some("POST")));
    assert_eq!(answer.json()["code"], "method_not_allowed");
}

#[test]
fn handlers_learn_who_asks() {
    let tell = async |Extension(peer): Extension<Peer>| format!("{peer:?}");
    let told = |change: fn(&mut AdminConfig), forwarded: &str| {
        let admin = Admin::start(Router::new().route("/", axum::routing::get(tell)), change);
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n{forwarded}\r\n", admin.address);
        Client::connect(admin.address).exchange(request).text().to_owned()
    };
    let trusting: fn(&mut AdminConfig) =
        |config| config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let public: fn(&mut AdminConfig) =
        |config| config.public_url = Some("https://keys.example.com".parse().unwrap());
    let peer = |address: &str, is_loopback: bool, is_secure: bool| {
        let address = Some(address.parse().unwrap());
        format!("{:?}", Peer { address, is_loopback, is_secure })
    };
    assert_eq!(told(|_| {}, ""), peer("127.0.0.1", true, false));
    assert_eq!(told(public, ""), peer("127.0.0.1", true, true));
    // Nobody trusts this proxy, but it says itself that it is one.
    assert_eq!(told(|_| {}, "X-Forwarded-For: 127.0.0.1\r\n"), peer("127.0.0.1", false, false));
    for spelling in ["203.0.113.9", "::ffff:203.0.113.9"] {
        let forwarded = format!("X-Forwarded-For: {spelling}\r\n");
        assert_eq!(told(trusting, &forwarded), peer("203.0.113.9", false, false), "{spelling}");
    }
    assert_eq!(told(trusting, "X-Forwarded-For: 127.0.0.1\r\n"), peer("127.0.0.1", true, false));
    assert!(told(trusting, "X-Forwarded-For: unknown\r\n").starts_with("Bad request"));
}

#[test]
fn requests_under_way_end_with_the_drain_and_idle_connections_at_once() {
    let (begun, go_on) = (Latch::default(), Latch::default());
    let handler = {
        let (begun, go_on) = (begun.clone(), go_on.clone());
        async move || {
            begun.open();
            tokio::task::spawn_blocking(move || go_on.wait()).await.unwrap();
            "done"
        }
    };
    let admin = Admin::start(Router::new().route("/", axum::routing::get(handler)), |_| {});
    let mut idle = Client::connect(admin.address);
    assert_eq!(idle.exchange(admin.get("/nowhere")).status(), 404);
    let mut busy = Client::connect(admin.address);
    busy.send(admin.get("/"));
    begun.wait();
    admin.shutdown.advance(Phase::Draining);
    idle.expect_close();
    go_on.open();
    let answer = busy.response();
    assert_eq!((answer.text(), answer.header("connection")), ("done", Some("close")));
    admin.thread.join().unwrap();
}

#[test]
fn an_address_that_is_taken_is_told_and_nothing_is_served() {
    let first = gateway("address: '127.0.0.1:0'");
    let taken = config(&format!("address: '{}'", first.address("admin")));
    let mut second =
        Gateway::spawn(&[("keygate.yaml", &taken), ("keys.yaml", &fixture::keys())], |command| command);
    let (status, output) = second.wait();
    assert_eq!(status.code(), Some(1));
    assert!(output.contains("the admin listener: address in use"), "{output}");
}

#[test]
fn a_unix_socket_is_served_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let mut gate = gateway(&format!("address: 'unix:{}'", path.display()));
    gate.wait_for_line("listening name=admin");
    let answer = curl(&["--unix-socket", path.to_str().unwrap(), "-i", "http://localhost/api/x"]);
    assert!(answer.expect_success().stdout.starts_with("HTTP/1.1 404"));
    gate.signal(Signal::TERM);
    let (status, output) = gate.wait();
    assert_eq!(status.code(), Some(0), "{output}");
    assert!(!path.exists());
}

#[test]
fn clients_never_reach_it_through_their_own_listener() {
    let gate = gateway("address: '127.0.0.1:0'");
    for path in ["/", "/api/v1/openapi.json", "/api/v1/keys", "/sign-in"] {
        let answer = gate.connect().exchange(request(&format!("GET {path}"), &[], ""));
        assert_eq!(answer.status(), 404, "{path}");
        assert!(
            answer.header("x-request-id").is_some() && answer.header("content-security-policy").is_none()
        );
    }
}

#[test]
fn a_change_of_its_settings_waits_for_a_restart() {
    let gate = gateway("address: '127.0.0.1:0'");
    gate.replace("keygate.yaml", &config("address: '127.0.0.1:0', hosts: [keys.internal]"));
    gate.signal(Signal::HUP);
    gate.wait_for_line("`admin` changed; the change needs a restart");
}

#[test]
fn its_thread_stands_below_the_data_path() {
    let gate = gateway("address: '127.0.0.1:0'");
    let niceness = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", gate.id())).unwrap();
        let stats =
            tasks.map(|task| fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default());
        let stat = stats.into_iter().find(|stat| stat.contains("(keygate-admin)"))?;
        stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse::<i32>().ok()
    };
    let started = Instant::now();
    while niceness() != Some(10) {
        assert!(started.elapsed() < GUARD, "{:?}", niceness());
        std::thread::yield_now();
    }
}

/// An admin listener with handlers of the test.
struct Admin {
    address: SocketAddr,
    shutdown: Shutdown,
    thread: AdminThread,
}

impl Admin {
    fn start(router: Router, change: impl FnOnce(&mut AdminConfig)) -> Self {
        let any = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
        let sessions =
            SessionLifetimes { idle: Duration::from_hours(12), absolute: Duration::from_hours(168) };
        let mut config = AdminConfig {
            address: any.clone(),
            public_url: None,
            tls: None,
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            sessions,
        };
        change(&mut config);
        let options = ListenOptions { address: any, unix_mode: 0o600, workers: NonZeroUsize::MIN };
        let mut bound = bind(&options).unwrap();
        let guard = Guard::new(&config, &bound.address);
        let ListenAddress::Tcp(address) = bound.address else { panic!("asked for TCP") };
        let shutdown = Shutdown::new();
        let parts = AdminThreadParts {
            thread: "keygate-admin",
            name: "admin",
            socket: bound.sockets.pop().unwrap(),
            guard,
            certificates: None,
            connections: CONNECTIONS_MAX,
            shutdown: shutdown.clone(),
        };
        let thread = AdminThread::start(parts, move || (router, None)).unwrap();
        Self { address, shutdown, thread }
    }

    fn get(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address)
    }
}
