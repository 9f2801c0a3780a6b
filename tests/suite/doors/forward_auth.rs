//! The forward-auth door: who may ask, what a question must say, and what its answer says.

use std::{thread, time::Instant};

use keygate::keys::digest::KeyDigest;

use super::front::{Between, Front};
use crate::harness::{Client, GUARD, Gateway, Message, Upstream, run};

const KEY: &str = "a-key-for-the-tests-of-doors-0123456789";
const OK: &str = "HTTP/1.1 200 OK\r\nX-From: api\r\nContent-Length: 2\r\n\r\nhi";

/// What asks with X-Original-…; `more` are lines of the client's own.
fn nginx_asks(method: &str, target: &str, more: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: keygate\r\nX-Original-Method: {method}\r\nX-Original-URI: {target}\r\n\
         X-Original-Host: api.example\r\nX-Original-Proto: https\r\nX-Forwarded-For: 203.0.113.9\r\n{more}\r\n"
    )
}

/// What asks with X-Forwarded-….
fn caddy_asks(method: &str, target: &str, more: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: keygate\r\nX-Forwarded-Method: {method}\r\nX-Forwarded-Uri: {target}\r\n\
         X-Forwarded-Host: api.example\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.9\r\n{more}\r\n"
    )
}

fn bearer(more: &str) -> String {
    format!("Authorization: Bearer {KEY}\r\n{more}")
}

struct Doors {
    gateway: Gateway,
    _upstream: Upstream,
}

impl Doors {
    fn start(more: &str) -> Self {
        Self::start_with("", more)
    }

    /// `door` goes into both doors, `more` is of the whole config.
    fn start_with(door: &str, more: &str) -> Self {
        Self::start_for(door, more, "all")
    }

    /// Of a key that sees `projects`.
    fn start_for(door: &str, more: &str, projects: &str) -> Self {
        let upstream = Upstream::answering(OK);
        let config = format!(
            "version: 1\n\
             listen: {{address: 127.0.0.1:0}}\n\
             health: {{address: 127.0.0.1:0}}\n\
             admin: null\n\
             doors:\n  forward_auth:\n    \
             - {{address: 127.0.0.1:0, headers: x-original{door}}}\n    \
             - {{address: 127.0.0.1:0, headers: x-forwarded{door}}}\n\
             upstreams: {{api: {{url: '{}'}}}}\n\
             keys: {{file: keys.yaml}}\n\
             access_log: {{mode: all}}\n\
             routes:\n  \
             - {{path: /public, access: public}}\n  \
             - {{path: '/files/{{*rest}}', access: public}}\n  \
             - {{path: /list, methods: {{GET: read}}, restricted_keys: [GET]}}\n  \
             - {{path: /a, methods: {{GET: read, POST: write}}, cors: {{origins: ['https://app.example']}}}}\n  \
             - {{path: /ws, methods: {{GET: read}}, websocket: true}}\n  \
             - {{path: '/p/{{project}}', project: 'path:project', methods: {{GET: read}}, body_bytes: 10}}\n{more}",
            upstream.url()
        );
        let digest = KeyDigest::of(KEY.as_bytes()).to_text();
        let keys = format!(
            "version: 1\npeople: [{{id: ada, email: ada@example.com, role: owner}}]\nkeys:\n  \
             - {{id: k1, name: 'Ada & co', owner: ada, hash: '{digest}', scopes: [read], projects: {projects}, expires_at: never}}\n"
        );
        let gateway = Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &keys)]);
        Self { gateway, _upstream: upstream }
    }

    fn x_original(&self) -> Client {
        Client::connect(self.gateway.address("forward_auth:x-original"))
    }

    fn x_forwarded(&self) -> Client {
        Client::connect(self.gateway.address("forward_auth:x-forwarded"))
    }

    /// Waits until the metrics have this line: an answer is sent before it is counted.
    fn wait_for_metric(&self, line: &str) {
        let start = Instant::now();
        loop {
            let mut client = Client::connect(self.gateway.address("health"));
            let answer = client.exchange("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
            if answer.text().lines().any(|known| known == line) {
                return;
            }
            assert!(start.elapsed() < GUARD, "no {line} in\n{}", answer.text());
            thread::yield_now();
        }
    }
}

/// Status and code as the client will see them, from what nginx is told.
fn told(answer: &Message) -> (u16, Option<&str>, Option<&str>) {
    (answer.status(), answer.header("X-Keygate-Status"), answer.header("X-Keygate-Reason"))
}

#[test]
fn a_permitted_request_is_answered_with_every_identity_header() {
    let doors = Doors::start("");
    let expected = [
        ("X-Auth-Key-Id", "k1"),
        ("X-Auth-Key-Name", "Ada%20%26%20co"),
        ("X-Auth-User", "ada"),
        ("X-Auth-Email", "ada@example.com"),
        ("X-Auth-Role", "owner"),
        ("X-Auth-Org", "default"),
        ("X-Auth-Scopes", "read"),
        ("X-Auth-Projects", "*"),
    ];
    let forged = bearer("X-Auth-User: root\r\nX-Auth-Project: omega\r\nX-Auth-Assertion: root\r\n");
    for (mut client, ask) in [
        (doors.x_original(), nginx_asks as fn(&str, &str, &str) -> String),
        (doors.x_forwarded(), caddy_asks),
    ] {
        let answer = client.exchange(ask("GET", "/p/alpha", &forged));
        assert_eq!(answer.status(), 200, "{answer:?}");
        for (name, value) in expected.into_iter().chain([("X-Auth-Project", "alpha"), ("Authorization", "")])
        {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
        // On the same connection; what is not known is answered as empty.
        let list = client.exchange(ask("GET", "/public", &forged));
        assert_eq!(list.status(), 200, "{list:?}");
        let others = ["X-Auth-Project", "X-Auth-Assertion", "Authorization"].map(|name| (name, ""));
        for (name, _) in expected.into_iter().chain(others) {
            assert_eq!(list.header(name), Some(""), "{list:?}");
        }
        let basic = client.exchange(ask("GET", "/public", "Authorization: Basic YTpi\r\n"));
        assert_eq!(basic.header("Authorization"), Some("Basic YTpi"));
    }
    let lines = doors.gateway.wait_for_line("\"path\":\"/p/alpha\"");
    assert!(lines.contains("\"door\":\"forward_auth\",\"outcome\":\"permitted\""), "{lines}");
    assert!(lines.contains("\"client\":\"203.0.113.9\"") && lines.contains("\"key_id\":\"k1\""), "{lines}");
    assert!(!doors.gateway.output().contains(KEY));
    let count = "keygate_door_requests_total{door=\"forward_auth\",outcome=\"permitted\",code=\"2xx\"} 6";
    doors.wait_for_metric(count);
}

#[test]
fn nginx_is_told_401_or_403_and_everything_else_in_headers() {
    let doors = Doors::start("");
    let mut client = doors.x_original();
    let mut asked =
        |method: &str, target: &str, more: &str| client.exchange(nginx_asks(method, target, more));
    let missing = asked("GET", "/a", "");
    assert_eq!(told(&missing), (401, Some("401"), Some("key_missing")));
    assert_eq!(missing.header("WWW-Authenticate"), Some("Bearer realm=\"keygate\""));
    let problem: serde_json::Value = serde_json::from_str(missing.header("X-Keygate-Body").unwrap()).unwrap();
    assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some("key_missing"), Some(401)));
    assert_eq!(told(&asked("GET", "/nothing", &bearer(""))), (403, Some("404"), Some("not_found")));
    assert_eq!(told(&asked("GET", "/a/../a", &bearer(""))), (403, Some("400"), Some("path_ambiguous")));
    let unmapped = asked("DELETE", "/a", &bearer(""));
    assert_eq!(told(&unmapped), (403, Some("405"), Some("method_not_allowed")));
    assert_eq!(unmapped.header("Allow"), Some("GET, HEAD, POST"));
    let weak = asked("POST", "/a", &bearer("Origin: https://app.example\r\n"));
    assert_eq!(told(&weak), (403, Some("403"), Some("scope_insufficient")));
    assert_eq!(weak.header("Access-Control-Allow-Origin"), Some("https://app.example"));
    assert_eq!(
        told(&asked("CONNECT", "api.example:443", "")),
        (403, Some("405"), Some("method_not_allowed"))
    );
    let preflight = "Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n";
    let preflight = asked("OPTIONS", "/a", preflight);
    assert_eq!(told(&preflight), (403, Some("204"), Some("preflight")));
    assert_eq!(preflight.header("Access-Control-Allow-Methods"), Some("GET"));
    assert_eq!(told(&asked("OPTIONS", "*", "")), (403, Some("204"), Some("server_options")));
    assert_eq!(
        told(&asked("GET", "/p/alpha", &bearer("X-Original-Content-Length: 3\r\n"))),
        (403, Some("400"), Some("bad_request"))
    );
    let long = "a".repeat(9000);
    assert_eq!(told(&asked("GET", &format!("/{long}"), "")), (403, Some("414"), Some("uri_too_long")));
    // gRPC reads its refusals from 200, which nginx would take for a yes.
    let grpc = asked("POST", "/nothing", &bearer("Content-Type: application/grpc\r\n"));
    assert_eq!(told(&grpc), (403, Some("404"), Some("not_found")));
}

#[test]
fn traefik_and_caddy_are_told_what_their_client_is_to_be_answered() {
    let doors = Doors::start("errors: {404: '{\"error\":\"nothing\"}'}\n");
    let mut client = doors.x_forwarded();
    let mut asked =
        |method: &str, target: &str, more: &str| client.exchange(caddy_asks(method, target, more));
    let missing = asked("GET", "/a", "");
    assert_eq!((missing.status(), missing.json()["code"].as_str()), (401, Some("key_missing")));
    assert_eq!(missing.header("Content-Type"), Some("application/problem+json"));
    assert_eq!(missing.header("WWW-Authenticate"), Some("Bearer realm=\"keygate\""));
    let nothing = asked("GET", "/nothing", &bearer(""));
    assert_eq!((nothing.status(), nothing.text()), (404, "{\"error\":\"nothing\"}"));
    let unmapped = asked("DELETE", "/a", &bearer(""));
    assert_eq!((unmapped.status(), unmapped.header("Allow")), (405, Some("GET, HEAD, POST")));
    assert_eq!(asked("GET", "/a%00", &bearer("")).status(), 400);
    assert_eq!(asked("CONNECT", "api.example:443", "").status(), 405);
    assert_eq!(asked("OPTIONS", "*", "").status(), 400);
    // 2xx lets it forward, so a preflight goes on, without identity and key.
    let preflight =
        "Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\nAuthorization: Bearer x\r\n";
    let preflight = asked("OPTIONS", "/a", preflight);
    assert_eq!((preflight.status(), preflight.header("Authorization")), (200, Some("")));
    assert_eq!(preflight.header("X-Auth-Key-Id"), Some(""));
    let grpc = asked("POST", "/nothing", &bearer("Content-Type: application/grpc\r\n"));
    assert_eq!(grpc.status(), 404);
}

#[test]
fn a_question_that_is_not_exactly_one_request_is_refused_and_counted() {
    let doors = Doors::start("");
    let plain = nginx_asks("GET", "/a", &bearer(""));
    let refused = |client: &mut Client, ask: &str| {
        let answer = client.exchange(ask);
        assert_eq!(told(&answer), (403, Some("403"), Some("door_refused")), "{ask}\n{answer:?}");
    };
    let mut client = doors.x_original();
    assert_eq!(client.exchange(&plain).status(), 200);
    for line in
        ["X-Original-Method", "X-Original-URI", "X-Original-Host", "X-Original-Proto", "X-Forwarded-For"]
    {
        let without: String =
            plain.split_inclusive("\r\n").filter(|sent| !sent.starts_with(&format!("{line}:"))).collect();
        refused(&mut client, &without);
    }
    for more in [
        "X-Original-Method: GET\r\n",
        "x-original-uri: /a\r\n",
        "X-Original-Host: api.example\r\n",
        "X-Forwarded-Uri: /b\r\n",
        "X-Forwarded-Method: POST\r\n",
        "X-Forwarded-Host: other.example\r\n",
    ] {
        refused(&mut client, &nginx_asks("GET", "/a", &bearer(more)));
    }
    refused(&mut client, &nginx_asks("GET", "http://api.example/a", &bearer("")));
    refused(&mut client, &plain.replacen("GET / ", "PUT / ", 1));
    // Of the other family, and a plain request of a client that came to the wrong port.
    refused(&mut client, &caddy_asks("GET", "/a", &bearer("")));
    refused(&mut client, &format!("GET /a HTTP/1.1\r\nHost: api.example\r\n{}\r\n", bearer("")));
    // A body is neither read nor taken for the next question.
    for framing in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut client = doors.x_original();
        refused(&mut client, &nginx_asks("GET", "/a", &bearer(framing)));
        client.expect_close();
    }
    let mut client = doors.x_forwarded();
    assert_eq!(client.exchange(caddy_asks("GET", "/a", &bearer(""))).status(), 200);
    let other = client.exchange(&plain);
    assert_eq!((other.status(), other.json()["code"].as_str()), (403, Some("door_refused")));
    let line =
        doors.gateway.wait_for_line("the proxy that asked at a door did not describe its client's request: ");
    assert!(line.contains("X-Original-Method is missing"), "{line}");
    doors.gateway.wait_for_line(
        "\"problem\":\"X-Forwarded-Method is missing; it was asked with X-Original-*: write headers: x-original\"",
    );
    let row =
        "keygate_door_requests_total{door=\"forward_auth\",outcome=\"refused\",code=\"door_refused\"} 18";
    doors.wait_for_metric(row);
    assert!(!doors.gateway.output().contains(KEY));
}

#[test]
fn strangers_are_refused_whatever_they_say() {
    let doors = Doors::start_with(", trusted_proxies: [10.0.0.0/8]", "");
    let answer = doors.x_forwarded().exchange(caddy_asks("GET", "/public", ""));
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (403, Some("door_refused")));
    let answer = doors.x_original().exchange(nginx_asks("GET", "/public", ""));
    assert_eq!(told(&answer), (403, Some("403"), Some("door_refused")));
    doors.gateway.wait_for_line("a door was asked by a peer that is not in its trusted_proxies");
}

#[test]
fn what_the_asking_proxy_could_not_remove_is_refused() {
    let doors = Doors::start("");
    let mut client = doors.x_forwarded();
    for line in [
        "x_auth_user: root\r\n",
        "X-Auth.User: root\r\n",
        "Remote-User: root\r\n",
        "X-Auth-User-Id: 0\r\n",
        "X-Original-URL: /admin\r\n",
        "X_Rewrite_Url: /admin\r\n",
    ] {
        let answer = client.exchange(caddy_asks("GET", "/a", &bearer(line)));
        assert_eq!((answer.status(), answer.json()["code"].as_str()), (400, Some("bad_request")), "{line}");
    }
}

/// It would arrive as U+FFFD, which is another one.
#[test]
fn a_credential_that_cannot_go_on_as_it_is_is_refused() {
    let doors = Doors::start("");
    for ask in [nginx_asks("GET", "/public", "@"), caddy_asks("GET", "/public", "@")] {
        let mut client = if ask.contains("X-Original") { doors.x_original() } else { doors.x_forwarded() };
        let with = |value: &[u8]| {
            let (before, after) = ask.split_once('@').unwrap();
            [before.as_bytes(), b"Authorization: Basic ", value, b"\r\n", after.as_bytes()].concat()
        };
        let answer = client.exchange(with("Zoë".as_bytes()));
        assert_eq!(answer.status(), 200);
        assert!(String::from_utf8_lossy(&answer.raw).contains(": Basic Zoë\r\n"), "{answer:?}");
        let refused = client.exchange(with(b"\xe9\xff"));
        let status =
            refused.header("X-Keygate-Status").map_or(refused.status(), |told| told.parse().unwrap());
        assert_eq!(status, 400, "{refused:?}");
    }
}

#[test]
fn an_upgrade_is_told_of_where_the_route_takes_it() {
    let doors = Doors::start("");
    let mut nginx = doors.x_original();
    let mut upgrade = |target: &str, protocol: &str| {
        let more = format!("Upgrade: h2c\r\nX-Original-Upgrade: {protocol}\r\n");
        let answer = nginx.exchange(nginx_asks("GET", target, &bearer(&more)));
        (answer.status(), answer.header("X-Keygate-Upgrade").unwrap().to_owned())
    };
    assert_eq!(upgrade("/ws", "websocket"), (200, "websocket".to_owned()));
    assert_eq!(upgrade("/ws", "h2c"), (200, String::new()));
    assert_eq!(upgrade("/a", "websocket"), (200, String::new()));
    // Caddy forwards an upgrade by itself.
    let mut caddy = doors.x_forwarded();
    let mut upgrade = |target: &str, protocol: &str| {
        let more = format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n");
        caddy.exchange(caddy_asks("GET", target, &bearer(&more))).status()
    };
    assert_eq!(upgrade("/ws", "WebSocket"), 200);
    assert_eq!(upgrade("/ws", "h2c"), 400);
    assert_eq!(upgrade("/a", "websocket"), 400);
}

#[test]
fn a_list_of_projects_that_does_not_fit_is_refused_and_never_cut() {
    let projects: Vec<_> = (0..400).map(|number| format!("project-{number:04}")).collect();
    let doors = Doors::start_for("", "", &format!("[{}]", projects.join(", ")));
    let answer = doors.x_original().exchange(nginx_asks("GET", "/list", &bearer("")));
    assert_eq!(told(&answer), (403, Some("431"), Some("headers_too_large")));
    let answer = doors.x_forwarded().exchange(caddy_asks("GET", "/list", &bearer("")));
    assert_eq!((answer.status(), answer.headers("X-Auth-Projects").len()), (431, 0));
}

#[test]
fn check_warns_of_doors_that_nobody_or_everybody_may_ask_at() {
    let folder = tempfile::tempdir().unwrap();
    let checked = |door: &str| {
        let config = format!(
            "version: 1\nlisten: {{address: 127.0.0.1:8080}}\ndoors: {{forward_auth: {{headers: x-original, {door}}}}}\n\
             upstreams: {{api: {{url: 'http://127.0.0.1:9'}}}}\nkeys: {{file: keys.yaml}}\n\
             routes: [{{path: /a, methods: {{'*': read}}}}]\n"
        );
        std::fs::write(folder.path().join("keygate.yaml"), config).unwrap();
        std::fs::write(folder.path().join("keys.yaml"), "version: 1\nkeys: []\n").unwrap();
        run::keygate(folder.path(), &["check"], "").stderr
    };
    assert!(checked("address: 0.0.0.0:8090").contains("nobody beyond this machine may ask at 0.0.0.0:8090"));
    let everybody = checked("address: 127.0.0.1:8090, trusted_proxies: 0.0.0.0/0");
    assert!(everybody.contains("0.0.0.0/0 lets everyone ask"), "{everybody}");
    let fine = checked("address: 127.0.0.1:8090");
    assert!(!fine.contains("ask"), "{fine}");
}

#[test]
fn caddy_asks_about_the_path_that_it_forwards() {
    let doors = Doors::start("");
    let api = Upstream::answering(OK);
    let between = Between { door: doors.gateway.address("forward_auth:x-forwarded"), api: api.address() };
    let caddy = Front::caddy(between, |site| site);
    let answer = caddy.exchange("GET /files/a|b?c|d HTTP/1.1\r\nHost: api.example\r\n\r\n");
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(api.requests()[0].target(), "/files/a%7Cb?c|d");
    doors.gateway.wait_for_line("\"path\":\"/files/a%7Cb\"");
}

#[test]
fn a_real_nginx_gives_refusals_as_the_gateway_would() {
    let doors = Doors::start("");
    let api = Upstream::answering(OK);
    let between = Between { door: doors.gateway.address("forward_auth:x-original"), api: api.address() };
    let nginx = Front::nginx(between, |site| site);
    let ask = |line: &str, more: &str| {
        nginx.exchange(format!("{line} HTTP/1.1\r\nHost: api.example\r\nX-Auth-User: root\r\n{more}\r\n"))
    };
    let answer = ask("GET /a?x=%7E", &bearer("Origin: https://app.example\r\n"));
    assert_eq!((answer.status(), answer.header("X-From")), (200, Some("api")), "{answer:?}");
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("https://app.example"));
    let sent = &api.requests()[0];
    assert_eq!(sent.start, "GET /a?x=%7E HTTP/1.1");
    assert_eq!((sent.headers("X-Auth-User"), sent.header("X-Auth-Projects")), (vec!["ada"], Some("*")));
    assert_eq!((sent.header("Authorization"), sent.header("X-Auth-Project")), (None, None));
    assert_eq!(sent.header("X-Original-URI"), None);
    assert_eq!(sent.header("X-Request-Id"), answer.header("X-Request-Id"));

    let direct = |line: &str, more: &str| {
        doors.gateway.connect().exchange(format!("{line} HTTP/1.1\r\nHost: api.example\r\n{more}\r\n"))
    };
    for (line, more) in [
        ("GET /a", String::new()),
        ("GET /a", "Authorization: Bearer nobody\r\n".to_owned()),
        ("GET /nothing", bearer("")),
        ("DELETE /a", bearer("")),
        ("POST /a", bearer("Origin: https://app.example\r\n")),
        ("GET /a/../a", bearer("")),
    ] {
        let (by_nginx, by_gateway) = (ask(line, &more), direct(line, &more));
        assert_eq!(by_nginx.status(), by_gateway.status(), "{line}");
        for name in
            ["Content-Type", "Cache-Control", "WWW-Authenticate", "Allow", "Access-Control-Allow-Origin"]
        {
            assert_eq!(by_nginx.headers(name), by_gateway.headers(name), "{name} of {line}: {by_nginx:?}");
        }
        assert_eq!(by_nginx.json()["code"], by_gateway.json()["code"]);
        assert_eq!(by_nginx.json()["detail"], by_gateway.json()["detail"]);
        assert_eq!(by_nginx.json()["request_id"].as_str(), by_nginx.header("X-Request-Id"));
    }
    let preflight =
        ask("OPTIONS /a", "Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n");
    assert_eq!(preflight.status(), 204, "{preflight:?}");
    assert_eq!(preflight.header("Access-Control-Allow-Methods"), Some("GET"));
    assert_eq!(api.requests().len(), 1);
    drop(doors);
    let away = ask("GET /public", "");
    assert_eq!(
        (away.status(), away.json()["code"].as_str()),
        (503, Some("key_store_unavailable")),
        "{away:?}"
    );
    assert_eq!(api.requests().len(), 1);
}

#[test]
fn web_sockets_go_through_nginx_and_caddy_where_the_route_takes_them() {
    let doors = Doors::start("");
    let api = Upstream::start(|talk| {
        while let Some(request) = talk.request()? {
            if request.header("Upgrade").is_some() {
                talk.send(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                )?;
                let frame = talk.take(4)?;
                talk.send(frame)?;
                return Ok(());
            }
            talk.send(OK)?;
        }
        Ok(())
    });
    let door = |name| Between { door: doors.gateway.address(name), api: api.address() };
    let nginx = Front::nginx(door("forward_auth:x-original"), |site| site);
    let caddy = Front::caddy(door("forward_auth:x-forwarded"), |site| site);
    let upgrade = |target: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: api.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
            bearer("")
        )
    };
    for front in [&nginx, &caddy] {
        let mut client = front.connect();
        let answer = client.send(upgrade("/ws")).response_head();
        assert_eq!(answer.status(), 101, "{answer:?}");
        client.send("ping");
        assert_eq!(client.take(4), b"ping");
    }
    assert_eq!(nginx.exchange(upgrade("/a")).status(), 200);
    assert_eq!(api.requests().last().unwrap().header("Upgrade"), None);
    assert_eq!(caddy.exchange(upgrade("/a")).status(), 400);
}
