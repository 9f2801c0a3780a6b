//! Requests and answers on their way: bodies, interim answers, trailers, the pool, limits, and upstreams that fail.

use std::io::Write;

use crate::{
    fixture::{self, FULL, gateway, gateway_with, request},
    harness::{Gateway, Upstream},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn bodies_stream_both_ways_whatever_their_framing() {
    let upstream = Upstream::start(|talk| {
        while let Some(request) = talk.request()? {
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for piece in request.body.chunks(1000) {
                talk.send(format!("{:x}\r\n", piece.len()))?;
                talk.send(piece)?;
                talk.send("\r\n")?;
            }
            talk.send("0\r\n\r\n")?;
        }
        Ok(())
    });
    let gate = gateway(&upstream);
    let body: String = (0..200_000).map(|n| char::from(b'a' + u8::try_from(n % 26).unwrap())).collect();
    let mut client = gate.connect();
    let known = client.exchange(request("POST /any/a", &[&format!("Content-Length: {}", body.len())], &body));
    assert_eq!(known.text(), body);
    assert_eq!(upstream.requests()[0].headers("content-length"), [body.len().to_string()]);
    let chunked: String = body.as_bytes().chunks(777).fold(String::new(), |text, piece| {
        text + &format!("{:x};ext=1\r\n{}\r\n", piece.len(), std::str::from_utf8(piece).unwrap())
    });
    let sent =
        client.exchange(request("PUT /any/b", &["Transfer-Encoding: chunked"], &(chunked + "0\r\n\r\n")));
    assert_eq!(sent.text(), body);
    assert_eq!(upstream.requests()[1].headers("transfer-encoding"), ["chunked"]);
    assert_eq!(upstream.received().len(), 1, "both went over one pooled connection");
    let old = gate
        .connect()
        .exchange(format!("GET /any/c HTTP/1.0\r\nHost: a\r\nAuthorization: Bearer {FULL}\r\n\r\n"));
    assert_eq!((old.status(), old.header("transfer-encoding")), (200, None), "HTTP/1.0 knows no chunks");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start(|talk| {
        while let Some(request) = talk.request()? {
            let body = request.target().to_owned();
            talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))?;
        }
        Ok(())
    });
    let gate = gateway(&upstream);
    let mut client = gate.connect();
    let all: String =
        (0..5).map(|n| request(&format!("POST /any/{n}"), &["Content-Length: 3"], "abc")).collect();
    client.send(all);
    for n in 0..5 {
        assert_eq!(client.response().text(), format!("/any/{n}"));
    }
}

#[test]
fn a_slow_reader_holds_back_the_upstream() {
    let upstream = Upstream::start(|talk| {
        while talk.request()?.is_some() {
            talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 200 << 20))?;
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..200 {
                talk.send(&piece)?;
            }
        }
        Ok(())
    });
    let gate = gateway(&upstream);
    let mut client = gate.connect();
    client.send(request("GET /any/a", &[], ""));
    client.response_head();
    let kilobytes = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", gate.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let taken = client.take(8 << 20);
    assert_eq!(taken.len(), 8 << 20);
    assert!(kilobytes() < 100_000, "the gateway buffers what its client does not read");
}

#[test]
fn interim_answers_pass_and_continue_comes_after_admission() {
    let upstream = Upstream::start(|talk| {
        while let Some(mut request) = talk.head()? {
            talk.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")?;
            if request.header("expect").is_some() {
                talk.send("HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            talk.body(&mut request)?;
            talk.send(OK)?;
        }
        Ok(())
    });
    let gate = gateway(&upstream);
    let mut client = gate.connect();
    client.send(request("POST /any/a", &["Content-Length: 5", "Expect: 100-continue"], ""));
    let hints = client.response_head();
    assert_eq!((hints.status(), hints.header("link").is_some()), (103, true));
    assert_eq!(client.response_head().status(), 100);
    client.send("hello");
    assert_eq!(client.response().status(), 200);
    assert_eq!(upstream.requests()[0].text(), "hello");
    let refused = gate
        .connect()
        .exchange("POST /any/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(refused.status(), 401, "without a key there is no 100");
}

#[test]
fn an_upstream_that_ignores_expect_does_not_stall_the_client() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream);
    let mut client = gate.connect();
    client.send(request("POST /any/a", &["Content-Length: 5", "Expect: 100-continue"], ""));
    assert_eq!(client.response_head().status(), 100);
    client.send("hello");
    assert_eq!(client.response().status(), 200);
}

#[test]
fn trailers_pass_where_they_may() {
    let upstream = Upstream::start(|talk| {
        while talk.request()?.is_some() {
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Auth-User: evil\r\n\r\n")?;
        }
        Ok(())
    });
    let gate = gateway(&upstream);
    let body = "2\r\nhi\r\n0\r\nX-Sum: 9\r\nContent-Length: 7\r\nX-Auth-User: evil\r\n\r\n";
    // That it is gRPC is the client's word, and over HTTP/1.1 it counts for nothing.
    for (path, kind, kept) in [
        ("/any/a", "text/plain", false),
        ("/any/a", "application/grpc", false),
        ("/open/a", "text/plain", true),
    ] {
        let fields = ["Transfer-Encoding: chunked", &format!("Content-Type: {kind}")];
        let response = gate.connect().exchange(request(&format!("POST {path}"), &fields, body));
        assert_eq!(response.trailers, [("X-Sum".to_owned(), "1".to_owned())]);
        let seen = upstream.requests().pop().unwrap();
        let trailers: Vec<_> = seen.trailers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(trailers, if kept { vec!["X-Sum"] } else { vec![] }, "{path} {kind}");
    }
}

#[test]
fn an_early_answer_ends_both_connections() {
    let upstream = Upstream::start(|talk| {
        if talk.head()?.is_some() {
            talk.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")?;
        }
        talk.rest()?;
        Ok(())
    });
    let gate = gateway(&upstream);
    let mut client = gate.connect();
    client.send(request("POST /any/a", &["Content-Length: 1000000"], "begin"));
    let response = client.response();
    assert_eq!((response.status(), response.header("connection")), (413, Some("close")));
    client.finish_sending().expect_close();
    upstream.wait_for_ends(1);
}

#[test]
fn a_connection_with_something_left_over_carries_no_second_request() {
    let leftovers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ];
    for first in leftovers {
        let upstream = Upstream::answering(first);
        let gate = gateway_with(&upstream, "", "", "workers: 1");
        for _ in 0..2 {
            let response = gate.connect().exchange(request("GET /any/a", &[], ""));
            assert!(matches!(response.text(), "ok" | ""), "{first:?}: {}", response.text());
        }
        assert_eq!(upstream.received().len(), 2, "{first:?}: the connection was used again");
    }
}

#[test]
fn a_request_is_sent_again_only_where_that_is_safe() {
    // Each connection serves one request, and closes in silence when the next one comes.
    let upstream = Upstream::start(|talk| {
        if talk.request()?.is_some() {
            talk.send(OK)?;
        }
        talk.head()?;
        Ok(())
    });
    let gate = gateway_with(&upstream, "", "", "workers: 1");
    let send = |start: &str, fields: &[&str], body: &str| {
        gate.connect().exchange(request(start, fields, body)).status()
    };
    assert_eq!(send("GET /any/1", &[], ""), 200);
    assert_eq!(send("GET /any/2", &[], ""), 200, "sent again on a fresh connection");
    assert_eq!(send("POST /any/3", &["Content-Length: 2"], "hi"), 502, "it may have been done already");
    assert_eq!(send("GET /any/4", &[], ""), 200);
    assert_eq!(send("DELETE /any/5", &[], ""), 200, "idempotent without body");
}

#[test]
fn what_an_upstream_may_not_say_is_a_bad_gateway() {
    let answers = [
        "",
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 99 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
    ];
    for answer in answers {
        let upstream = Upstream::start(move |talk| {
            if talk.request()?.is_some() {
                talk.send(answer)?;
            }
            Ok(())
        });
        let gate = gateway(&upstream);
        let response = gate.connect().exchange(request("GET /any/a", &[], ""));
        assert_eq!(
            (response.status(), response.json()["code"].as_str()),
            (502, Some("upstream_unreachable")),
            "{answer:?}"
        );
    }
    let settings = Upstream::start(|talk| {
        talk.request()?;
        talk.send([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100])
    });
    let gate = gateway(&settings);
    assert_eq!(gate.connect().exchange(request("GET /any/a", &[], "")).status(), 502);
    gate.wait_for_line("it speaks HTTP/2; write `http: 2` at the upstream");
    let flood = Upstream::start(|talk| {
        talk.request()?;
        talk.send("HTTP/1.1 200 OK\r\n")?;
        while talk.send("X-Flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").is_ok()
        {
        }
        Ok(())
    });
    assert_eq!(gateway(&flood).connect().exchange(request("GET /any/a", &[], "")).status(), 502);
}

#[test]
fn an_answer_that_breaks_off_is_seen_to() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz",
    ] {
        let upstream = Upstream::start(move |talk| {
            talk.request()?;
            talk.send(answer)
        });
        let response = gateway(&upstream).connect().exchange(request("GET /any/a", &[], ""));
        assert!(!response.complete, "{answer:?}");
    }
}

#[test]
fn upstreams_that_are_not_there_or_late() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = fixture::config(&format!("http://127.0.0.1:{port}"), "", "", "");
    let gate = Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &fixture::keys())]);
    let mut client = gate.connect();
    let response = client.exchange(request("GET /any/a", &[], ""));
    assert_eq!(response.status(), 502);
    assert!(!response.text().contains("127.0.0.1"), "an address of the inside: {}", response.text());
    assert_eq!(client.exchange(request("GET /any/a", &[], "")).status(), 502, "the connection goes on");
    let silent = Upstream::start(|talk| talk.rest().map(drop));
    let gate = gateway_with(&silent, "", "timeouts: {first_byte: 200ms}", "");
    let response = gate.connect().exchange(request("GET /any/a", &[], ""));
    assert_eq!((response.status(), response.json()["code"].as_str()), (504, Some("upstream_timeout")));
}

#[test]
fn room_is_limited_across_all_workers() {
    let (upstream, go) = Upstream::held(OK);
    let gate = gateway_with(
        &upstream,
        "",
        "max_connections: 2, max_pending: 1, timeouts: {connect: 20s}",
        "workers: 2",
    );
    let mut holders: Vec<_> = (0..2).map(|_| gate.connect()).collect();
    for holder in &mut holders {
        holder.send(request("GET /any/a", &[], ""));
    }
    upstream.wait_for_requests(2);
    // One more may wait; of five, four are turned away.
    let mut others: Vec<_> = (0..5).map(|_| gate.connect()).collect();
    for other in &mut others {
        other.send(request("GET /any/b", &[], ""));
    }
    let refused = |gate: &Gateway| gate.output().matches("\"reason\":\"overloaded\"").count();
    while refused(&gate) < 4 {
        gate.wait_for_line("overloaded");
    }
    go.open();
    let mut statuses: Vec<_> = others.iter_mut().map(|other| other.response().status()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503, 503, 503, 503]);
    for holder in &mut holders {
        assert_eq!(holder.response().status(), 200);
    }
}

#[test]
fn a_client_that_leaves_frees_its_place_among_those_who_wait() {
    let (upstream, go) = Upstream::held(OK);
    let gate = gateway_with(
        &upstream,
        "",
        "max_connections: 1, max_pending: 1, timeouts: {connect: 60s}",
        "workers: 1",
    );
    let mut holder = gate.connect();
    holder.send(request("GET /any/a", &[], ""));
    upstream.wait_for_requests(1);
    let mut waiters = [gate.connect(), gate.connect()];
    for waiter in &mut waiters {
        waiter.send(request("GET /any/b", &[], ""));
    }
    // One of the two has the place, the other is turned away.
    gate.wait_for_line("\"reason\":\"overloaded\"");
    drop(waiters);
    gate.wait_for_line("\"outcome\":\"aborted\"");
    let mut next = [gate.connect(), gate.connect()];
    for waiter in &mut next {
        waiter.send(request("GET /any/c", &[], ""));
    }
    while gate.output().matches("\"reason\":\"overloaded\"").count() < 2 {
        std::thread::yield_now();
    }
    go.open();
    assert_eq!(holder.response().status(), 200);
    let mut statuses = next.map(|mut waiter| waiter.response().status());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
}

#[test]
fn what_a_client_makes_grow_has_a_limit() {
    let upstream = Upstream::answering(OK);
    let limits = "limits: {header_bytes: 4KiB, target_bytes: 1KiB, headers: 20, body_bytes: 1000}, timeouts: {head: 300ms, idle: 300ms}";
    let gate = gateway_with(&upstream, limits, "", "");
    let long = "a".repeat(2000);
    let status = |text: String| gate.connect().exchange(text).status();
    assert_eq!(status(request(&format!("GET /any/{long}"), &[], "")), 414);
    assert_eq!(status(request("GET /any/a", &[&format!("X: {}", long.repeat(3))], "")), 431);
    let many: Vec<_> = (0..30).map(|n| format!("X-{n}: 1")).collect();
    assert_eq!(status(request("GET /any/a", &many.iter().map(String::as_str).collect::<Vec<_>>(), "")), 431);
    assert_eq!(status(request("POST /any/a", &["Content-Length: 1001"], "")), 413);
    let chunk = format!("3e9\r\n{}\r\n0\r\n\r\n", "a".repeat(1001));
    assert_eq!(status(request("POST /any/a", &["Transfer-Encoding: chunked"], &chunk)), 413);
    assert_eq!(status(request("POST /any/a", &["Content-Length: 1000"], &"a".repeat(1000))), 200);
    assert_eq!(status("GET /any/a HTTP/1.1\r\nHost: a\r\n".to_owned()), 408, "half a head");
    assert_eq!(status(request("POST /any/a", &["Content-Length: 10"], "half")), 408, "half a body");
    let mut endless = gate.connect();
    endless.send(format!("GET /any/a HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(5000)));
    assert_eq!(endless.response().status(), 431);
}

#[test]
fn an_idle_connection_is_closed() {
    let upstream = Upstream::answering(OK);
    let gate = gateway_with(&upstream, "timeouts: {keep_alive: 200ms}", "", "");
    let mut client = gate.connect();
    assert_eq!(client.exchange(request("GET /any/a", &[], "")).status(), 200);
    client.expect_close();
    gate.connect().expect_close();
}

#[test]
fn websockets_pass_only_where_the_route_says_so() {
    let upstream = Upstream::start(|talk| {
        while let Some(request) = talk.request()? {
            if request.header("upgrade").is_none() {
                talk.send(OK)?;
                continue;
            }
            let early = request.target().ends_with("refuse");
            if early {
                talk.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            }
            talk.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n")?;
            let echoed = talk.take(5)?;
            talk.send(echoed)?;
            return Ok(());
        }
        Ok(())
    });
    let gate = gateway(&upstream);
    let fields = [
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let mut client = gate.connect();
    client.send(request("GET /ws/a", &fields, "")).send("hello");
    let switched = client.response_head();
    assert_eq!((switched.status(), switched.header("upgrade")), (101, Some("websocket")));
    assert_eq!(client.take(5), b"hello");
    client.expect_close();
    let elsewhere = gate.connect().exchange(request("GET /any/a", &fields, ""));
    assert_eq!(elsewhere.status(), 200, "an upgrade that is not permitted is an ordinary request");
    assert_eq!(upstream.requests().pop().unwrap().header("upgrade"), None);
    assert_eq!(gate.connect().exchange(request("GET /ws/refuse", &fields, "")).status(), 403);
    let h2c = gate.connect().exchange(request(
        "GET /ws/a",
        &["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"],
        "",
    ));
    assert_eq!(h2c.status(), 200);
    let seen = upstream.requests().pop().unwrap();
    assert_eq!((seen.header("upgrade"), seen.header("http2-settings")), (None, None));
}

#[test]
fn a_client_that_leaves_frees_the_upstream() {
    let upstream = Upstream::start(|talk| {
        talk.request()?;
        talk.rest()?;
        Ok(())
    });
    let gate = gateway(&upstream);
    let mut client = gate.connect();
    client.send(request("GET /any/a", &[], ""));
    upstream.wait_for_requests(1);
    drop(client);
    upstream.wait_for_ends(1);
}

#[test]
fn ten_thousand_keys_and_a_storm_of_connections() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream);
    let mut clients: Vec<_> = (0..300).map(|_| gate.connect()).collect();
    for _ in 0..3 {
        for client in &mut clients {
            client.send(request("GET /any/a", &[], ""));
        }
        for client in &mut clients {
            assert_eq!(client.response().status(), 200);
        }
    }
    let _ = std::io::stdout().flush();
}

#[test]
fn a_body_that_must_not_be_is_nobodys_answer() {
    for (start, answer) in [
        ("HEAD /any/a", "HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n"),
        ("GET /any/a", "HTTP/1.1 204 No Content\r\nContent-Length: 37\r\n\r\n"),
        ("GET /any/a", "HTTP/1.1 304 Not Modified\r\n\r\n"),
    ] {
        let upstream = Upstream::start(move |talk| {
            while let Some(request) = talk.request()? {
                if request.target() == "/any/mine" {
                    talk.send(OK)?;
                } else {
                    talk.send(answer)?;
                    talk.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")?;
                }
            }
            Ok(())
        });
        let gate = gateway_with(&upstream, "", "", "workers: 1");
        for _ in 0..20 {
            let mut client = gate.connect();
            client.send(request(start, &[], "") + &request("GET /any/mine", &[], ""));
            client.response_head();
            assert_eq!(client.response().text(), "ok", "{start} {answer:?}");
        }
    }
}

#[test]
fn a_slow_reader_holds_no_upstream_connection() {
    let upstream = Upstream::start(|talk| {
        while talk.request()?.is_some() {
            talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 << 10))?;
            talk.send(vec![b'x'; 64 << 10])?;
        }
        Ok(())
    });
    let gate = gateway_with(&upstream, "", "max_connections: 1, max_pending: 10", "workers: 1");
    let mut slow: Vec<_> = (0..8).map(|_| gate.connect()).collect();
    for client in &mut slow {
        client.send(request("GET /any/a", &[], "").repeat(40));
        client.response_head();
    }
    let mut quick = gate.connect();
    assert_eq!(quick.exchange(request("GET /any/b", &[], "")).body.len(), 64 << 10);
}

#[test]
fn a_trusted_proxy_may_tell_the_client_but_no_other_path() {
    let upstream = Upstream::answering(OK);
    let gate = gateway_with(&upstream, "trusted_proxies: [127.0.0.0/8]", "", "");
    let fields = [
        "X-Forwarded-For: 203.0.113.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: public.example",
        "X-Original-URL: /admin",
        "X-Rewrite-URL: /admin",
        "X-Forwarded-Prefix: /admin",
        "X-Real-IP: 6.6.6.6",
        "Proxy: http://evil",
        "X-Request-Id: from-the-proxy",
    ];
    assert_eq!(
        gate.connect().exchange(request("GET /any/a", &fields, "")).header("x-request-id"),
        Some("from-the-proxy")
    );
    let seen = upstream.requests().pop().unwrap();
    for (name, values) in [
        ("x-forwarded-for", &["203.0.113.7, 127.0.0.1"][..]),
        ("x-forwarded-proto", &["https"]),
        ("x-forwarded-host", &["public.example"]),
        ("x-real-ip", &["203.0.113.7"]),
        ("x-original-url", &[]),
        ("x-rewrite-url", &[]),
        ("x-forwarded-prefix", &[]),
        ("proxy", &[]),
    ] {
        assert_eq!(seen.headers(name), values, "{name}");
    }
    let doubled = ["X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"];
    gate.connect().exchange(request("GET /any/a", &doubled, ""));
    assert_eq!(
        upstream.requests().pop().unwrap().headers("x-forwarded-proto"),
        ["http"],
        "what is said twice is not believed"
    );
}
