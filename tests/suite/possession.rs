//! Revocation by possession: whoever shows a whole key ends it, and learns nothing.

use std::{fmt::Write as _, fs, thread, time::Instant};

use keygate::keys::digest::KeyDigest;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Client, GUARD, Gateway, Message, Postgres, TcpProxy, Upstream, store_place::StorePlace,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn secret(id: &str) -> String {
    format!("{id}-0123456789abcdefghijklmnopqrstuvwxyz")
}

/// `ci`, `other`, `revoked`; and `rotated`, whose old secret `stale` works no more and whose `recent` one still does.
fn keys() -> String {
    let mut file = "version: 1\nkeys:\n".to_owned();
    let hash = |id: &str| KeyDigest::of(secret(id).as_bytes()).to_text();
    let before = |id: &str, until: &str| format!(", previous_hash: '{}', previous_until: {until}", hash(id));
    for (id, more) in [
        ("ci", String::new()),
        ("other", String::new()),
        ("revoked", ", revoked_at: 2026-01-01T00:00:00Z".to_owned()),
        ("renewed", before("stale", "2026-01-01T00:00:00Z")),
        ("rotated", before("recent", "2099-01-01T00:00:00Z")),
    ] {
        let hash = hash(id);
        let _ = writeln!(
            file,
            "  - {{id: {id}, hash: '{hash}', scopes: [read], projects: all, expires_at: never{more}}}"
        );
    }
    file
}

fn config(upstream: &str, keys: &str, more: &str) -> String {
    format!(
        "version: 1\nlisten: {{address: '127.0.0.1:0'}}\nhealth: null\nadmin: null\nupstreams: {{api: {{url: '{upstream}'}}}}\n\
         keys: {keys}\nrevocation_by_possession: {{address: '127.0.0.1:0', trusted_proxies: ['127.0.0.1/32']}}\n{more}\n\
         routes: [{{path: '/{{*rest}}', methods: {{'*': read}}}}]\n"
    )
}

fn gateway(upstream: &Upstream, more: &str) -> Gateway {
    let config = config(&upstream.url(), "{file: keys.yaml}", more);
    Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &keys())])
}

/// Shows keys, as a client at `from` behind a proxy would.
fn show_from(gate: &Gateway, from: &str, head: &str, body: &str) -> Message {
    Client::connect(gate.address("revocation")).exchange(format!(
        "POST /.well-known/keygate/revoke HTTP/1.1\r\nHost: keys.example.com\r\nX-Forwarded-For: {from}\r\n{head}Content-Length: \
         {}\r\n\r\n{body}",
        body.len()
    ))
}

fn show(gate: &Gateway, body: &str) -> Message {
    show_from(gate, "192.0.2.1", "Content-Type: text/plain\r\n", body)
}

/// What the data path says to a secret.
fn verdict(gate: &Gateway, secret: &str) -> String {
    let request = format!("GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\n\r\n");
    let answer = gate.connect().exchange(request);
    if answer.status() == 200 { "ok".to_owned() } else { answer.json()["code"].as_str().unwrap().to_owned() }
}

fn until_revoked(gate: &Gateway, secret: &str) {
    let started = Instant::now();
    while verdict(gate, secret) != "key_revoked" {
        assert!(started.elapsed() < GUARD, "not revoked:\n{}", gate.output());
        thread::yield_now();
    }
}

/// An answer without its date.
fn undated(answer: &Message) -> String {
    let text = String::from_utf8_lossy(&answer.raw).into_owned();
    text.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_key_that_is_shown_ends_and_nobody_learns_whether_there_was_one() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream, "state: state");
    let answers: Vec<_> = ["nobody", "revoked", "stale", "ci", "ci"]
        .map(|id| {
            let answer = show(&gate, &secret(id));
            assert_eq!((answer.status(), answer.json()), (202, json!({"status": "accepted"})), "{id}");
            undated(&answer)
        })
        .into();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    until_revoked(&gate, &secret("ci"));
    for id in ["other", "renewed", "rotated", "recent"] {
        assert_eq!(verdict(&gate, &secret(id)), "ok", "{id}");
    }
    // A secret that still works ends its key, with both secrets.
    assert_eq!(show(&gate, &secret("recent")).status(), 202);
    until_revoked(&gate, &secret("recent"));
    assert_eq!(verdict(&gate, &secret("rotated")), "key_revoked");
    // What was shown long after its end ended nothing.
    assert_eq!(verdict(&gate, &secret("renewed")), "ok");

    // What is in force is told a moment later.
    gate.wait_for_line("somebody has shown it key=rotated");
    let log = fs::read_to_string(gate.folder().join("state/audit.log")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let revoked: Vec<_> = lines.iter().filter(|line| line["command"] == "keys revoke").collect();
    assert_eq!(revoked.len(), 2, "{log}");
    for (member, expected) in [
        ("acting_as", "by possession"),
        ("address", "192.0.2.1"),
        ("id", "ci"),
        ("what", "revoked here: somebody has shown the key"),
    ] {
        assert_eq!(revoked[0][member], expected, "{log}");
    }
    let told = format!("{log}{}", gate.output());
    assert!(!told.contains(&secret("ci")) && !told.contains(&secret("nobody")), "{told}");
}

#[test]
fn keys_are_taken_in_the_ways_that_finders_send_them() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream, "");
    let json = "Content-Type: application/json\r\n";
    let credential = format!("Authorization: Bearer {}\r\n", secret("rotated"));
    let found = json!([{"token": secret("other"), "type": "acme", "url": "https://example.com/x", "source": "commit"}]);
    for (head, body, id) in [
        (json, json!({"key": secret("ci")}).to_string(), "ci"),
        (json, found.to_string(), "other"),
        (&*credential, String::new(), "rotated"),
    ] {
        assert_eq!(show_from(&gate, "192.0.2.1", head, &body).status(), 202, "{id}");
        until_revoked(&gate, &secret(id));
    }
    for (head, body, status) in [
        (json, "{}".to_owned(), 400),
        (json, "[".to_owned(), 400),
        ("", String::new(), 400),
        ("", "not a key".to_owned(), 400),
        ("", "x\n".repeat(21), 400),
        ("", "x".repeat((64 << 10) + 1), 413),
        ("Authorization: Basic eDp5\r\n", String::new(), 400),
    ] {
        let answer = show_from(&gate, "192.0.2.2", head, &body);
        assert_eq!(answer.status(), status, "{head}{}", answer.text());
        assert!(
            answer.json()["detail"].as_str().is_some_and(|detail| !detail.contains("1048576")),
            "{answer:?}"
        );
    }
    let address = gate.address("revocation");
    for (start, status) in [
        ("GET /.well-known/keygate/revoke", 405),
        ("GET /", 404),
        ("GET /api/v1/keys", 404),
        ("GET /metrics", 404),
    ] {
        let request = format!("{start} HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n");
        assert_eq!(Client::connect(address).exchange(request).status(), status, "{start}");
    }
}

#[test]
fn who_reports_too_much_waits_and_others_do_not() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream, "");
    let statuses: Vec<_> = (0..40).map(|_| show(&gate, &secret("nobody"))).collect();
    let late: Vec<_> = statuses.iter().filter(|answer| answer.status() == 429).collect();
    assert!(!late.is_empty() && statuses[0].status() == 202);
    assert!(
        late.iter()
            .all(|answer| answer.header("Retry-After").is_some() && answer.json()["code"] == "rate_limited")
    );
    assert_eq!(show_from(&gate, "192.0.2.9", "", &secret("ci")).status(), 202);
    until_revoked(&gate, &secret("ci"));
}

#[test]
fn a_key_of_a_database_ends_on_every_replica() {
    let place = StorePlace::sqlite();
    let url = place.url.clone().unwrap();
    a_key_ends_on_every_replica(&place, &url);
}

/// As the guide tells: each command by the role that it is for, and gateways that are asked by `keygate_console`.
#[test]
fn a_key_of_postgresql_ends_on_every_replica_by_the_role_that_may() {
    let server = Postgres::start();
    let (place, database) = with_roles(&server);
    a_key_ends_on_every_replica(&place, &server.url_as("keygate_console", &database));
    // A gateway whose role may only read says so, and goes on.
    let secret = create(&place);
    let upstream = Upstream::answering(OK);
    let keys = format!("{{database: '{}'}}", server.url_as("keygate_gateway", &database));
    let gate = Gateway::start(&[("keygate.yaml", &config(&upstream.url(), &keys, ""))]);
    assert_eq!(show(&gate, &secret).status(), 202);
    let told = gate.wait_for_line("a key that somebody has shown could not be revoked");
    assert!(told.contains("this role may not do that") && !told.contains(&secret), "{told}");
    assert_eq!(verdict(&gate, &secret), "ok");
}

/// An empty database with the roles of the guide, and commands that run as `keygate_admin`.
fn with_roles(server: &Postgres) -> (StorePlace, String) {
    const ROLES: &str = include_str!("../../deploy/postgres/roles.sql");
    let database = server.create_named_database();
    let by = |role: &str| StorePlace {
        folder: tempfile::tempdir().unwrap(),
        url: Some(server.url_as(role, &database)),
    };
    server.psql(&database, ROLES);
    by("keygate_owner").run(&["migrate"]).expect_success();
    server.psql(&database, ROLES);
    (by("keygate_admin"), database)
}

/// The secret of a new key; nobody waits for gateways, of which none may run.
fn create(place: &StorePlace) -> String {
    let what = ["--name", "CI", "--scope", "read", "--all-projects", "--expires", "never"];
    let create = [&["keys", "create", "--wait", "0"][..], &what].concat();
    place.run(&create).expect_success().stdout.trim().to_owned()
}

fn a_key_ends_on_every_replica(place: &StorePlace, url: &str) {
    let secret = create(place);
    let upstream = Upstream::answering(OK);
    let keys = format!("{{database: '{url}'}}");
    let start = || Gateway::start(&[("keygate.yaml", &config(&upstream.url(), &keys, ""))]);
    let (first, second) = (start(), start());
    assert_eq!((&*verdict(&first, &secret), &*verdict(&second, &secret)), ("ok", "ok"));
    assert_eq!(show_from(&first, "2001:db8::1", "", &secret).status(), 202);
    until_revoked(&first, &secret);
    until_revoked(&second, &secret);
    let told = place.run(&["audit", "export"]).expect_success().stdout;
    for expected in ["\"by possession\"", "2001:db8::1", "somebody has shown the key"] {
        assert!(told.contains(expected), "{told}");
    }
    assert!(!told.contains(&secret));
}

/// `keygate serve` behind a network that the database is beyond, and a key that it serves.
fn beyond_a_network(more: &str) -> (Postgres, StorePlace, TcpProxy, Gateway, Upstream, String) {
    let server = Postgres::start();
    let (place, database) = with_roles(&server);
    let secret = create(&place);
    let network = TcpProxy::before(server.address());
    let url = format!("postgres://keygate_console@{}/{database}?sslmode=disable", network.address());
    let upstream = Upstream::answering(OK);
    let config = config(&upstream.url(), &format!("{{database: '{url}'}}"), more);
    let gate = Gateway::start(&[("keygate.yaml", &config)]);
    assert_eq!(verdict(&gate, &secret), "ok");
    (server, place, network, gate, upstream, secret)
}

#[test]
fn what_was_accepted_is_done_before_the_end_once_the_database_is_back() {
    let (_server, place, network, mut gate, _upstream, secret) =
        beyond_a_network("shutdown: {delay: 0s, deadline: 1h}");
    network.refuse();
    assert_eq!(show(&gate, &secret).status(), 202);
    gate.signal(Signal::TERM);
    gate.wait_for_line("stopping: not ready any more");
    network.accept();
    let (status, output) = gate.wait();
    assert!(status.success(), "{output}");
    let listed = place.run(&["keys", "list", "--status", "revoked"]).expect_success().stdout;
    assert_eq!(listed.lines().count(), 2, "{listed}\n{output}");
}

#[test]
fn what_is_not_done_at_the_deadline_is_told() {
    let (_server, place, network, mut gate, _upstream, secret) =
        beyond_a_network("shutdown: {delay: 0s, deadline: 1s}");
    network.refuse();
    let shown = format!("{secret}\n{}", secret.replace("live", "test"));
    assert_eq!(show(&gate, &shown).status(), 202);
    assert_eq!(show_from(&gate, "192.0.2.2", "", &secret).status(), 202);
    gate.signal(Signal::TERM);
    let (_, output) = gate.wait();
    for (client, keys) in [("192.0.2.1", 2), ("192.0.2.2", 1)] {
        let told = output.lines().find(|line| line.contains("was not revoked") && line.contains(client));
        assert!(told.is_some_and(|line| line.contains(&format!("keys={keys}"))), "{output}");
    }
    assert!(!output.contains(&secret), "{output}");
    let listed = place.run(&["keys", "list", "--status", "active"]).expect_success().stdout;
    assert_eq!(listed.lines().count(), 2, "{listed}");
}

#[test]
fn it_has_an_address_of_its_own_or_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys.yaml"), keys()).unwrap();
    for (address, code, expected) in [
        ("127.0.0.1:8083", 0, "ok: "),
        ("0.0.0.0:8083", 0, "keys cross the network in clear"),
        ("127.0.0.1:8080", 2, "is for revocation and for something else"),
    ] {
        let config = config("http://127.0.0.1:9", "{file: keys.yaml}", "")
            .replacen("127.0.0.1:0", "127.0.0.1:8080", 1)
            .replace("127.0.0.1:0", address);
        fs::write(folder.path().join("keygate.yaml"), config).unwrap();
        let checked = crate::harness::run::keygate(folder.path(), &["check"], "");
        let told = format!("{}{}", checked.stdout, checked.stderr);
        assert!(checked.code == Some(code) && told.contains(expected), "{address}: {told}");
    }
}
