//! gRPC through the real binary, with a real server and real clients: `tests/grpc/calls.py` (grpcio).

use std::{fmt::Write as _, fs};

use keygate::keys::digest::KeyDigest;

use crate::harness::{Gateway, Script};

/// Long enough for keys; they are no secrets. `calls.py` knows them.
const KEYS: [(&str, &str, &str); 2] = [
    ("one", "a-key-for-the-tests-of-http2-0123456789", "write"),
    ("two", "another-key-for-the-tests-of-http2-0123456789", "read"),
];

#[test]
fn calls_of_all_kinds_are_brought_through_with_their_metadata() {
    clear("kinds", "", "");
}

#[test]
fn messages_may_be_large() {
    clear("large", "", ", body_bytes: 64MiB");
}

#[test]
fn deadlines_and_cancellation_reach_the_server() {
    clear("deadlines", ", timeouts: {first_byte: 2s, idle: 2s}", "");
}

#[test]
fn the_statuses_of_the_server_are_its_own() {
    clear("statuses", "", "");
}

#[test]
fn refusals_are_statuses() {
    clear("refusals", "", ", body_bytes: 1MiB");
}

#[test]
fn a_call_ends_with_its_key() {
    clear("revoked", "", "");
}

#[test]
fn a_call_under_way_outlives_the_stop_of_the_gateway() {
    clear("drained", "", "");
}

#[test]
fn many_calls_at_once_and_a_server_that_ages_out_connections_lose_nothing() {
    clear("many", "", "");
    clear("restarted", "", "");
}

#[test]
fn a_server_behind_tls_is_spoken_to_in_http2() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (pem, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&pem, certificate.cert.pem()).unwrap();
    fs::write(&key, certificate.signing_key.serialize_pem()).unwrap();
    let script = Script::start("grpc/calls.py", &["kinds", pem.to_str().unwrap(), key.to_str().unwrap()]);
    let upstream = format!("url: 'https://localhost:{}', tls: {{ca: cert.pem}}", script.port);
    script.finish(&Gateway::start(&[
        ("keygate.yaml", &config(&upstream, "")),
        ("keys.yaml", &keys()),
        ("cert.pem", &certificate.cert.pem()),
    ]));
}

/// Runs a scenario with a server that speaks HTTP/2 in clear; `api` and `route` go into the upstream and the route.
fn clear(scenario: &str, api: &str, route: &str) {
    let script = Script::start("grpc/calls.py", &[scenario]);
    let upstream = format!("url: 'http://127.0.0.1:{}', http: 2{api}", script.port);
    script.finish(&Gateway::start(&[("keygate.yaml", &config(&upstream, route)), ("keys.yaml", &keys())]));
}

fn config(upstream: &str, route: &str) -> String {
    format!(
        "version: 1\nlisten: {{address: 127.0.0.1:0, timeouts: {{idle: 2s}}}}\nhealth: {{address: 127.0.0.1:0}}\nadmin: null\n\
         upstreams: {{echo: {{{upstream}}}}}\nkeys: {{file: keys.yaml}}\n\
         routes:\n  - {{path: '/test.Echo/{{*method}}', methods: {{POST: write}}{route}}}\n"
    )
}

fn keys() -> String {
    let mut text = "version: 1\nkeys:\n".to_owned();
    for (id, secret, scope) in KEYS {
        let hash = KeyDigest::of(secret.as_bytes()).to_text();
        writeln!(
            text,
            "  - {{id: {id}, hash: '{hash}', scopes: [{scope}], projects: all, expires_at: never}}"
        )
        .unwrap();
    }
    text
}
