//! What the gateway itself answers: refusals in the form the client reads, CORS, the API's own envelope.

use jiff::Timestamp;

use crate::{
    fixture::{FULL, READER, gateway, gateway_with, request},
    harness::{Message, Upstream},
};

const OK: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: https://upstream.example\r\n\r\nok";

fn with_key(method: &str, target: &str, secret: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\n{fields}\r\n")
}

/// The bytes of an answer with what differs between any two masked.
fn masked(answer: &Message) -> String {
    let id = answer.header("x-request-id").unwrap_or_default().to_owned();
    let date = answer.header("date").unwrap_or_default().to_owned();
    String::from_utf8_lossy(&answer.raw).replace(&id, "ID").replace(&date, "DATE")
}

#[test]
fn refusals_are_problem_details_with_a_challenge() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream);
    let missing = gate.connect().exchange("GET /any/a HTTP/1.1\r\nHost: a\r\n\r\n");
    let body = missing.json();
    assert_eq!(missing.header("content-type"), Some("application/problem+json"));
    assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"keygate\""));
    assert_eq!((body["status"].as_u64(), body["code"].as_str()), (Some(401), Some("key_missing")));
    assert_eq!(body["request_id"].as_str(), missing.header("x-request-id"));
    assert_eq!(body["message"], body["detail"]);
    let unknown = gate.connect().exchange(with_key("GET", "/any/a", "nobody-0123456789", ""));
    assert!(unknown.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    let scope = gate.connect().exchange(with_key("PATCH", "/api/v1/projects/alpha", READER, ""));
    assert_eq!((scope.status(), scope.json()["code"].as_str()), (403, Some("scope_insufficient")));
    assert!(
        scope.header("www-authenticate").unwrap().ends_with("error=\"insufficient_scope\", scope=\"write\"")
    );
    assert!(scope.text().contains("\\\"write\\\""));
    let method = gate.connect().exchange(with_key("PUT", "/api/v1/projects/alpha", READER, ""));
    assert_eq!((method.status(), method.header("allow")), (405, Some("DELETE, GET, HEAD, PATCH")));
    let head = gate.connect().exchange("HEAD /any/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(head.status(), 401);
}

/// RFC 9110 §6.6.1: an origin server with a clock dates what it makes, and a gateway leaves alone what it passes on.
#[test]
fn the_answers_of_the_gateway_are_dated_and_no_others() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream);
    let before = Timestamp::now();
    for own in [
        "GET /any/a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        with_key("GET", "/nothing/here", FULL, ""),
        with_key("GET", "/any/../a", FULL, ""),
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ] {
        let answer = gate.connect().exchange(own);
        let date = answer.header("date").unwrap();
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
        let at = jiff::fmt::rfc2822::parse(date).unwrap().timestamp();
        assert!(before.as_second() <= at.as_second() && at <= Timestamp::now(), "{date}");
    }
    let forwarded = gate.connect().exchange(with_key("GET", "/any/a", FULL, ""));
    assert_eq!((forwarded.status(), forwarded.header("date")), (200, None));
}

#[test]
fn a_malformed_path_is_told_in_one_sentence() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream);
    for (path, detail) in [
        (
            "/any/%2",
            "The request is malformed: the request path holds a \"%\" without two hexadecimal digits.",
        ),
        ("/any/../a", "The request has more than one reading: the request path holds a dot segment."),
    ] {
        let answer = gate.connect().exchange(with_key("GET", path, FULL, ""));
        assert_eq!(answer.json()["detail"], detail);
    }
}

#[test]
fn what_may_not_be_seen_and_what_never_was_are_one_answer() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream);
    let answers: Vec<String> = [
        "/api/v1/projects/beta",
        "/api/v1/projects/never-was",
        "/unmapped",
        "/api/v1/projects/beta/x",
        "/api/v1/projects/%62eta",
        "/api/v1/projects/-bad",
        "/api/v1/Projects/alpha",
        "/api/v1/projects/alpha//x",
    ]
    .iter()
    .map(|path| {
        masked(&gate.connect().exchange(with_key("GET", path, READER, "Origin: https://a.example\r\n")))
    })
    .collect();
    assert!(answers[0].starts_with("HTTP/1.1 404 "), "{}", answers[0]);
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    assert_eq!(upstream.received(), Vec::<Vec<u8>>::new());
}

#[test]
fn grpc_clients_get_a_grpc_status() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream);
    let fields = "Content-Type: application/grpc+proto\r\nContent-Length: 0\r\n";
    for (secret, path, status) in [
        ("nobody-0123456789", "/any/a", "16"),
        (READER, "/api/v1/projects/alpha/x", "7"),
        (READER, "/none", "5"),
    ] {
        let answer = gate.connect().exchange(with_key("POST", path, secret, fields));
        assert_eq!((answer.status(), answer.header("grpc-status")), (200, Some(status)), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/grpc"));
    }
}

#[test]
fn the_apis_own_envelope_replaces_the_body() {
    let upstream = Upstream::answering(OK);
    let errors = "errors:\n  default: '{\"error\": {\"code\": \"{code}\", \"message\": \"{message}\", \"id\": \"{request_id}\"}}'\n  404: {body: '<p>{request_id}</p>', content_type: text/html}";
    let gate = gateway_with(&upstream, "", "", errors);
    let scope = gate.connect().exchange(with_key("PATCH", "/api/v1/projects/alpha", READER, ""));
    let body = scope.json();
    assert_eq!(body["error"]["code"], "scope_insufficient");
    assert_eq!(body["error"]["message"], "The API key lacks the scope \"write\".");
    let gone = gate.connect().exchange(with_key("GET", "/none", READER, ""));
    assert_eq!(gone.header("content-type"), Some("text/html"));
    assert_eq!(gone.text(), format!("<p>{}</p>", gone.header("x-request-id").unwrap()));
}

#[test]
fn browsers_of_other_origins_can_read_answers_and_refusals() {
    let upstream = Upstream::answering(OK);
    let cors = "cors: {origins: ['https://app.example.com'], expose: [X-Request-Id], max_age: 10m}";
    let gate = gateway_with(&upstream, "", "", cors);
    let preflight = gate.connect().exchange(
        "OPTIONS /any/a HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: authorization\r\n\r\n",
    );
    assert_eq!(preflight.status(), 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://app.example.com"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "authorization"),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(preflight.headers(name), [value], "{name}");
    }
    let origin = "Origin: https://app.example.com\r\n";
    for (path, secret, status) in
        [("/any/a", FULL, 200), ("/any/a", "nobody-0123456789", 401), ("/none", FULL, 404)]
    {
        let answer = gate.connect().exchange(with_key("GET", path, secret, origin));
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers("access-control-allow-origin"), ["https://app.example.com"], "{path}");
    }
    let other = gate.connect().exchange(with_key("GET", "/any/a", FULL, "Origin: https://evil.example\r\n"));
    assert_eq!((other.status(), other.header("access-control-allow-origin")), (200, None));
    assert_eq!(upstream.requests().len(), 2, "the preflight is answered here");
}

#[test]
fn no_secret_reaches_any_output() {
    let upstream = Upstream::answering(OK);
    let config = crate::fixture::config(&upstream.url(), "", "", "");
    let mut gate = crate::harness::Gateway::start_with(
        &[("keygate.yaml", &config), ("keys.yaml", &crate::fixture::keys())],
        |command| command.env("KEYGATE_LOG", "trace"),
    );
    let ours = "kg_live_7Qd3ZkVn0pL8sT2wXyB5cE1fG4hJ6kM9nR012345";
    for secret in [FULL, READER, ours, "nobody-0123456789"] {
        for target in ["/any/a", "/public/a", "/none", "/any/a?key=1"] {
            gate.connect().exchange(with_key("GET", target, secret, ""));
            gate.connect().exchange(with_key(
                "GET",
                target,
                secret,
                &format!("Authorization: Basic {secret}\r\n"),
            ));
        }
    }
    gate.connect().exchange(request(&format!("GET /any/a?key={ours}"), &[], ""));
    gate.connect().exchange(request(&format!("GET /any/{ours}"), &[], ""));
    gate.signal(rustix::process::Signal::TERM);
    let (_, output) = gate.wait();
    for secret in [FULL, READER, ours, "nobody-0123456789"] {
        assert!(!output.contains(secret), "{secret} is in the output");
        let digest = keygate::keys::digest::KeyDigest::of(secret.as_bytes()).to_text();
        assert!(!output.contains(&digest[7..]), "a digest is in the output");
    }
    assert!(output.contains("\"outcome\":\"forwarded\""));
}

/// RFC 9112 §9.6: a connection that closes too early takes what the client has not read yet with it.
#[test]
fn the_last_answer_of_a_connection_arrives_whole() {
    const LENGTH: usize = 4 << 20;
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + LENGTH, b'a');
    let upstream = Upstream::answering(answer);
    let gate = gateway(&upstream);
    let close = with_key("GET", "/any/a", FULL, "Connection: close\r\n");
    let posted = with_key("POST", "/any/a", FULL, "Connection: close\r\nContent-Length: 2\r\n") + "ok";
    for last in [
        close.clone(),
        posted.clone(),
        // Old clients end a body with a line of its own, which nobody reads (RFC 9112 §2.2).
        posted + "\r\n",
        close.replace("HTTP/1.1", "HTTP/1.0"),
        // What comes after the last request is no request.
        close.clone() + &close,
    ] {
        let mut client = gate.connect();
        let bytes = client.send(&last).read_to_end();
        let body = bytes.len() - bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() - 4;
        assert_eq!(body, LENGTH, "{last:?}");
    }
    assert_eq!(upstream.requests().len(), 5);
}

/// The API must do what was judged.
#[test]
fn a_method_override_that_is_honoured_goes_on_as_it_was_sent() {
    let upstream = Upstream::answering(OK);
    let config = crate::fixture::config(&upstream.url(), "", "", "").replace(
        "routes:\n",
        "routes:\n  - {path: /override, methods: {'*': admin}, method_override: honour}\n",
    );
    let files = [("keygate.yaml", &*config), ("keys.yaml", &crate::fixture::keys())];
    let gate = crate::harness::Gateway::start(&files);
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        let asked = with_key("POST", "/override", FULL, &format!("{name}: DELETE\r\nContent-Length: 0\r\n"));
        assert_eq!(gate.connect().exchange(asked).status(), 200, "{name}");
        assert_eq!(upstream.requests().last().unwrap().headers(name), ["DELETE"], "{name}");
    }
}
