//! Requests of two readings: nothing of them reaches the upstream, and nothing after them is served.

use crate::{
    fixture::{self, FULL, READER, request},
    harness::Upstream,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn what_has_two_readings_is_refused_and_the_connection_closes() {
    let upstream = Upstream::answering(OK);
    let gate = fixture::gateway(&upstream);
    let start = "GET /any/a";
    let post = "POST /any/a";
    let key = format!("Authorization: Bearer {FULL}");
    let smuggled = "GET /admin/x HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    let cases: Vec<(u16, String)> = vec![
        // Framing: RFC 9112 sections 6.1 to 6.3 and 7.1.
        (400, request(post, &["Content-Length: 5", "Transfer-Encoding: chunked"], "0\r\n\r\n")),
        (400, request(post, &["Transfer-Encoding: chunked", "Content-Length: 5"], "0\r\n\r\n")),
        (400, request(post, &["Content-Length: 5", "Content-Length: 5"], "hello")),
        (400, request(post, &["Content-Length: 5", "Content-Length: 6"], "hello")),
        (400, request(post, &["Content-Length: 5, 5"], "hello")),
        (400, request(post, &["Content-Length: +5"], "hello")),
        (400, request(post, &["Content-Length: -5"], "hello")),
        (400, request(post, &["Content-Length: 0x5"], "hello")),
        (400, request(post, &["Content-Length: 5 "], "").replace("5 \r", "5 5\r")),
        (400, request(post, &["Content-Length: 99999999999999999999"], "")),
        (400, request(post, &["Content-Length:"], "")),
        (400, request(post, &["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n")),
        (400, request(post, &["Transfer-Encoding: chunked, identity"], "0\r\n\r\n")),
        (400, request(post, &["Transfer-Encoding: identity"], "")),
        (400, request(post, &["Transfer-Encoding: xchunked"], "0\r\n\r\n")),
        (400, request(post, &["Transfer-Encoding: \u{b}chunked"], "0\r\n\r\n")),
        (400, request(post, &["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], "0\r\n\r\n")),
        (400, request(post, &["Transfer-Encoding : chunked"], "0\r\n\r\n")),
        (400, request(post, &["X: y\r\n Transfer-Encoding: chunked"], "")),
        (400, request(post, &["Transfer-Encoding: chunked"], "").replace("HTTP/1.1", "HTTP/1.0")),
        // Lines: sections 2.2, 3 and 5.
        (400, request(start, &["X: y\nAuthorization: Bearer z"], "")),
        (400, request(start, &["X: y\rz"], "")),
        (400, request(start, &["X: y\0z"], "")),
        (400, request(start, &["X\0: y"], "")),
        (400, request(start, &[" X: y"], "")),
        (400, request(start, &["X"], "")),
        (400, request(start, &[": y"], "")),
        (400, request(start, &["X y: z"], "")),
        (400, format!("GET  /any/a HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n")),
        (400, format!("GET /any/a  HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n")),
        (400, format!("GET\t/any/a HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n")),
        (400, format!("GET /any/a\r\nHost: a\r\n{key}\r\n\r\n")),
        (400, format!("GET /any/a HTTP/1.1\nHost: a\n{key}\n\n")),
        (505, format!("GET /any/a HTTP/2.0\r\nHost: a\r\n{key}\r\n\r\n")),
        (505, format!("GET /any/a HTTP/1.2\r\nHost: a\r\n{key}\r\n\r\n")),
        (400, format!("GET /any/a http/1.1\r\nHost: a\r\n{key}\r\n\r\n")),
        (400, format!("GE(T /any/a HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n")),
        // Host: section 3.2.
        (400, format!("GET /any/a HTTP/1.1\r\n{key}\r\n\r\n")),
        (400, format!("GET /any/a HTTP/1.1\r\nHost: a\r\nHost: a\r\n{key}\r\n\r\n")),
        (400, format!("GET /any/a HTTP/1.1\r\nHost: a\r\nHost: b\r\n{key}\r\n\r\n")),
        (400, format!("GET /any/a HTTP/1.1\r\nHost: a b\r\n{key}\r\n\r\n")),
        (400, format!("GET /any/a HTTP/1.1\r\nHost: user@a\r\n{key}\r\n\r\n")),
        (400, format!("GET /any/a HTTP/1.1\r\nHost: a/b\r\n{key}\r\n\r\n")),
        (400, format!("GET /any/a HTTP/1.1\r\nHost: a:\r\n{key}\r\n\r\n")),
        (400, format!("GET /any/a HTTP/1.1\r\nHost: a:80:80\r\n{key}\r\n\r\n")),
        (400, format!("GET /any/a HTTP/1.1\r\nHost:\r\n{key}\r\n\r\n")),
        (400, format!("GET http://b/any/a HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n")),
        (400, format!("GET http:/any/a HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n")),
        (400, format!("GET ftp://a/any/a HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n")),
        (400, format!("GET any/a HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n")),
        (400, format!("GET * HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n")),
        // Paths: RFC 3986.
        (400, request("GET /any/../admin/x", &[], "")),
        (400, request("GET /any/%2e%2e/admin/x", &[], "")),
        (400, request("GET /any/%252e%252e/admin/x", &[], "")),
        (400, request("GET /any/..;/admin/x", &[], "")),
        (400, request("GET /any/..%2fadmin/x", &[], "")),
        (400, request("GET /any\\..\\admin/x", &[], "")),
        (400, request("GET /any/a%00b", &[], "")),
        (400, request("GET /any/a%", &[], "")),
        (400, request("GET /any/a%zz", &[], "")),
        (400, request("GET /any/a#b", &[], "")),
        (400, request("GET /any/\u{e9}", &[], "")),
        (400, request("GET /any/%ef%bc%8e%ef%bc%8e/admin/x", &[], "")),
        // Header set.
        (400, request(start, &[&format!("Authorization: Bearer {READER}")], "")),
        (400, request(start, &["Connection: authorization"], "")),
        (400, request(start, &["Connection: close, X-Auth-User"], "")),
        (400, request(start, &["Connection: X_Auth_User"], "")),
        (400, request(start, &["Connection: keep-alive", "Connection: x-forwarded-for"], "")),
        (400, request(start, &["Connection: Content-Length"], "")),
        (400, request(start, &["Connection: cookie"], "")),
        (400, request("GET /any/a?t=kg_live_0123456789abcdefghijklmnopqrstuvwx012345", &[], "")),
        (400, request(post, &["X-HTTP-Method-Override: DELETE", "Content-Length: 0"], "")),
        (400, request(post, &["X_HTTP_Method_Override: DELETE", "Content-Length: 0"], "")),
        (400, request("POST /any/a?_method=DELETE", &["Content-Length: 0"], "")),
        (400, request("GET /any/a?t=kg%5Flive_0123456789abcdefghijklmnopqrstuvwx012345", &[], "")),
        (400, request(start, &["X-Http-Method: GET"], "")),
        (400, request("GET /any/a?%5Fmethod=DELETE", &[], "")),
        (400, request("GET /any/a?x#/../admin", &[], "")),
        (400, request("get /any/a", &[], "")),
        (400, request("Delete /any/a", &["Content-Length: 0"], "")),
        (400, request(start, &["Connection: X-HTTP-Method-Override"], "")),
        (400, request(start, &["Content-Length: 5"], "hello")),
        (417, request(post, &["Expect: a-miracle", "Content-Length: 0"], "")),
        // Not HTTP at all.
        (400, "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}".to_owned()),
        (400, "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()),
    ];
    for (expected, bytes) in &cases {
        let mut client = gate.connect();
        client.send(bytes).send(smuggled);
        let response = client.response();
        assert_eq!(response.status(), *expected, "{bytes:?}\n{}", response.text());
        assert_eq!(response.header("connection"), Some("close"), "{bytes:?}");
        client.finish_sending();
        let rest = client.read_to_end();
        assert_eq!(String::from_utf8_lossy(&rest), "", "{bytes:?}: something after it was served");
    }
    assert_eq!(upstream.received(), Vec::<Vec<u8>>::new());
}

#[test]
fn other_methods_than_requests_are_answered_here() {
    let upstream = Upstream::answering(OK);
    let gate = fixture::gateway(&upstream);
    for start in ["CONNECT api.example.com:443", "TRACE /any/a", "CONNECT /any/a", "trace /any/a"] {
        let response = gate.connect().exchange(request(start, &[], ""));
        assert_eq!((response.status(), response.header("allow").is_some()), (405, true), "{start}");
    }
    let response = gate.connect().exchange("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((response.status(), response.header("allow").is_some()), (204, true));
    assert_eq!(upstream.received(), Vec::<Vec<u8>>::new());
}

#[test]
fn no_spelling_of_a_guarded_path_reaches_a_catch_all() {
    let upstream = Upstream::answering(OK);
    let routes = "routes:\n  - {path: '/admin/{*rest}', methods: {'*': admin}}\n  - {path: '/{*rest}', methods: {'*': read}}\n";
    let config = fixture::config(&upstream.url(), "", "", "").replace(fixture::ROUTES, routes);
    let gate = crate::harness::Gateway::start(&[
        ("keygate.yaml", &config),
        ("keys.yaml", &fixture::keys().replace("[alpha]", "all")),
    ]);
    let read = |path: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {READER}\r\n\r\n");
        gate.connect().exchange(text).status()
    };
    assert_eq!(read("/admin/x"), 403);
    for path in [
        "/Admin/x",
        "/ADMIN/x",
        "/%61dmin/x",
        "/%2561dmin/x",
        "/adm%69n/x",
        "//admin/x",
        "/admin//x",
        "/admin;a=b/x",
        "/;/admin/x",
        "/admin%2fx",
        "/admin%2Fx",
        "/admin%252fx",
        "/admin%5cx",
        "/%EF%BC%A1dmin/x",
        "/admin%3fx/y",
        "/admin%23/y",
        "/admin%3b/x",
        "/admin%c0%afx",
        "/Admin",
        "/admin%e2%88%95x",
        "/admin./x",
        "/admin%20/x",
        "/admin::$DATA/x",
        "/admin:$I30:$INDEX_ALLOCATION/x",
    ] {
        assert_eq!(read(path), 404, "{path}");
    }
    assert_eq!(upstream.received(), Vec::<Vec<u8>>::new());
    for path in ["/", "/administrator/x", "/x/admin", "/a%20b", "/x;jsessionid=1", "/x/", "/%7Euser"] {
        assert_eq!(read(path), 200, "{path}");
    }
}

#[test]
fn what_was_authorised_is_forwarded_byte_for_byte() {
    let upstream = Upstream::answering(OK);
    let gate = fixture::gateway(&upstream);
    let targets = [
        "/any/a?b=c",
        "/any/A%20b/%7Efoo",
        "/any/%e2%82%ac",
        "/any/x;jsessionid=1;v=2",
        "/any/a/?",
        "/any/a?x=%2e%2e/../",
        "/any/a?access_token=legacy",
        "/any/a?q=a+b&q=c;d",
        "/any/[1]/{2}|^`",
        "/any/a%25b",
        "/open/a%2Fb//c",
        "/any/*",
        "/any/a!$&'()*+,;=:@-._~",
        "/any/a?\"<>\\^`{|}",
    ];
    for target in targets {
        let response = gate.connect().exchange(request(&format!("GET {target}"), &[], ""));
        assert_eq!(response.status(), 200, "{target}: {}", response.text());
    }
    let seen: Vec<_> = upstream.requests().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(seen, targets);
    let absolute = format!(
        "GET http://API.example.com/any/b?c HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer {FULL}\r\n\r\n"
    );
    assert_eq!(gate.connect().exchange(absolute).status(), 200);
    assert_eq!(
        upstream.requests().last().unwrap().target(),
        "/any/b?c",
        "absolute form goes on as origin form"
    );
}

#[test]
fn no_client_can_add_change_or_delete_identity() {
    let upstream = Upstream::answering(OK);
    let gate = fixture::gateway(&upstream);
    let spoofs = [
        "X-Auth-Key-Id: evil",
        "x-auth-user: evil",
        "X_Auth_User: evil",
        "X.Auth.User: evil",
        "X-AUTH-ROLE: evil",
        "X-Auth-Org : evil",
        "X-Auth-Scopes: evil",
        "X-Auth-Scopes: evil",
        "X-Auth-Projects: evil",
        "X-Auth-Project: evil",
        "X-Auth-User-Id: evil",
        "X-Auth-Email: evil",
        "X-Consumer-Username: evil",
        "X-Credential-Identifier: evil",
        "Remote-User: evil",
        "X-Remote-User: evil",
        "X-Forwarded-User: evil",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Host: evil",
        "X-Forwarded-Proto: evil",
        "X_Forwarded_For: 6.6.6.6",
        "Forwarded: for=evil",
        "X-Real-IP: 6.6.6.6",
        "X-Original-URL: /evil",
        "X-Rewrite-URL: /evil",
        "X-Request-Id: evil",
        "Via_: evil",
        "X!Auth!User: evil",
        "True-Client-IP: 6.6.6.6",
        "Proxy-Authorization: Basic evil",
        "Keep-Alive: evil",
        "X-Custom_Evil: evil",
        "Proxy-Connection: evil",
    ];
    for spoof in spoofs.iter().filter(|spoof| !spoof.contains(" :")) {
        for path in ["/any/a", "/public/a"] {
            let response = gate.connect().exchange(request(&format!("GET {path}"), &[spoof], ""));
            assert_eq!(response.status(), 200, "{spoof}");
            let seen = upstream.requests().pop().unwrap();
            let text = String::from_utf8_lossy(&seen.raw).into_owned();
            assert!(!text.contains("evil") && !text.contains("6.6.6.6"), "{spoof}:\n{text}");
            assert!(!text.contains(FULL), "the credential went on:\n{text}");
            let identity = seen
                .fields
                .iter()
                .filter(|(name, _)| name.to_ascii_lowercase().starts_with("x-auth-"))
                .count();
            assert_eq!(identity > 0, path == "/any/a", "{text}");
        }
    }
    let seen = upstream.requests().into_iter().find(|seen| seen.target() == "/any/a").unwrap();
    for (name, value) in [
        ("x-auth-key-id", "full"),
        ("x-auth-org", "default"),
        ("x-auth-scopes", "read write admin"),
        ("x-auth-projects", "*"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "api.example.com"),
        ("host", "api.example.com"),
    ] {
        assert_eq!(seen.headers(name), [value], "{name}");
    }
    assert!(seen.header("via").is_some_and(|via| via.starts_with("1.1 keygate-")));
    assert!(seen.header("traceparent").is_some());
}

#[test]
fn an_upstream_cannot_claim_identity_either() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Auth-User: root\r\nX_Auth_User: root\r\nConnection: X-Secret\r\nX-Secret: s\r\nKeep-Alive: timeout=5\r\nX-Own: kept\r\n\r\nok",
    );
    let gate = fixture::gateway(&upstream);
    let response = gate.connect().exchange(request("GET /any/a", &[], ""));
    assert_eq!(response.header("x-own"), Some("kept"));
    for name in ["x-auth-user", "x_auth_user", "x-secret", "keep-alive"] {
        assert_eq!(response.header(name), None, "{name}");
    }
}

#[test]
fn a_credential_of_the_upstreams_own_passes_on_public_routes_only() {
    let upstream = Upstream::answering(OK);
    let gate = fixture::gateway(&upstream);
    let send = |path: &str, credential: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {credential}\r\n\r\n");
        gate.connect().exchange(text).status()
    };
    assert_eq!(send("/public/a", "Basic dXNlcjpwYXNz"), 200);
    assert_eq!(upstream.requests().pop().unwrap().header("authorization"), Some("Basic dXNlcjpwYXNz"));
    assert_eq!(send("/public/a", &format!("Bearer {FULL}")), 200);
    assert_eq!(upstream.requests().pop().unwrap().header("authorization"), None);
    assert_eq!(send("/any/a", "Basic dXNlcjpwYXNz"), 401);
}

#[test]
fn a_request_that_comes_back_is_a_loop() {
    let upstream = Upstream::answering(OK);
    let gate = fixture::gateway(&upstream);
    gate.connect().exchange(request("GET /any/a", &[], ""));
    let via = upstream.requests()[0].header("via").unwrap().to_owned();
    let again = gate.connect().exchange(request("GET /any/a", &[&format!("Via: 1.1 other, {via}")], ""));
    assert_eq!((again.status(), again.json()["code"].as_str()), (508, Some("loop_detected")));
    let other = gate.connect().exchange(request("GET /any/a", &["Via: 1.1 keygate-00000000x"], ""));
    assert_eq!(other.status(), 200);
}
