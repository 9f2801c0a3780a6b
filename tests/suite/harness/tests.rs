//! The harness against itself, without a gateway between: what is sent is what is recorded.

use std::process::Command;

use rustix::process::Signal;

use super::tcp_proxy::NOTIFICATION;
use super::{Client, Gateway, Latch, Message, Postgres, TcpProxy, Upstream, run};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn every_byte_of_every_request_is_recorded() {
    let upstream = Upstream::answering(OK);
    let first = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
    let second =
        "PUT /b HTTP/1.1\r\nhost:y\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n0\r\nSum: 3\r\n\r\n";
    let mut client = Client::connect(upstream.address());
    assert_eq!(client.exchange(first).text(), "hi");
    assert_eq!(client.exchange(second).status(), 200);

    assert_eq!(upstream.received(), [format!("{first}{second}").into_bytes()]);
    let requests = upstream.requests();
    assert_eq!((requests[0].method(), requests[0].target(), requests[0].text()), ("POST", "/a", "body"));
    assert_eq!((requests[1].header("Host"), requests[1].text()), (Some("y"), "abc"));
    assert_eq!(requests[1].trailers, [("Sum".to_owned(), "3".to_owned())]);
    assert_eq!(requests[1].raw, second.as_bytes());
}

#[test]
fn pipelined_requests_are_told_apart() {
    let upstream = Upstream::answering(OK);
    let mut client = Client::connect(upstream.address());
    client.send("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
    client.response();
    client.response();
    assert_eq!(upstream.requests().iter().map(Message::target).collect::<Vec<_>>(), ["/1", "/2"]);
}

#[test]
fn a_script_answers_early_in_pieces_and_on_a_word_from_the_test() {
    let go = Latch::default();
    let upstream = Upstream::start({
        let go = go.clone();
        move |talk| {
            let mut request = talk.head()?.expect("a head");
            talk.send("HTTP/1.1 100 Continue\r\n\r\n")?;
            talk.body(&mut request)?;
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")?;
            go.wait();
            talk.send("1\r\nc\r\n0\r\nDone: yes\r\n\r\n")
        }
    });
    let mut client = Client::connect(upstream.address());
    client.send("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    assert_eq!(client.response().status(), 100);
    assert_eq!(upstream.requests(), []);
    client.send("x");
    assert_eq!(client.response_head().status(), 200);
    assert_eq!(client.take(7), b"2\r\nab\r\n");
    go.open();
    assert_eq!(client.read_to_end(), b"1\r\nc\r\n0\r\nDone: yes\r\n\r\n");
    assert_eq!(upstream.wait_for_requests(1)[0].body, b"x");
}

#[test]
fn half_an_answer_and_none_at_all_are_seen_as_such() {
    let upstream = Upstream::start(|talk| {
        let request = talk.request()?.expect("a request");
        match request.target() {
            "/half" => talk.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
            "/reset" => talk.reset(),
            _ => talk.send("garbage"),
        }
    });
    let ask = |target: &str| {
        let mut client = Client::connect(upstream.address());
        client.send(format!("GET {target} HTTP/1.1\r\n\r\n")).try_response()
    };
    let half = ask("/half").unwrap();
    assert_eq!((half.text(), half.complete), ("half", false));
    assert_eq!(ask("/reset"), None);
    assert_eq!(ask("/").unwrap().raw, b"garbage");
    upstream.wait_for_ends(3);
}

#[test]
fn the_end_of_the_client_is_seen_upstream() {
    let upstream = Upstream::start(|talk| {
        let rest = talk.rest()?;
        talk.send(rest)
    });
    let mut client = Client::connect(upstream.address());
    assert_eq!(client.send("\0\r\n\r\nanything").finish_sending().read_to_end(), b"\0\r\n\r\nanything");
    client.expect_close();
    let seen = |received: &[Vec<u8>]| received.iter().any(|bytes| bytes.ends_with(b"anything")).then_some(());
    upstream.wait_until_received("what the client sent", seen);
}

#[test]
fn real_clients_reach_the_upstream() {
    let upstream = Upstream::answering(OK);
    let url = format!("{}/a%20b?b=c", upstream.url());
    assert_eq!(run::curl(&["--include", &url]).expect_success().stdout, OK);
    let code = "import requests, sys; print(requests.get(sys.argv[1]).text)";
    assert_eq!(run::python(["-c", code, &url]).expect_success().stdout, "hi\n");
    assert!(upstream.requests().iter().all(|request| request.target() == "/a%20b?b=c"));
}

#[test]
fn the_gateway_is_driven_between_both() {
    let upstream = Upstream::answering(OK);
    let config = format!(
        "version: 1\nlisten: {{address: 127.0.0.1:0}}\nhealth: null\nadmin: null\nshutdown: {{delay: 0s}}\n\
         upstreams: {{api: {{url: {}}}}}\nkeys: {{file: keys.yaml}}\nroutes: [{{path: '/{{*rest}}', methods: {{GET: read}}}}]\n",
        upstream.url()
    );
    let keys = "version: 1\nkeys: []\n";
    let mut gate = Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", keys)]);
    assert_eq!(gate.connect().exchange("GET / HTTP/1.1\r\nHost: x\r\n\r\n").status(), 401);
    assert_eq!(upstream.received(), Vec::<Vec<u8>>::new());
    gate.signal(Signal::KILL);
    assert_eq!(gate.wait().0.code(), None);
}

#[test]
fn a_postgres_is_stopped_killed_and_paused_and_keeps_its_data() {
    let mut server = Postgres::start();
    let database = server.create_named_database();
    server.psql(&database, "CREATE TABLE t (n INT); INSERT INTO t VALUES (7)");
    server.stop();
    server.start_again();
    assert_eq!(server.psql(&database, "SELECT n FROM t"), "7");
    server.kill();
    server.start_again();
    assert_eq!(server.psql(&database, "SELECT n FROM t"), "7");
    server.pause();
    server.resume();
    assert_eq!(server.psql(&database, "SELECT n FROM t"), "7");
}

/// What `psql` prints for a statement through the proxy, or how it failed.
fn ask_through(proxy: &TcpProxy, statement: &str) -> Result<String, String> {
    let url =
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable&connect_timeout=2", proxy.port());
    let done = run::run(Command::new("psql").args(["-XqAt", &url, "-c", statement]), "");
    if done.code == Some(0) { Ok(done.stdout.trim_end().to_owned()) } else { Err(done.stderr) }
}

#[test]
fn a_network_refuses_cuts_and_passes_again() {
    let server = Postgres::start();
    let proxy = TcpProxy::before(server.address());
    assert_eq!(ask_through(&proxy, "SELECT 7"), Ok("7".to_owned()));
    proxy.refuse();
    let refused = ask_through(&proxy, "SELECT 7").unwrap_err();
    assert!(refused.contains("Connection refused"), "{refused}");
    proxy.pass();
    assert_eq!(ask_through(&proxy, "SELECT 7"), Ok("7".to_owned()));

    proxy.cut_after(20);
    let cut = ask_through(&proxy, "SELECT 7").unwrap_err();
    assert!(cut.contains("closed") || cut.contains("reset"), "{cut}");
    proxy.pass();
    proxy.black_hole();
    let lost = ask_through(&proxy, "SELECT 7").unwrap_err();
    assert!(lost.contains("timeout expired"), "{lost}");
    proxy.pass();
    assert_eq!(ask_through(&proxy, "SELECT 7"), Ok("7".to_owned()));
}

#[test]
fn a_network_loses_a_notification_or_breaks_at_it() {
    let server = Postgres::start();
    let proxy = TcpProxy::before(server.address());
    let notified = "LISTEN x; SELECT pg_notify('x', 'word')";
    assert!(ask_through(&proxy, notified).is_ok());
    proxy.lose(NOTIFICATION);
    assert!(ask_through(&proxy, notified).is_ok());
    proxy.pass();
    proxy.cut_at(NOTIFICATION);
    ask_through(&proxy, notified).unwrap_err();
}

#[test]
fn a_network_that_holds_bytes_passes_them_on_later() {
    let upstream = Upstream::answering(OK);
    let proxy = TcpProxy::before(upstream.address());
    let mut client = Client::connect(proxy.address());
    proxy.hold();
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(upstream.requests(), []);
    proxy.pass();
    upstream.wait_for_requests(1);
    proxy.cut();
    assert_eq!(client.try_response(), None);
    upstream.wait_for_ends(1);
}
