//! Upstreams that speak HTTP/2, right and hostile ones: `tests/http2/upstreams.py` and `hostile_upstreams.py` are the upstream
//! and the clients, frame by frame, on both sides of the real binary.

use std::{fmt::Write as _, fs};

use keygate::keys::digest::KeyDigest;
use tempfile::TempDir;

use crate::harness::{Gateway, Script};

/// Long enough for keys; they are no secrets. `world.py` knows them.
const KEYS: [(&str, &str); 2] = [
    ("one", "a-key-for-the-tests-of-http2-0123456789"),
    ("two", "another-key-for-the-tests-of-http2-0123456789"),
];

const ROUTES: &str = "routes:
  - {path: '/any/{*rest}', methods: {'*': read}, body_bytes: 64MiB}
  - {path: '/open/{*rest}', methods: {'*': read}, request_trailers: true}
";
const WEBSOCKET: &str = "  - {path: '/ws/{*rest}', methods: {'*': read}, websocket: true}\n";

#[test]
fn a_request_is_rebuilt_in_http2_whatever_its_client_speaks() {
    clear("requests", "");
    clear("host", "host: upstream");
}

#[test]
fn an_answer_in_http2_comes_back_in_all_its_parts() {
    clear("answers", "");
}

#[test]
fn many_requests_share_few_connections_within_the_limits() {
    clear("crowd", "max_connections: 20, max_pending: 100");
}

#[test]
fn what_nobody_has_looked_at_is_tried_once_more() {
    clear("retries", "");
}

#[test]
fn an_upstream_that_goes_finishes_what_it_began() {
    clear("leaving", "");
}

#[test]
fn bodies_flow_both_ways_at_once() {
    clear("bodies", "");
}

#[test]
fn clients_that_do_not_read_hold_back_nobody_else() {
    clear("slow_readers", "");
}

#[test]
fn what_comes_in_small_pieces_is_held_back_no_worse() {
    clear("small_messages", "");
}

#[test]
fn requests_that_are_given_up_end_no_others() {
    clear("abandoning", "");
}

#[test]
fn an_upstream_that_takes_nothing_holds_its_client_back() {
    clear("unread_upload", "");
}

#[test]
fn no_end_is_lost_and_none_is_made_up() {
    clear("ends", "");
}

#[test]
fn a_revocation_ends_streams_on_both_sides() {
    clear("cut", "");
}

#[test]
fn silence_has_its_limits() {
    clear("late", "timeouts: {first_byte: 1s, idle: 1s, keep_alive: 1s}");
    clear("unready", "timeouts: {connect: 1s}");
}

#[test]
fn an_upstream_that_does_not_say_that_it_is_there_is_given_up() {
    clear("frozen", "timeouts: {first_byte: 10m, idle: 10m}");
}

#[test]
fn an_upstream_that_is_wrong_harms_nobody() {
    wrong("hostile", "");
}

#[test]
fn an_upstream_that_speaks_no_http2_is_told_apart() {
    wrong("no_http2", "");
}

#[test]
fn connections_are_limited_whatever_the_upstream_says() {
    wrong("shut", "max_connections: 20");
    wrong("narrow", "max_connections: 20");
}

#[test]
fn over_tls_both_choose() {
    encrypted("negotiated", "auto", WEBSOCKET);
    encrypted("h2_only", "auto", WEBSOCKET);
    encrypted("http1_chosen", "auto", "");
    encrypted("http1_wanted", "1", "");
    encrypted("no_agreement", "2", "");
}

#[test]
fn a_server_of_node_is_understood_by_curl_in_both_versions() {
    let tls = Tls::new();
    let script = Script::start("http2/node.mjs", &tls.paths());
    let gate = tls.gateway(script.port, "auto", WEBSOCKET);
    script.finish(&gate);
}

/// Runs a scenario with an upstream that is spoken to in HTTP/2 without asking; `api` is what it has beside that.
fn clear(scenario: &str, api: &str) {
    // Where it matters which connection is used again, there is one worker.
    let workers = if ["retries", "leaving", "frozen", "abandoning", "small_messages"].contains(&scenario) {
        1
    } else {
        2
    };
    in_clear(Script::start("http2/upstreams.py", &[scenario]), api, workers);
}

/// Runs a scenario with an upstream that is wrong; `api` is what it has beside that.
fn wrong(scenario: &str, api: &str) {
    in_clear(Script::start("http2/hostile_upstreams.py", &[scenario]), api, 2);
}

fn in_clear(script: Script, api: &str, workers: u32) {
    let separator = if api.is_empty() { "" } else { ", " };
    let upstream = format!("url: 'http://127.0.0.1:{}', http: 2{separator}{api}", script.port);
    let gate = Gateway::start(&[("keygate.yaml", &config(&upstream, workers, "")), ("keys.yaml", &keys())]);
    script.finish(&gate);
}

/// Runs a scenario with an upstream behind TLS.
fn encrypted(scenario: &str, http: &str, routes: &str) {
    let tls = Tls::new();
    let script = Script::start("http2/upstreams.py", &[&[scenario][..], &tls.paths()].concat());
    let gate = tls.gateway(script.port, http, routes);
    script.finish(&gate);
}

/// The certificate of an upstream.
struct Tls {
    folder: TempDir,
    pem: String,
    certificate: String,
    key: String,
}

impl Tls {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let pem = made.cert.pem();
        let (certificate, key) =
            (write("cert.pem", &pem), write("key.pem", &made.signing_key.serialize_pem()));
        Self { folder, pem, certificate, key }
    }

    fn paths(&self) -> [&str; 2] {
        assert!(self.folder.path().exists());
        [&self.certificate, &self.key]
    }

    /// A gateway in front of the upstream at `port`.
    fn gateway(&self, port: u16, http: &str, routes: &str) -> Gateway {
        let upstream = format!("url: 'https://localhost:{port}', http: {http}, tls: {{ca: cert.pem}}");
        Gateway::start(&[
            ("keygate.yaml", &config(&upstream, 2, routes)),
            ("keys.yaml", &keys()),
            ("cert.pem", &self.pem),
        ])
    }
}

fn config(upstream: &str, workers: u32, routes: &str) -> String {
    format!(
        "version: 1\nworkers: {workers}\nlisten: {{address: 127.0.0.1:0}}\nhealth: {{address: 127.0.0.1:0}}\nadmin: null\n\
         upstreams: {{api: {{{upstream}}}}}\nkeys: {{file: keys.yaml}}\n{ROUTES}{routes}"
    )
}

fn keys() -> String {
    let mut text = "version: 1\nkeys:\n".to_owned();
    for (id, secret) in KEYS {
        let hash = KeyDigest::of(secret.as_bytes()).to_text();
        writeln!(text, "  - {{id: {id}, hash: '{hash}', scopes: [write], projects: all, expires_at: never}}")
            .unwrap();
    }
    text
}
