//! Routes that observe, through a running gateway: what goes on, as whose, without what, and who hears of it.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use keygate::{
    config::{self, Surroundings},
    control::explain::{Asker, Question, decide},
    keys::{
        digest::KeyDigest,
        secret::{Brand, Environment, KeySecret},
    },
};

use super::Folder;
use crate::harness::{Client, Gateway, Message, Upstream};

const OBSERVING: &str = "routes:
  - {path: /admin, methods: {'*': admin}}
  - {path: /open, access: public}
  - {path: '/{*rest}', methods: {GET: read, '*': write}, observe: {until: 2099-01-01}}
";

fn keys() -> String {
    let line = |id: &str, more: &str| {
        let hash = KeyDigest::of(secret(id).as_bytes()).to_text();
        format!("  - {{id: {id}, hash: '{hash}', scopes: [read], projects: all, expires_at: never{more}}}\n")
    };
    format!("version: 1\nkeys:\n{}{}", line("good", ""), line("dead", ", revoked_at: 2026-01-02T03:04:05Z"))
}

/// In a form that no key of ours has, with a mark that may stand beside keys: it was imported.
fn secret(id: &str) -> String {
    format!("{id}.0123456789abcdefghijklmnopqrstuvwxyz")
}

/// Credentials of an API's own.
const OWN: [&str; 5] = [
    "Bearer eyJhbGciOi.J9.x",
    "Basic YWRhOmxvdmVsYWNl",
    "Digest username=\"ada\", uri=\"/a?b=c\"",
    "Token token=\"abc\"",
    "AWS4-HMAC-SHA256 Credential=AKIA/20261121/eu/s3/aws4_request, SignedHeaders=host, Signature=ab12",
];

/// A byte that says little about its place.
fn scattered(at: u32) -> u8 {
    (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]
}

struct SetUp {
    // Dropped before the upstream, whose connections end with it.
    gate: Gateway,
    upstream: Upstream,
}

impl SetUp {
    fn new() -> Self {
        let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let config = Self::config(&upstream.url(), OBSERVING);
        let gate = Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &keys())]);
        Self { gate, upstream }
    }

    fn config(upstream: &str, routes: &str) -> String {
        format!(
            "version: 1\nlisten: {{address: '127.0.0.1:0'}}\nhealth: {{address: '127.0.0.1:0'}}\nadmin: null\n\
             upstreams: {{api: {{url: '{upstream}'}}}}\nkeys: {{file: keys.yaml}}\n{routes}"
        )
    }

    fn get(&self, path: &str, fields: &str) -> Message {
        self.gate.connect().exchange(format!("GET {path} HTTP/1.1\r\nHost: api\r\n{fields}\r\n"))
    }

    /// The request as the upstream got it.
    fn passed(&self, path: &str, fields: &str) -> Message {
        let before = self.upstream.requests().len();
        assert_eq!(self.get(path, fields).status(), 200, "{fields}");
        self.upstream.requests().swap_remove(before)
    }

    fn health(&self, path: &str) -> Message {
        let address = self.gate.address("health");
        Client::connect(address).exchange(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
    }
}

#[test]
fn what_would_be_refused_goes_on_as_nobodys_with_its_own_credential() {
    let set_up = SetUp::new();
    // As large as those of Kerberos are, with as many marks: 8,000 bytes of ASN.1 in base64.
    let ticket = format!("Negotiate {}", STANDARD.encode((0..8000u32).map(scattered).collect::<Vec<_>>()));
    for own in OWN.into_iter().chain([ticket.as_str()]) {
        assert_eq!(
            set_up.passed("/open", &format!("Authorization: {own}\r\n")).headers("authorization"),
            [own]
        );
        let passed = set_up
            .passed("/a", &format!("Authorization: {own}\r\nX-Auth-User: root\r\nx_auth_scopes: admin\r\n"));
        assert_eq!(passed.headers("authorization"), [own]);
        assert!(!String::from_utf8_lossy(&passed.raw).to_lowercase().contains("x-auth"), "{passed:?}");
        assert!(!String::from_utf8_lossy(&passed.raw).contains("x_auth"), "{passed:?}");
    }
    // As any other request where it is permitted.
    let passed = set_up.passed("/a", &format!("Authorization: Bearer {}\r\n", secret("good")));
    assert_eq!((passed.header("X-Auth-Key-Id"), passed.header("authorization")), (Some("good"), None));
}

#[test]
fn no_key_of_ours_goes_on_however_it_was_sent() {
    let set_up = SetUp::new();
    let ours = KeySecret::generate(&Brand::default(), Environment::Live).unwrap();
    let (good, dead, unknown) = (secret("good"), secret("dead"), ours.expose().to_owned());
    for key in [&dead, &unknown] {
        let basic = |text: String| format!("Basic {}", STANDARD.encode(text));
        for sent in [
            format!("Bearer {key}"),
            format!("Bearer  {key}"),
            format!("Bearer {key} "),
            format!("bearer \"{key}\""),
            format!("Token token=\"{key}\""),
            format!("Token token={key}"),
            format!("Key {key}, realm=a"),
            key.clone(),
            basic(format!("{key}:")),
            basic(format!("api:{key}")),
            basic(key.clone()),
            basic(format!("{key}:")).trim_end_matches('=').to_owned(),
            format!("{}{key}", "x ".repeat(100)),
            format!("{}{key}", "x:".repeat(100)),
            // More than is looked through.
            format!("{}{key}", "x ".repeat(1200)),
            format!("Bearer {key},"),
            format!("Bearer <{key}>"),
            format!("Bearer {{{key}}}"),
            format!("({key})."),
            format!("Bearer a:b:{key}"),
            format!("Token a=b={key}"),
            format!("HMAC Credential={key}/20261121/eu"),
            format!("https://{key}@api.example/"),
            format!("Bearer %{:02x}{}", key.as_bytes()[0], &key[1..]),
            basic(format!("a:b:{key}")),
        ] {
            for path in ["/a", "/open"] {
                let passed = set_up.passed(path, &format!("Authorization: {sent}\r\n"));
                assert_eq!(passed.header("authorization"), None, "{path} {sent}");
                assert!(!String::from_utf8_lossy(&passed.raw).contains(key.as_str()), "{path} {sent}");
                assert_eq!(passed.header("X-Auth-Key-Id"), None);
            }
        }
    }
    // Good, but without the scope: it goes on as nobody's.
    let before = set_up.upstream.requests().len();
    let answer = set_up.gate.connect().exchange(format!(
        "POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 0\r\nAuthorization: Bearer {good}\r\n\r\n"
    ));
    assert_eq!(answer.status(), 200);
    let passed = set_up.upstream.requests().swap_remove(before);
    assert_eq!((passed.header("authorization"), passed.header("X-Auth-Key-Id")), (None, None));
}

#[test]
fn a_route_that_enforces_is_reached_by_no_other_spelling() {
    let set_up = SetUp::new();
    for (path, status) in [
        ("/admin", 401),
        ("/%61dmin", 401),
        ("/admin/", 401),
        ("/Admin;x", 401),
        ("/x/../admin", 400),
        ("/adminx", 200),
    ] {
        assert_eq!(set_up.get(path, "").status(), status, "{path}");
    }
}

#[test]
fn who_would_be_refused_is_told_loudly() {
    let set_up = SetUp::new();
    set_up
        .gate
        .wait_for_line("until 2099-01-01T00:00:00Z the route \"/{*rest}\" forwards what it would refuse");
    assert_eq!(set_up.health("/readyz").json()["routes_observing"], 1);
    set_up.get("/quiet?token=hidden", "");
    let line = set_up.gate.wait_for_line("\"observed\":\"key_missing\"");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["client"], "127.0.0.1");
    assert_eq!((&line["route"], &line["outcome"]), (&"/{*rest}".into(), &"forwarded".into()));
    assert_eq!(line["path"], "/quiet");
    set_up.get("/quiet", &format!("Authorization: Bearer {}\r\n", secret("dead")));
    let line = set_up.gate.wait_for_line("\"observed\":\"key_revoked\"");
    assert!(line.contains("\"key_id\":\"dead\""), "{line}");
    let metrics = set_up.health("/metrics").text().to_owned();
    for expected in [
        "keygate_observed_total{route=\"/{*rest}\",reason=\"key_missing\"} 1",
        "keygate_observed_total{route=\"/{*rest}\",reason=\"key_revoked\"} 1",
        "keygate_routes_observing 1",
    ] {
        assert!(metrics.contains(expected), "no {expected} in\n{metrics}");
    }
    assert!(!set_up.gate.output().contains(&secret("dead")));
}

#[test]
fn a_route_enforces_once_its_observe_is_gone() {
    let set_up = SetUp::new();
    assert_eq!(set_up.get("/a", "").status(), 200);
    let enforcing = OBSERVING.replace(", observe: {until: 2099-01-01}", "");
    set_up.gate.replace("keygate.yaml", &SetUp::config(&set_up.upstream.url(), &enforcing));
    set_up.gate.wait_for_line("revision 2 in force");
    assert_eq!(set_up.get("/a", "").status(), 401);
    assert_eq!(set_up.health("/readyz").json()["routes_observing"], serde_json::Value::Null);
}

#[test]
fn while_no_keys_are_known_a_credential_may_be_ours() {
    let folder = Folder::with_routes(OBSERVING);
    let path = folder.0.path().join("keygate.yaml");
    let config = config::load(&path, &Surroundings::of_process("keygate")).result.unwrap();
    let question = |fields: &[(&str, &str)]| Question {
        method: "GET".to_owned(),
        target: "/a".to_owned(),
        version: "HTTP/1.1".to_owned(),
        host: Some("api".to_owned()),
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        client: IpAddr::from([127, 0, 0, 1]),
        now: Timestamp::now(),
    };
    let decided = |fields: &[(&str, &str)]| {
        let decision = decide(&question(fields), &Asker::Anonymous, &config, None).unwrap();
        (decision.code, decision.observed.map(|observed| observed.code))
    };
    assert_eq!(decided(&[]), ("observed", Some("key_store_unavailable")));
    assert_eq!(decided(&[("Authorization", "Bearer abc")]), ("key_store_unavailable", None));
    assert_eq!(decided(&[("Authorization", "Basic YTpi")]), ("key_store_unavailable", None));
}

#[test]
fn check_and_explain_tell_of_it() {
    let folder = Folder::with_routes(
        "routes:\n  - {path: /now, methods: {GET: read}, observe: {until: 2099-01-01}}\n  \
         - {path: /over, methods: {GET: read}, observe: {until: 2020-01-01}}\n",
    );
    let check = folder.keygate(&["check"], "").expect_success();
    let expected = [
        "warning: keygate.yaml:6:5: until 2099-01-01T00:00:00Z the route \"/now\" forwards what it would refuse, also without any key; ",
        "warning: keygate.yaml:7:5: the route \"/over\" refuses since 2020-01-01T00:00:00Z: its observe is over; ",
    ];
    for expected in expected {
        assert!(check.stderr.contains(expected), "no {expected} in\n{}", check.stderr);
    }
    let explain = folder.keygate(&["explain", "--anonymous", "GET", "/now"], "").expect_success();
    for expected in [
        "forward to the upstream api as nobody's, and record (row 4)",
        "401 key_missing from 2099-01-01T00:00:00Z on",
        "the route observes; it would refuse, for",
    ] {
        assert!(explain.stdout.contains(expected), "no {expected} in\n{}", explain.stdout);
    }
    let over = folder.json(&["explain", "--anonymous", "GET", "/over"], "");
    assert_eq!((&over["code"], &over["observed"]), (&"key_missing".into(), &serde_json::Value::Null));

    folder.write(
        "old.yaml",
        &std::fs::read_to_string(folder.0.path().join("keygate.yaml"))
            .unwrap()
            .replace(", observe: {until: 2099-01-01}", ""),
    );
    let compared = folder.keygate(&["check", "--against", "old.yaml"], "").expect_success();
    assert!(
        compared.stderr.contains("the route /now is looser: until 2099-01-01T00:00:00Z it forwards"),
        "{}",
        compared.stderr
    );
}

#[test]
fn an_observe_without_a_date_or_without_effect_is_refused() {
    for (route, message) in [
        ("{path: /a, methods: {GET: read}, observe: {}}", "until"),
        ("{path: /a, methods: {GET: read}, observe: true}", "expected"),
        ("{path: /a, methods: {GET: read}, observe: {until: soon}}", "is no date"),
        ("{path: /a, methods: {GET: read}, observe: {until: 2026-13-01}}", "is no date"),
        ("{path: /a, access: public, observe: {until: 2099-01-01}}", "a public route refuses nobody"),
    ] {
        let check = Folder::with_routes(&format!("routes:\n  - {route}\n")).keygate(&["check"], "");
        assert_eq!(check.code, Some(2), "{route}");
        assert!(
            check.stderr.contains("keygate.yaml:6:") && check.stderr.contains(message),
            "{}",
            check.stderr
        );
    }
}
