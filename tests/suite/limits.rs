//! How much keys and strangers may ask for, through the real binary.

use std::{fmt::Write as _, path::Path, thread, time::Instant};

use keygate::keys::digest::KeyDigest;

use crate::harness::{
    Client, GUARD, Gateway, Message, Upstream,
    browser::hidden,
    people::{gateway_with, invited},
    run,
};

fn secret(id: &str) -> String {
    format!("{id}-0123456789abcdefghijklmnopqrstuvwxyz")
}

/// A key file with these keys, each with further fields.
fn keys(keys: &[(&str, &str)]) -> String {
    let mut text = "version: 1\nkeys:\n".to_owned();
    for (id, fields) in keys {
        let hash = KeyDigest::of(secret(id).as_bytes()).to_text();
        let scopes = if fields.contains("scopes") { "" } else { ", scopes: [write]" };
        writeln!(text, "  - {{id: {id}, hash: '{hash}', projects: all, expires_at: never{scopes}{fields}}}")
            .unwrap();
    }
    text
}

const ROUTES: &str = "routes:
  - {path: '/any/{*rest}', methods: {GET: read, '*': write, DELETE: admin}}
  - {path: '/ws', methods: {GET: read}, websocket: true}
";

fn config(upstream: &Upstream, more: &str) -> String {
    format!(
        "version: 1\nlisten: {{address: 127.0.0.1:0, trusted_proxies: [127.0.0.1]}}\n\
         health: {{address: 127.0.0.1:0}}\nadmin: null\nupstreams: {{api: {{url: '{}'}}}}\n\
         keys: {{file: keys.yaml}}\naccess_log: {{mode: all}}\n{more}\n{ROUTES}",
        upstream.url()
    )
}

/// An answer with limits of its own.
const OK: &str = "HTTP/1.1 200 OK\r\nRateLimit: \"theirs\";r=1;t=1\r\nRateLimit-Policy: \"theirs\";q=1;w=1\r\n\
                  Content-Length: 2\r\n\r\nhi";

/// A gateway before an upstream with streams that answers [`OK`].
struct SetUp {
    // Dropped before the upstream, whose connections end with it.
    gate: Gateway,
    upstream: Upstream,
}

impl SetUp {
    fn new(limits: &str, of: &[(&str, &str)]) -> Self {
        let upstream = Upstream::with_streams(OK);
        let gate = Gateway::start(&[("keygate.yaml", &config(&upstream, limits)), ("keys.yaml", &keys(of))]);
        Self { gate, upstream }
    }

    fn ask(&self, id: &str) -> Message {
        self.request("GET /any/thing", id, "")
    }

    fn request(&self, line: &str, id: &str, fields: &str) -> Message {
        self.gate.connect().exchange(request(line, &secret(id), fields))
    }

    fn begin(&self, line: &str, id: &str, fields: &str) -> (Client, u16) {
        let mut client = self.gate.connect();
        client.send(request(line, &secret(id), fields));
        let status = client.response_head().status();
        (client, status)
    }

    fn metric(&self, line: &str) -> Option<String> {
        let answer =
            Client::connect(self.gate.address("health")).exchange("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        answer.text().lines().find_map(|found| found.strip_prefix(line)).map(|value| value.trim().to_owned())
    }
}

fn request(line: &str, secret: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\n{fields}\r\n")
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < GUARD, "waited for {what}");
        thread::yield_now();
    }
}

fn code(answer: &Message) -> String {
    answer.json()["code"].as_str().unwrap_or_default().to_owned()
}

/// The number behind `name=` in a field.
fn parameter(field: &str, name: &str) -> u32 {
    let found = field.split(';').find_map(|part| part.strip_prefix(&format!("{name}=")));
    found.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {field}"))
}

const PLANS: &str = "limits: {plans: {free: {rate: 1/h, burst: 3}, wide: {rate: 1000/s}}, default: free}";

#[test]
fn a_key_has_a_burst_and_is_then_told_to_wait() {
    let set_up = SetUp::new(PLANS, &[("free", ""), ("wide", ", plan: wide"), ("other", "")]);
    for remaining in [2, 1, 0] {
        let answer = set_up.ask("free");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers("ratelimit-policy"), ["\"free\";q=3;w=10800"], "ours, not the upstream's");
        let [left] = answer.headers("ratelimit")[..] else { panic!("{answer:?}") };
        assert!(left.starts_with("\"free\";"), "{left}");
        assert_eq!(parameter(left, "r"), remaining);
        assert!((1..=10_800).contains(&parameter(left, "t")), "{left}");
    }
    let refused = set_up.ask("free");
    assert_eq!((refused.status(), &*code(&refused)), (429, "rate_limited"));
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3_000..=3_600).contains(&wait), "{refused:?}");
    assert_eq!(refused.headers("ratelimit-policy"), ["\"free\";q=3;w=10800"]);
    assert_eq!(refused.headers("ratelimit"), [format!("\"free\";r=0;t={wait}")]);
    assert!(refused.json()["detail"].as_str().unwrap().contains("1/h"), "{refused:?}");
    assert_eq!(set_up.upstream.requests().len(), 3);
    // Another key, and another plan.
    assert_eq!(set_up.ask("other").status(), 200);
    assert_eq!(set_up.ask("wide").headers("ratelimit-policy"), ["\"wide\";q=1000;w=1"]);
    assert_eq!(
        set_up.metric("keygate_rate_limited_total{plan=\"free\",limit=\"rate\"}").as_deref(),
        Some("1")
    );
    assert_eq!(
        set_up.metric("keygate_rate_limited_total{plan=\"wide\",limit=\"rate\"}").as_deref(),
        Some("0")
    );
    set_up.gate.wait_for_line("\"reason\":\"rate_limited\"");
}

#[test]
fn refusals_of_the_key_cost_nothing_and_what_comes_after_does() {
    let limits = "limits: {plans: {three: {rate: 1/h, burst: 3}}, default: three}";
    let gone = ", revoked_at: 2026-01-01T00:00:00Z";
    let set_up = SetUp::new(limits, &[("key", ", addresses: [192.0.2.0/24]"), ("gone", gone)]);
    let elsewhere = "X-Forwarded-For: 198.51.100.7\r\n";
    let here = "X-Forwarded-For: 192.0.2.7\r\n";
    for _ in 0..5 {
        assert_eq!(set_up.request("GET /any/thing", "gone", "").status(), 401);
        assert_eq!(set_up.request("GET /any/thing", "key", elsewhere).status(), 403);
    }
    assert_eq!(set_up.request("GET /nowhere", "key", here).status(), 404);
    assert_eq!(set_up.request("DELETE /any/thing", "key", here).status(), 403);
    assert_eq!(set_up.request("GET /any/thing", "key", here).status(), 200);
    // No route is told to whom has no request left.
    assert_eq!(set_up.request("GET /nowhere", "key", here).status(), 429);
    assert_eq!(set_up.request("GET /any/thing", "key", elsewhere).status(), 403);
}

#[test]
fn a_key_without_limit_is_told_nothing_and_its_upstream_may_speak() {
    let set_up =
        SetUp::new("limits: {plans: {few: {concurrent: 9}}}", &[("key", ""), ("few", ", plan: few")]);
    for id in ["key", "few"] {
        let answer = set_up.ask(id);
        assert_eq!(answer.headers("ratelimit"), ["\"theirs\";r=1;t=1"], "{id}");
        assert_eq!(answer.headers("ratelimit-policy"), ["\"theirs\";q=1;w=1"], "{id}");
    }
}

#[test]
fn grpc_and_scripts_of_other_origins_learn_it_their_way() {
    let limits =
        "limits: {plans: {one: {rate: 1/h, burst: 1}}, default: one}\ncors: {origins: 'https://app.example'}";
    let set_up = SetUp::new(limits, &[("key", "")]);
    let origin = "Origin: https://app.example\r\n";
    let exposed = ["RateLimit, RateLimit-Policy, Retry-After"];
    let first = set_up.request("GET /any/thing", "key", origin);
    assert_eq!((first.status(), &first.headers("access-control-expose-headers")[..]), (200, &exposed[..]));
    let refused = set_up.request("GET /any/thing", "key", origin);
    assert_eq!(
        (refused.status(), &refused.headers("access-control-expose-headers")[..]),
        (429, &exposed[..])
    );
    let grpc =
        set_up.request("POST /any/thing", "key", "Content-Type: application/grpc\r\nContent-Length: 0\r\n");
    assert_eq!((grpc.status(), grpc.header("grpc-status")), (200, Some("8")));
    assert!(grpc.header("retry-after").is_some() && grpc.header("ratelimit").is_some());
}

#[test]
fn what_was_used_outlives_reloads_and_another_plan_applies_at_once() {
    let set_up = SetUp::new(PLANS, &[("key", "")]);
    let gate = &set_up.gate;
    while set_up.ask("key").status() == 200 {}
    gate.replace("keys.yaml", &keys(&[("key", ""), ("new", "")]));
    until("the new key", || set_up.ask("new").status() == 200);
    assert_eq!(set_up.ask("key").status(), 429, "it has used what it has");
    // The key gets another plan.
    gate.replace("keys.yaml", &keys(&[("key", ", plan: wide"), ("new", "")]));
    until("the other plan", || set_up.ask("key").status() == 200);
    // The plan itself becomes another, and then the default.
    let slow = PLANS.replace("1000/s", "1/d, burst: 1");
    gate.replace("keygate.yaml", &config(&set_up.upstream, &slow));
    until("the slower plan", || set_up.ask("key").status() == 429);
    gate.replace(
        "keygate.yaml",
        &config(&set_up.upstream, "limits: {plans: {free: {rate: 1/h}, wide: {rate: 900/s}}}"),
    );
    until("the faster plan", || set_up.ask("key").headers("ratelimit-policy") == ["\"wide\";q=900;w=1"]);
    until("no default", || set_up.ask("new").headers("ratelimit") == ["\"theirs\";r=1;t=1"]);
}

#[test]
fn requests_at_once_are_counted_until_they_end_however_they_do() {
    let limits = "limits: {plans: {two: {concurrent: 2}}, default: two}";
    let set_up = SetUp::new(limits, &[("key", "")]);
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for _ in 0..3 {
        let (stream, status) = set_up.begin("GET /any/stream", "key", "");
        assert_eq!(status, 200);
        let (websocket, status) = set_up.begin("GET /ws", "key", handshake);
        assert_eq!(status, 101);
        let refused = set_up.ask("key");
        assert_eq!((refused.status(), &*code(&refused)), (429, "rate_limited"));
        assert_eq!(refused.header("retry-after"), Some("1"));
        // One client leaves, and its place is another's.
        drop(stream);
        until("the place of the stream", || set_up.ask("key").status() == 200);
        drop(websocket);
        until("no request under way", || set_up.has_room_for_two());
    }
    // Refused, answered here, or cut: nothing is counted for ever.
    for _ in 0..5 {
        assert_eq!(set_up.request("GET /nowhere", "key", "").status(), 404);
        assert_eq!(set_up.ask("key").status(), 200);
    }
    let (_first, _) = set_up.begin("GET /any/stream", "key", "");
    let (_second, _) = set_up.begin("GET /any/stream", "key", "");
    set_up.gate.replace("keys.yaml", &keys(&[("key", ", revoked_at: 2026-01-01T00:00:00Z")]));
    until("the revocation", || set_up.ask("key").status() == 401);
    set_up.gate.replace("keys.yaml", &keys(&[("fresh", "")]));
    until("the other key", || set_up.ask("fresh").status() == 200);
    assert!(set_up.metric("keygate_rate_limited_total{plan=\"two\",limit=\"concurrent\"}").is_some());
}

impl SetUp {
    /// Whether two streams find room, so that nothing else was under way.
    fn has_room_for_two(&self) -> bool {
        let (first, one) = self.begin("GET /any/stream", "key", "");
        let (second, two) = self.begin("GET /any/stream", "key", "");
        drop((first, second));
        if (one, two) != (200, 200) {
            return false;
        }
        until("both to end", || self.ask("key").status() == 200);
        true
    }
}

#[test]
fn failed_attempts_are_slowed_by_address_and_a_good_key_passes() {
    let limits = "limits: {failed_attempts: {rate: 1/h, burst: 3}}";
    let set_up = SetUp::new(limits, &[("key", ""), ("gone", ", revoked_at: 2026-01-01T00:00:00Z")]);
    let from = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    let status = |id: &str, address: &str| set_up.request("GET /any/thing", id, &from(address)).status();
    for _ in 0..2 {
        assert_eq!(status("unknown", "192.0.2.1"), 401);
    }
    let malformed = format!(
        "GET /any/thing HTTP/1.1\r\nHost: a\r\nAuthorization: Basic abc\r\n{}\r\n",
        from("192.0.2.1")
    );
    assert_eq!(set_up.gate.connect().exchange(&malformed).status(), 401);
    for _ in 0..2 {
        let slowed = set_up.request("GET /any/thing", "unknown", &from("192.0.2.1"));
        assert_eq!((slowed.status(), &*code(&slowed)), (429, "rate_limited"));
        let wait: u32 = slowed.header("retry-after").unwrap().parse().unwrap();
        assert!((3_000..=3_600).contains(&wait), "{slowed:?}");
        assert_eq!(slowed.header("ratelimit"), None);
    }
    assert_eq!(set_up.gate.connect().exchange(&malformed).status(), 429);
    // Whoever has a good key is served, and whoever has none or an old one is told.
    assert_eq!(status("key", "192.0.2.1"), 200);
    assert_eq!(status("gone", "192.0.2.1"), 401);
    let none = format!("GET /any/thing HTTP/1.1\r\nHost: a\r\n{}\r\n", from("192.0.2.1"));
    for _ in 0..5 {
        assert_eq!(set_up.gate.connect().exchange(&none).status(), 401);
    }
    // Other addresses, and networks of IPv6 as one.
    assert_eq!(status("unknown", "192.0.2.2"), 401);
    for host in 1..=3 {
        assert_eq!(status("unknown", &format!("2001:db8:0:7::{host}")), 401);
    }
    assert_eq!(status("unknown", "2001:db8:0:7:ffff::1"), 429);
    assert_eq!(status("unknown", "2001:db8:0:8::1"), 401);
    assert_eq!(set_up.metric("keygate_failed_attempts_limited_total").as_deref(), Some("4"));
    set_up.gate.wait_for_line("an address sends too many requests with bad keys");
}

#[test]
fn failed_attempts_are_slowed_by_default_and_may_be_left_alone() {
    let statuses = |limits: &str| {
        let set_up = SetUp::new(limits, &[("key", "")]);
        let mut client = set_up.gate.connect();
        let request = request("GET /any/thing", &secret("unknown"), "");
        (0..130).map(|_| client.exchange(&request).status()).collect::<Vec<_>>()
    };
    let slowed = statuses("");
    assert!(slowed[..100].iter().all(|status| *status == 401) && slowed.contains(&429), "{slowed:?}");
    let free = statuses("limits: {failed_attempts: null}");
    assert!(free.iter().all(|status| *status == 401), "{free:?}");
}

/// A gateway whose keys are in SQLite, and a folder to give commands in.
fn with_sqlite(limits: &str) -> (SetUp, impl Fn(&[&str]) -> run::Run) {
    let upstream = Upstream::with_streams(OK);
    let text = config(&upstream, limits).replace("{file: keys.yaml}", "{database: 'sqlite:keygate.db'}");
    let gate = Gateway::start(&[("keygate.yaml", &text)]);
    let folder = gate.folder().to_owned();
    let command = move |arguments: &[&str]| run::keygate(Path::new(&folder), arguments, "");
    (SetUp { gate, upstream }, command)
}

#[test]
fn a_plan_is_given_by_command_and_held_to_the_strictest_where_it_is_gone() {
    let (set_up, keygate) = with_sqlite("limits: {plans: {strict: {rate: 2/h}, wide: {rate: 500/s}}}");
    let create = |more: &[&str]| {
        let base =
            ["keys", "create", "--name", "a", "--scope", "write", "--all-projects", "--output", "json"];
        keygate(&[&base[..], more].concat())
    };
    let unknown = create(&["--plan", "wid"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(
        unknown.stderr.contains("--plan: no plan is called \"wid\"; did you mean \"wide\"?"),
        "{unknown:?}"
    );
    let unknown = create(&["--plan", "gold"]);
    assert!(unknown.stderr.contains("no plan is called \"gold\"; defined are strict, wide"), "{unknown:?}");
    let made = create(&["--plan", "wide", "--wait", "30s"]).expect_success();
    let made: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let ask = || set_up.gate.connect().exchange(request("GET /any/thing", secret, ""));
    until("the key", || ask().status() == 200);
    assert_eq!(ask().headers("ratelimit-policy"), ["\"wide\";q=500;w=1"]);
    let shown = keygate(&["keys", "show", id]).expect_success().stdout;
    assert!(shown.contains("plan") && shown.contains("wide"), "{shown}");
    let none = create(&[]).expect_success().stdout;
    let none: serde_json::Value = serde_json::from_str(&none).unwrap();
    let listed = |more: &[&str]| keygate(&[&["keys", "list"][..], more].concat()).expect_success().stdout;
    let row = |id: &str| listed(&[]).lines().find(|line| line.starts_with(id)).unwrap().to_owned();
    assert!(row(id).split_whitespace().any(|word| word == "wide"), "{}", row(id));
    assert!(!row(none["id"].as_str().unwrap()).contains("wide"));
    let of_plan = listed(&["--plan", "wide"]);
    assert!(of_plan.contains(id) && of_plan.lines().count() == 2, "{of_plan}");
    assert_eq!(listed(&["--plan", "strict", "--output", "json"]).trim(), "[]");
    let explained = keygate(&["explain", "--key-id", id, "GET", "/any/thing"]).expect_success().stdout;
    assert!(explained.contains("wide"), "{explained}");
    // The config loses the plan that the key names.
    let text = std::fs::read_to_string(set_up.gate.folder().join("keygate.yaml")).unwrap();
    set_up.gate.replace("keygate.yaml", &text.replace("wide: {rate: 500/s}", "huge: {rate: 900/s}"));
    until("the strictest plan", || ask().headers("ratelimit-policy") == ["\"strict\";q=2;w=3600"]);
}

#[test]
fn owners_and_admins_choose_plans_in_the_console_and_members_take_what_there_is() {
    let more = "limits: {plans: {free: {rate: 5/h}, pro: {rate: 300/s, concurrent: 9}}, default: free}\n\
        routes: [{path: '/{*rest}', upstream: api, methods: {'*': write}}]\n";
    let gate = gateway_with(&[("ada", "owner"), ("mel", "member")], more);
    let (ada, mel) = (invited(&gate, "ada"), invited(&gate, "mel"));
    let form = |plan: &'static str| {
        let base = [
            ("name", "CI"),
            ("environment", "live"),
            ("scopes", "write"),
            ("projects", "all"),
            ("expires", "30"),
        ];
        base.into_iter().chain([("plan", plan)]).collect::<Vec<_>>()
    };
    let offered = ada.page("/keys/new");
    assert!(offered.contains("as every key: free (5/h, 5 after a pause)"), "{offered}");
    assert!(offered.contains("pro: 300/s, 300 after a pause; 9 under way at once"), "{offered}");
    assert!(!mel.page("/keys/new").contains("300/s"));
    let refused = mel.post("/keys", &form("pro"));
    assert_eq!(refused.status(), 422);
    assert!(refused.text().contains("owners and admins of the organization give plans"), "{refused:?}");
    assert_eq!(mel.post("/keys", &form("")).status(), 200);
    assert_eq!(ada.post("/keys", &form("gold")).status(), 422);
    let made = ada.post("/keys", &form("pro"));
    assert_eq!(made.status(), 200, "{made:?}");
    let lines = |page: String| page.matches("<a href=\"/keys/key_").count();
    assert_eq!(lines(ada.page("/keys")), 2);
    assert_eq!((lines(ada.page("/keys?plan=pro")), lines(ada.page("/keys?plan=free"))), (1, 0));
    assert!(ada.page("/keys").contains("Any plan") && !mel.page("/keys").contains("Any plan"));
    let at = made.text().find("/keys/key_").unwrap();
    let page = made.text()[at..].split(['"', '?']).next().unwrap().trim_end_matches("/rotate").to_owned();
    assert!(ada.page(&page).contains("pro: 300/s, 300 after a pause; 9 under way at once"));
    // More or less than before, as they like.
    let edit = format!("{page}/edit");
    let shown = ada.page(&edit);
    assert!(shown.contains("value=\"pro\" selected"), "{shown}");
    let etag = hidden(&shown, "etag");
    let changed = [("etag", &*etag), ("plan_offered", "yes"), ("plan", "")];
    let kept = [("name", "CI"), ("labels", ""), ("scopes", "write"), ("projects", "all"), ("addresses", "")];
    let answer = ada.post(&edit, &[&changed[..], &kept[..]].concat());
    assert_eq!(answer.status(), 303, "{answer:?}");
    let now = ada.page(&page);
    assert!(now.contains("as every key: free (5/h, 5 after a pause)"), "{now}");
    assert!(
        ada.page("/audit").contains("plan pro -&gt; none")
            || ada.page("/audit").contains("plan pro -&#62; none")
    );
}
