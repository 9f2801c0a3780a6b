//! What becomes of requests under way when their key is lost: through the real binary, with key files.

use std::{fmt::Write as _, io, path::Path, thread, time::Instant};

use jiff::{SignedDuration, Timestamp};
use keygate::keys::digest::KeyDigest;

use crate::harness::{Client, GUARD, Gateway, Latch, Talk, Upstream, run};

/// The keys of a file. The secret of the key `id` is [`secret`].
#[derive(Clone)]
struct Keys {
    people: String,
    keys: Vec<(&'static str, String)>,
}

impl Keys {
    fn new() -> Self {
        Self { people: String::new(), keys: Vec::new() }
    }

    fn key(mut self, id: &'static str, fields: &str) -> Self {
        self.keys.push((id, fields.to_owned()));
        self
    }

    fn person(mut self, fields: &str) -> Self {
        writeln!(self.people, "  - {{id: ada, email: ada@example.com, {fields}}}").unwrap();
        self
    }

    fn text(&self) -> String {
        let mut text = "version: 1\n".to_owned();
        if !self.people.is_empty() {
            write!(text, "people:\n{}", self.people).unwrap();
        }
        text += "keys:\n";
        for (id, fields) in &self.keys {
            let hash = KeyDigest::of(secret(id).as_bytes()).to_text();
            let expires = if fields.contains("expires_at") { "" } else { ", expires_at: never" };
            writeln!(text, "  - {{id: {id}, hash: '{hash}', {fields}{expires}}}").unwrap();
        }
        text
    }
}

fn secret(id: &str) -> String {
    format!("{id}-0123456789abcdefghijklmnopqrstuvwxyz")
}

const WRITES: &str = "scopes: [write], projects: all";
const REVOKED: &str = "scopes: [write], projects: all, revoked_at: 2026-01-01T00:00:00Z";
const ROUTES: &str = "routes:
  - {path: '/any/{*rest}', methods: {GET: read, '*': write}}
  - {path: '/in/{project}/{*rest}', project: 'path:project', methods: {GET: read, '*': write}}
  - {path: '/list/{*rest}', methods: {GET: read}, restricted_keys: [GET]}
  - {path: '/ws/{*rest}', methods: {'*': read}, websocket: true}
";

/// A gateway in front of an upstream that does what the last segment of the path says.
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
    fn new(keys: &Keys) -> Self {
        Self::with(keys, "")
    }

    fn with(keys: &Keys, more: &str) -> Self {
        let release = Latch::default();
        let upstream = Upstream::start({
            let release = release.clone();
            move |talk| serve(talk, &release)
        });
        let config = config(&upstream.url(), more);
        let gate = Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &keys.text())]);
        Self { gate, upstream, release }
    }

    /// A request that is on its way.
    fn begin(&self, id: &str, start: &str, fields: &str) -> Client {
        let mut client = self.gate.connect();
        client.send(format!(
            "{start} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n{fields}\r\n",
            secret(id)
        ));
        client
    }

    /// An answer in chunks that has begun.
    fn stream(&self, id: &str, start: &str) -> Client {
        let mut client = self.begin(id, start, "");
        assert_eq!(client.response_head().status(), 200);
        assert_eq!(client.take(10), b"5\r\nfirst\r\n");
        client
    }

    /// An upgraded connection that has brought so many bytes.
    fn websocket(&self, id: &str, path: &str, brings: usize) -> (Client, Vec<u8>) {
        let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let mut client = self.begin(id, &format!("GET {path}"), handshake);
        assert_eq!(client.response_head().status(), 101);
        let brought = client.take(brings);
        (client, brought)
    }

    fn write_keys(&self, keys: &Keys) {
        self.gate.replace("keys.yaml", &keys.text());
    }

    /// What a new request with the key is told.
    fn new_request(&self, id: &str, start: &str) -> String {
        let answer = self.begin(id, start, "").response();
        match answer.status() {
            200 => "ok".to_owned(),
            _ => serde_json::from_str::<serde_json::Value>(answer.text()).unwrap()["code"]
                .as_str()
                .unwrap()
                .to_owned(),
        }
    }

    /// Waits until a new request is told `expected`.
    fn until_told(&self, id: &str, start: &str, expected: &str) {
        let started = Instant::now();
        while self.new_request(id, start) != expected {
            assert!(started.elapsed() < GUARD, "no {expected}");
            thread::yield_now();
        }
    }

    /// Lets the streams go on that wait, and expects that this one comes to its end.
    fn expect_whole(&self, mut client: Client) {
        self.release.open();
        assert_eq!(client.take(14), b"4\r\nlast\r\n0\r\n\r\n");
    }

    fn cli(&self, arguments: &[&str]) {
        run::keygate(self.gate.folder(), arguments, "").expect_success();
    }

    /// Waits until so many were told to end since their key was revoked.
    fn until_cut(&self, count: usize) {
        let started = Instant::now();
        let counted = format!("keygate_streams_cut_total{{reason=\"key_revoked\"}} {count}\n");
        while !self.metrics().contains(&counted) {
            assert!(started.elapsed() < GUARD, "{}", self.metrics());
            thread::yield_now();
        }
    }

    fn metrics(&self) -> String {
        let mut client = Client::connect(self.gate.address("health"));
        client.exchange("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").text().to_owned()
    }
}

fn config(upstream: &str, more: &str) -> String {
    format!(
        "version: 1\nlisten: {{address: 127.0.0.1:0}}\nhealth: {{address: 127.0.0.1:0}}\nadmin: null\n\
         upstreams: {{api: {{url: '{upstream}'}}}}\nkeys: {{file: keys.yaml}}\naccess_log: {{mode: all}}\n{more}\n{ROUTES}"
    )
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
/// More than all buffers on the way hold.
const LARGE: usize = 64 << 20;
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";

fn serve(talk: &mut Talk, release: &Latch) -> io::Result<()> {
    while let Some(mut request) = talk.head()? {
        let target = request.target().to_owned();
        let does = target.rsplit('/').next().unwrap_or_default();
        match does {
            // What waits for the rest of the connection goes on until the gateway closes it.
            "endless" => talk.send(CHUNKED)?,
            "events" => {
                talk.send(CHUNKED.replace("\r\n\r\n5", "\r\nContent-Type: text/event-stream\r\n\r\n5"))?;
            }
            "sized" => talk.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")?,
            "idle" => talk.send([SWITCHED.as_bytes(), b"\x82\x03abc"].concat())?,
            "fragment" => talk.send([SWITCHED.as_bytes(), b"\x01\x03abc"].concat())?,
            "closed" => talk.send([SWITCHED.as_bytes(), b"\x88\x00"].concat())?,
            "stuck" => talk.send([SWITCHED.as_bytes(), b"\x82\x7e\x10\x00abc"].concat())?,
            "big-frame" => {
                // In the middle of the extended length.
                talk.send([SWITCHED.as_bytes(), b"\x82\x7f\0\0\0"].concat())?;
                talk.take(SEEN.len())?;
                release.wait();
                talk.send([&b"\0\0\x03\x0d\x40"[..], &vec![b'x'; 200_000], b"\x82\x03not"].concat())?;
            }
            "until-released" => {
                talk.send(CHUNKED)?;
                release.wait();
                talk.body(&mut request)?;
                talk.send("4\r\nlast\r\n0\r\n\r\n")?;
                continue;
            }
            "release" => release.open(),
            "large" => {
                talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"))?;
                talk.send(vec![b'x'; LARGE])?;
            }
            // Among them "mute", which is never answered.
            _ => {}
        }
        if !matches!(does, "" | "now" | "release" | "ready") {
            talk.rest()?;
            return Ok(());
        }
        talk.body(&mut request)?;
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")?;
    }
    Ok(())
}

fn is_cut(client: &mut Client) -> bool {
    client.read_to_end().is_empty()
}

#[test]
fn a_revocation_ends_every_kind_of_answer_and_no_other() {
    let set_up = SetUp::new(&Keys::new().key("a", WRITES).key("b", WRITES));
    let mut cut: Vec<_> =
        ["GET /any/endless", "GET /any/events"].iter().map(|start| set_up.stream("a", start)).collect();
    let mut sized = set_up.begin("a", "GET /any/sized", "");
    assert_eq!((sized.response_head().status(), sized.take(5)), (200, b"first".to_vec()));
    cut.push(sized);
    // Answers that have not begun.
    let mut upload = set_up.begin("a", "POST /any/mute", "Transfer-Encoding: chunked\r\n");
    upload.send("5\r\nfirst\r\n");
    let mut silent = set_up.begin("a", "GET /any/mute", "");
    set_up.upstream.wait_until_received("the upload", |all| {
        let bodies = all.iter().filter(|bytes| bytes.ends_with(b"5\r\nfirst\r\n")).count();
        let waiting = all.iter().filter(|bytes| bytes.starts_with(b"GET /any/mute")).count();
        (bodies == 1 && waiting == 1).then_some(())
    });
    let other = set_up.stream("b", "GET /any/until-released");

    set_up.write_keys(&Keys::new().key("a", REVOKED).key("b", WRITES));
    assert!(cut.iter_mut().all(is_cut));
    for client in [&mut upload, &mut silent] {
        let refused = client.response();
        assert_eq!(refused.status(), 401);
        assert!(refused.text().contains("key_revoked"), "{}", refused.text());
    }
    assert_eq!(set_up.new_request("a", "GET /any/now"), "key_revoked");
    set_up.expect_whole(other);
    let line = set_up.gate.wait_for_line(r#""aborted_by":"policy""#);
    assert!(line.contains(r#""outcome":"aborted""#) && line.contains(r#""reason":"key_revoked""#), "{line}");
    set_up.until_cut(5);
}

#[test]
fn the_command_that_revokes_ends_streams_too() {
    let set_up = SetUp::new(&Keys::new().key("a", WRITES).key("b", WRITES));
    let (mut a, b) = (set_up.stream("a", "GET /any/endless"), set_up.stream("b", "GET /any/until-released"));
    set_up.cli(&["keys", "revoke", "a", "--reason", "leaked"]);
    assert!(is_cut(&mut a));
    set_up.expect_whole(b);
}

/// Changes the keys under streams of the key `a`: the first of `starts` is cut for `reason`, the others go on.
#[track_caller]
fn loses(before: &Keys, after: &Keys, starts: &[&str], reason: &str) {
    let set_up = SetUp::new(before);
    let mut streams: Vec<_> = starts.iter().map(|start| set_up.stream("a", start)).collect();
    set_up.write_keys(after);
    assert!(is_cut(&mut streams[0]));
    set_up.gate.wait_for_line(&format!(r#""aborted_by":"policy","reason":"{reason}""#));
    assert_ne!(set_up.new_request("a", starts[0]), "ok");
    for stream in streams.drain(1..) {
        set_up.expect_whole(stream);
    }
}

#[test]
fn an_entry_that_is_deleted_ends_its_streams() {
    let (a, b) = (Keys::new().key("a", WRITES), Keys::new().key("b", WRITES));
    loses(&a, &b, &["GET /any/endless"], "key_unknown");
}

#[test]
fn a_list_of_addresses_ends_the_streams_of_others() {
    let before = Keys::new().key("a", WRITES);
    let after = Keys::new().key("a", "scopes: [write], projects: all, addresses: [192.0.2.0/24]");
    loses(&before, &after, &["GET /any/endless"], "address_not_allowed");
}

#[test]
fn a_demoted_owner_loses_what_writes_and_keeps_what_reads() {
    let key = "owner: ada, scopes: [write], projects: all";
    let before = Keys::new().person("role: member, projects: all").key("a", key);
    let after = Keys::new().person("role: viewer, projects: all").key("a", key);
    loses(&before, &after, &["DELETE /any/endless", "GET /any/until-released"], "scope_insufficient");
}

#[test]
fn a_disabled_owner_loses_everything() {
    let key = "owner: ada, scopes: [write], projects: all";
    let before = Keys::new().person("role: member, projects: all").key("a", key);
    let after = Keys::new().person("role: member, projects: all, disabled: true").key("a", key);
    loses(&before, &after, &["GET /any/endless"], "key_owner_disabled");
}

#[test]
fn a_project_that_is_lost_ends_what_touches_it() {
    let before = Keys::new().key("a", "scopes: [read], projects: [alpha, beta]");
    let after = Keys::new().key("a", "scopes: [read], projects: [alpha]");
    loses(&before, &after, &["GET /in/beta/endless", "GET /in/alpha/until-released"], "not_found");
    // What names no project was only for keys that see all of them.
    let before = Keys::new().key("a", "scopes: [read], projects: all");
    loses(&before, &after, &["GET /any/endless", "GET /in/alpha/until-released"], "not_found");
}

#[test]
fn a_list_ends_when_it_tells_of_more_than_may_be_seen() {
    let of = |projects: &str| Keys::new().key("a", &format!("scopes: [read], projects: {projects}"));
    for before in ["all", "[alpha, beta]"] {
        let set_up = SetUp::new(&of(before));
        let mut list = set_up.stream("a", "GET /list/endless");
        set_up.write_keys(&of("[alpha]"));
        assert!(is_cut(&mut list));
        let list = set_up.stream("a", "GET /list/until-released");
        set_up.write_keys(&of("[alpha, beta]"));
        set_up.until_told("a", "GET /in/beta/now", "ok");
        set_up.expect_whole(list);
    }
}

#[test]
fn a_client_that_does_not_read_is_cut_too() {
    let set_up = SetUp::new(&Keys::new().key("a", WRITES));
    let mut client = set_up.begin("a", "GET /any/large", "");
    assert_eq!(client.response_head().status(), 200);
    set_up.write_keys(&Keys::new().key("a", REVOKED));
    set_up.until_cut(1);
    assert!(client.read_to_end().len() < LARGE);
    set_up.upstream.wait_for_ends(1);
}

#[test]
fn an_expiry_ends_streams_at_its_instant() {
    let set_up = SetUp::new(&Keys::new().key("a", WRITES).key("b", WRITES));
    let (mut a, b) = (set_up.stream("a", "GET /any/endless"), set_up.stream("b", "GET /any/until-released"));
    let ends_at = Timestamp::now() + SignedDuration::from_millis(1500);
    let expires = format!("scopes: [read], projects: all, expires_at: {ends_at}");
    set_up.write_keys(&Keys::new().key("a", &expires).key("b", WRITES));
    assert!(is_cut(&mut a));
    assert!(Timestamp::now() >= ends_at);
    assert_eq!(set_up.new_request("a", "GET /any/now"), "key_expired");
    set_up.gate.wait_for_line(r#""aborted_by":"policy","reason":"key_expired""#);
    set_up.expect_whole(b);
}

#[test]
fn a_rotation_leaves_streams_and_a_revocation_behind_it_does_not() {
    for overlap in ["0", "1h"] {
        let set_up = SetUp::new(&Keys::new().key("a", WRITES));
        let stays = set_up.stream("a", "GET /any/until-released");
        let mut goes = set_up.stream("a", "GET /any/endless");
        set_up.cli(&["keys", "rotate", "a", "--overlap", overlap]);
        if overlap == "0" {
            set_up.until_told("a", "GET /any/now", "key_expired");
        }
        set_up.expect_whole(stays);
        set_up.cli(&["keys", "revoke", "a"]);
        assert!(is_cut(&mut goes));
        set_up.gate.wait_for_line(r#""aborted_by":"policy","reason":"key_revoked""#);
    }
}

#[test]
fn streams_may_be_kept_or_drained() {
    for policy in ["keep", "{drain: 1h}"] {
        let set_up = SetUp::with(&Keys::new().key("a", WRITES), &format!("streams: {policy}"));
        let a = set_up.stream("a", "GET /any/until-released");
        set_up.write_keys(&Keys::new().key("a", REVOKED));
        set_up.until_told("a", "GET /any/now", "key_revoked");
        set_up.expect_whole(a);
    }
    let set_up = SetUp::with(&Keys::new().key("a", WRITES), "streams: {drain: 1s}");
    let mut a = set_up.stream("a", "GET /any/endless");
    set_up.write_keys(&Keys::new().key("a", REVOKED));
    assert!(is_cut(&mut a));
    set_up.gate.wait_for_line(r#""aborted_by":"policy","reason":"key_revoked""#);
}

#[test]
fn a_config_that_stops_keeping_cuts_what_was_kept() {
    let set_up = SetUp::with(&Keys::new().key("a", WRITES), "streams: keep");
    let mut a = set_up.stream("a", "GET /any/endless");
    set_up.write_keys(&Keys::new().key("a", REVOKED));
    set_up.until_told("a", "GET /any/now", "key_revoked");
    set_up.gate.replace("keygate.yaml", &config(&set_up.upstream.url(), "streams: cut"));
    assert!(is_cut(&mut a));
}

#[test]
fn other_scopes_in_the_config_cut_only_what_they_take() {
    let set_up = SetUp::new(&Keys::new().key("a", WRITES).key("b", "scopes: [read], projects: all"));
    let streams = [
        set_up.stream("a", "DELETE /any/until-released"),
        set_up.stream("a", "GET /any/until-released"),
        set_up.stream("b", "GET /any/until-released"),
    ];
    let reordered = "scopes: {deploy: , admin: {implies: write}, write: {implies: read}, read: }";
    let config = config(&set_up.upstream.url(), reordered);
    let config = config.replace("routes:\n", "routes:\n  - {path: /news/now, access: public}\n");
    set_up.gate.replace("keygate.yaml", &config);
    set_up.until_told("b", "GET /news/now", "ok");
    for stream in streams {
        set_up.expect_whole(stream);
    }
}

#[test]
fn two_hundred_streams_of_a_key_end_and_those_of_others_do_not() {
    let set_up = SetUp::new(&Keys::new().key("a", WRITES).key("b", WRITES));
    let mut cut: Vec<_> = (0..200).map(|_| set_up.stream("a", "GET /any/endless")).collect();
    let others: Vec<_> = (0..20).map(|_| set_up.stream("b", "GET /any/until-released")).collect();
    set_up.write_keys(&Keys::new().key("a", REVOKED).key("b", WRITES));
    assert!(cut.iter_mut().all(is_cut));
    for other in others {
        set_up.expect_whole(other);
    }
    set_up.until_cut(200);
}

/// What a client sends through its tunnel.
const SEEN: &[u8] = b"seen upstream";
/// 1008, and why.
const CLOSE: &[u8] = b"\x88\x11\x03\xf0API key revoked";

#[test]
fn a_websocket_is_told_by_a_close_frame_that_lands_in_no_other() {
    // By path: what the server has sent before the revocation, and what comes after it.
    let big: &[u8] = &[&b"\0\0\x03\x0d\x40"[..], &vec![b'x'; 200_000], CLOSE].concat();
    let cases: [(&str, &[u8], &[u8]); 5] = [
        ("/ws/idle", b"\x82\x03abc", CLOSE),
        ("/ws/fragment", b"\x01\x03abc", CLOSE),
        ("/ws/big-frame", b"\x82\x7f\0\0\0", big),
        // No frame may follow a close frame, and none may land in a frame that is never ended.
        ("/ws/closed", b"\x88\x00", b""),
        ("/ws/stuck", b"\x82\x7e\x10\x00abc", b""),
    ];
    for (path, before, after) in cases {
        let set_up = SetUp::new(&Keys::new().key("a", WRITES).key("b", WRITES));
        let (mut client, brought) = set_up.websocket("a", path, before.len());
        assert_eq!(brought, before, "{path}");
        client.send(SEEN);
        set_up.upstream.wait_until_received("what the client sent", |all| {
            all.iter().any(|bytes| bytes.ends_with(SEEN)).then_some(())
        });
        set_up.write_keys(&Keys::new().key("a", REVOKED).key("b", WRITES));
        set_up.until_cut(1);
        client.send("never seen");
        set_up.release.open();
        assert!(client.read_to_end() == after, "{path}");
        set_up.upstream.wait_for_ends(1);
        let received = set_up.upstream.received().concat();
        assert!(!received.windows(5).any(|bytes| bytes == b"never"), "{path}");
        set_up.gate.wait_for_line(r#""aborted_by":"policy","reason":"key_revoked""#);
    }
}

#[test]
fn of_two_keys_on_one_http2_connection_one_loses_its_stream() {
    let set_up = SetUp::new(&Keys::new().key("a", WRITES).key("b", WRITES));
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http2/scenarios.py");
            let address = set_up.gate.address("data").to_string();
            let arguments = [script.to_str().unwrap(), "cut", &address, &secret("a"), &secret("b")];
            run::python(arguments).expect_success();
        });
        set_up.upstream.wait_until_received("that both streams have begun", |all| {
            all.iter().any(|bytes| bytes.starts_with(b"GET /any/ready")).then_some(())
        });
        set_up.write_keys(&Keys::new().key("a", REVOKED).key("b", WRITES));
        client.join().unwrap();
    });
}
