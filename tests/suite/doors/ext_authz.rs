//! The door of external authorization: what Envoy is told, over gRPC and HTTP; and the real Envoy with `WebSocket`s, gRPC and
//! CONNECT.

use std::collections::BTreeMap;

use http::StatusCode;
use keygate::keys::digest::KeyDigest;

use super::{
    front::{Between, Front},
    grpc::{self, Checked, Http, framed, message},
};
use crate::harness::{Client, Gateway, Message, Upstream, run};

const KEY: &str = "a-key-for-the-tests-of-envoy-0123456789";
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const OK: &str = "HTTP/1.1 200 OK\r\nX-From: api\r\nContent-Length: 2\r\n\r\nhi";

fn gateway(door: &str) -> Gateway {
    let config = format!(
        "version: 1\n\
         listen: {{address: 127.0.0.1:0}}\n\
         health: null\n\
         admin: null\n\
         doors:\n  ext_authz:\n    \
         - {{address: 127.0.0.1:0{door}}}\n    \
         - {{address: 127.0.0.1:0, protocol: http{door}}}\n\
         upstreams: {{api: {{url: 'http://127.0.0.1:9'}}}}\n\
         keys: {{file: keys.yaml}}\n\
         access_log: {{mode: all}}\n\
         routes:\n  \
         - {{path: /public, access: public}}\n  \
         - {{path: /search, access: public, get_body: allow}}\n  \
         - {{path: /a, methods: {{GET: read, POST: write}}, cors: {{origins: ['https://app.example']}}}}\n  \
         - {{path: /ws, methods: {{GET: read}}, websocket: true}}\n  \
         - {{path: '/pkg.Service/{{*rest}}', methods: {{POST: read}}}}\n"
    );
    let digest = KeyDigest::of(KEY.as_bytes()).to_text();
    let keys = format!(
        "version: 1\nkeys:\n  - {{id: k1, name: Ada, hash: '{digest}', scopes: [read], projects: all, expires_at: never}}\n"
    );
    Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &keys)])
}

fn bearer(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let key = [("authorization".to_owned(), format!("Bearer {KEY}"))];
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    key.into_iter().chain(more).collect()
}

fn asked(method: &str, path: &str, headers: Vec<(String, String)>) -> Vec<u8> {
    let http = Http {
        id: "1".to_owned(),
        method: method.to_owned(),
        headers: headers.into_iter().collect::<BTreeMap<_, _>>(),
        path: path.to_owned(),
        host: "api.example".to_owned(),
        scheme: "http".to_owned(),
        size: -1,
        protocol: "HTTP/1.1".to_owned(),
    };
    message(http, "203.0.113.9")
}

fn check(gateway: &Gateway, message: &[u8]) -> Checked {
    grpc::ask(gateway.address("ext_authz:grpc"), message)
}

fn said<'c>(checked: &'c Checked, name: &str) -> Option<&'c str> {
    checked.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn envoy_is_told_what_to_set_and_what_to_take_away() {
    let gateway = gateway("");
    let forged = [
        ("x-auth-user", "root"),
        ("x_auth_role", "owner"),
        ("x-real-ip", "::1"),
        ("a.b", "c"),
        ("accept", "*/*"),
    ];
    let checked = check(&gateway, &asked("GET", "/a", bearer(&forged)));
    assert!(checked.goes_on, "{checked:?}");
    assert_eq!((said(&checked, "x-auth-key-id"), said(&checked, "x-auth-projects")), (Some("k1"), Some("*")));
    // Empty ones, the key, other spellings, and what the gateway itself would not let through.
    let gone = [
        "a.b",
        "authorization",
        "x-auth-assertion",
        "x-auth-email",
        "x-auth-project",
        "x-auth-role",
        "x-auth-user",
        "x-real-ip",
        "x_auth_role",
    ];
    assert_eq!(checked.remove, gone);
    assert_eq!(said(&checked, "x-auth-user"), None);
    let basic = [("authorization".to_owned(), "Basic YTpi".to_owned())];
    let public = check(&gateway, &asked("GET", "/public", basic.to_vec()));
    assert!(public.goes_on && !public.remove.contains(&"authorization".to_owned()), "{public:?}");
    assert!(public.remove.contains(&"x-auth-key-id".to_owned()));
    let line = gateway.wait_for_line("\"path\":\"/a\"");
    assert!(line.contains("\"door\":\"ext_authz\",\"outcome\":\"permitted\""), "{line}");
    assert!(line.contains("\"client\":\"203.0.113.9\""), "{line}");
    assert!(!gateway.output().contains(KEY));
}

#[test]
fn a_denial_has_the_status_headers_and_body_of_the_gateways_own_answer() {
    let gateway = gateway("");
    let told = |method: &str, path: &str, headers| {
        let checked = check(&gateway, &asked(method, path, headers));
        assert!(!checked.goes_on, "{method} {path}");
        let problem: serde_json::Value = serde_json::from_str(&checked.body).unwrap_or_default();
        (checked.status, problem["code"].as_str().unwrap_or_default().to_owned(), checked)
    };
    let (status, code, missing) = told("GET", "/a", Vec::new());
    assert_eq!((status, code.as_str()), (401, "key_missing"));
    assert_eq!(said(&missing, "www-authenticate"), Some("Bearer realm=\"keygate\""));
    assert_eq!(said(&missing, "content-type"), Some("application/problem+json"));
    let (status, code, unmapped) = told("DELETE", "/a", bearer(&[]));
    assert_eq!(
        (status, code.as_str(), said(&unmapped, "allow")),
        (405, "method_not_allowed", Some("GET, HEAD, POST"))
    );
    assert_eq!(told("GET", "/nothing", bearer(&[])).1, "not_found");
    assert_eq!(told("GET", "/a/../a", bearer(&[])).1, "path_ambiguous");
    assert_eq!(told("CONNECT", "", bearer(&[])).1, "method_not_allowed");
    assert_eq!(told("GET", "", bearer(&[])).1, "door_refused");
    assert_eq!(told("GET", "/a", bearer(&[("upgrade", "websocket")])).1, "bad_request");
    assert!(check(&gateway, &asked("GET", "/ws", bearer(&[("upgrade", "websocket")]))).goes_on);
    // Two lines that Envoy has joined.
    let twice = vec![("authorization".to_owned(), format!("Bearer {KEY},Bearer {KEY}"))];
    assert_eq!(told("GET", "/a", twice).1, "bad_request");
    let (status, _, grpc) =
        told("POST", "/pkg.Service/Other", vec![("content-type".to_owned(), "application/grpc".to_owned())]);
    assert_eq!((status, said(&grpc, "grpc-status")), (401, Some("16")));
    let preflight = [("origin", "https://app.example"), ("access-control-request-method", "GET")];
    let (status, _, preflight) = told("OPTIONS", "/a", bearer(&preflight));
    assert_eq!((status, said(&preflight, "access-control-allow-methods")), (204, Some("GET")));
}

#[test]
fn what_is_no_call_of_check_is_never_a_yes() {
    let gateway = gateway("");
    let address = gateway.address("ext_authz:grpc");
    let good = asked("GET", "/public", Vec::new());
    assert!(check(&gateway, &good).goes_on);
    for (path, content_type) in [
        ("/envoy.service.auth.v2.Authorization/Check", "application/grpc"),
        (CHECK, "application/json"),
        ("/", "application/grpc"),
    ] {
        let called = grpc::call(address, path, content_type, &framed(&good));
        assert_eq!(called.status, StatusCode::FORBIDDEN, "{path} {content_type}");
    }
    let endless = vec![0; 600 * 1024];
    for body in [
        &[][..],
        b"rubbish",
        &framed(b"\xff\xff\xff"),
        &good,
        &framed(&good)[..20],
        &framed(&endless)[..60_000],
    ] {
        let called = grpc::call(address, CHECK, "application/grpc", body);
        let yes = framed(&[]);
        assert!(called.body.len() > yes.len(), "{:?}", called.headers);
        // Field 2 of the answer: denied.
        assert!(String::from_utf8_lossy(&called.body).contains("door_refused"), "{:?}", called.body);
    }
    let plain = Client::connect(address).exchange("GET /public HTTP/1.1\r\nHost: api.example\r\n\r\n");
    assert_eq!((plain.status(), plain.json()["code"].as_str()), (403, Some("door_refused")));
    gateway.wait_for_line("the proxy that asked at a door did not describe its client's request: ");
}

/// What comes along of a client's body tells that there is one; it is neither read nor taken for the next question.
#[test]
fn over_http_a_body_is_the_clients_own_and_ends_the_connection() {
    let gateway = gateway("");
    let ask = |line: &str, framing: &str| {
        let ask = format!("{line} HTTP/1.1\r\nHost: api.example\r\nX-Forwarded-For: ::1\r\n{framing}");
        let mut client = Client::connect(gateway.address("ext_authz:http"));
        let answer = client.exchange(ask);
        client.expect_close();
        answer
    };
    let hidden = "GET /public HTTP/1.1\r\nHost: api.example\r\nX-Forwarded-For: ::1\r\n\r\n";
    let with_length = format!("Content-Length: {}\r\n\r\n{hidden}", hidden.len());
    for framing in [&with_length, "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"] {
        let answer = ask("GET /public", framing);
        assert_eq!(
            (answer.status(), answer.json()["code"].as_str()),
            (400, Some("bad_request")),
            "{framing}"
        );
        assert_eq!(ask("POST /public", framing).status(), 200, "{framing}");
        assert_eq!(ask("GET /search", framing).status(), 200, "{framing}");
    }
}

#[test]
fn over_http_the_client_must_be_named() {
    let gateway = gateway(", trusted_proxies: [127.0.0.1/32]");
    let ask = |forwarded_for: &str| {
        let ask = format!("GET /public HTTP/1.1\r\nHost: api.example\r\n{forwarded_for}\r\n");
        Client::connect(gateway.address("ext_authz:http")).exchange(ask).status()
    };
    assert_eq!(ask("X-Forwarded-For: 203.0.113.9, 127.0.0.1\r\n"), 200);
    assert_eq!(ask("X-Forwarded-For: x\r\n"), 400);
    for missing in ["", "X-Forwarded-For: \r\n"] {
        assert_eq!(ask(missing), 403, "{missing}");
    }
}

#[test]
fn strangers_are_refused_whatever_they_ask() {
    let gateway = gateway(", trusted_proxies: [10.0.0.0/8]");
    let address = gateway.address("ext_authz:grpc");
    let called =
        grpc::call(address, CHECK, "application/grpc", &framed(&asked("GET", "/public", Vec::new())));
    assert_eq!(called.status, StatusCode::FORBIDDEN);
    let ask = "GET /public HTTP/1.1\r\nHost: api.example\r\nX-Forwarded-For: ::1\r\n\r\n";
    let answer = Client::connect(gateway.address("ext_authz:http")).exchange(ask);
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (403, Some("door_refused")));
}

/// Both flavours through the real Envoy.
fn envoys(gateway: &Gateway, api: &Upstream) -> [Front; 2] {
    let between = |door| Between { door: gateway.address(door), api: api.address() };
    [
        Front::envoy("envoy-grpc", 8092, between("ext_authz:grpc")),
        Front::envoy("envoy-http", 8093, between("ext_authz:http")),
    ]
}

fn with_key(line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {KEY}\r\n{more}\r\n")
}

#[test]
fn a_real_envoy_forwards_with_identity_and_gives_refusals_as_the_gateway_would() {
    let (gateway, api) = (gateway(""), Upstream::answering(OK));
    for envoy in envoys(&gateway, &api) {
        let before = api.requests().len();
        let forged = "X-Auth-User: root\r\nx_auth_role: owner\r\nOrigin: https://app.example\r\n";
        let answer = envoy.exchange(with_key("GET /a?x=%7E", forged));
        assert_eq!((answer.status(), answer.header("X-From")), (200, Some("api")), "{answer:?}");
        let sent = api.requests()[before].clone();
        assert_eq!(sent.start, "GET /a?x=%7E HTTP/1.1");
        let names = [
            "X-Auth-Key-Id",
            "X-Auth-Scopes",
            "X-Auth-Projects",
            "X-Auth-User",
            "x_auth_role",
            "Authorization",
        ];
        let said = names.map(|name| sent.header(name).filter(|value| !value.is_empty()));
        assert_eq!(said, [Some("k1"), Some("read"), Some("*"), None, None, None], "{sent:?}");
        let refused = envoy.exchange(with_key("POST /a", "Content-Length: 0\r\n"));
        let challenge = "Bearer realm=\"keygate\", error=\"insufficient_scope\", scope=\"write\"";
        assert_eq!(
            (refused.status(), refused.header("WWW-Authenticate")),
            (403, Some(challenge)),
            "{refused:?}"
        );
        assert_eq!(
            (refused.header("Cache-Control"), refused.json()["code"].as_str()),
            (Some("no-store"), Some("scope_insufficient"))
        );
        assert_eq!(envoy.exchange(with_key("CONNECT api.example:443", "")).status() / 100, 4);
        assert_eq!(api.requests().len(), before + 1);
    }
}

#[test]
fn envoy_tells_of_every_body_on_get_and_holds_no_other_back() {
    let (gateway, api) = (gateway(""), Upstream::answering(OK));
    for envoy in envoys(&gateway, &api) {
        let before = api.requests().len();
        for body in ["0\r\n\r\n", "1\r\nx\r\n0\r\n\r\n"] {
            for method in ["GET", "HEAD"] {
                let framing = format!("Host: api.example\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
                let refused = envoy.exchange(format!("{method} /public HTTP/1.1\r\n{framing}"));
                assert_eq!(refused.status(), 400, "{method} {body:?}: {refused:?}");
            }
        }
        let url = format!("{}/public", envoy.url());
        let sent =
            ["--http2-prior-knowledge", "-i", "-X", "GET", "--data", "x", "-H", "Content-Length:", &url];
        let refused = run::curl(&sent).expect_success().stdout;
        assert!(refused.starts_with("HTTP/2 400"), "{refused}");
        assert_eq!(api.requests().len(), before);
        let search = "GET /search HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        assert_eq!(envoy.exchange(search).status(), 200);
        assert!(api.requests()[before].body == b"hi", "{:?}", api.requests()[before]);
    }
    // A call begins before its first message: Envoy must ask without it.
    for envoy in envoys(&gateway, &api) {
        let call =
            "POST /pkg.Service/Call HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n";
        let refused = envoy.connect().send(call).response_head();
        assert_eq!(refused.status(), 401, "{refused:?}");
    }
}

#[test]
fn envoy_lets_web_sockets_through_where_the_route_takes_them() {
    let gateway = gateway("");
    let api = Upstream::start(|talk| {
        while talk.request()?.is_some() {
            talk.send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            )?;
            let frame = talk.take(4)?;
            talk.send(frame)?;
        }
        Ok(())
    });
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for envoy in envoys(&gateway, &api) {
        let mut client = envoy.connect();
        let answer = client.send(with_key("GET /ws", handshake)).response_head();
        assert_eq!(answer.status(), 101, "{answer:?}");
        client.send("ping");
        assert_eq!(client.take(4), b"ping");
        let refused = envoy.exchange(with_key("GET /a", handshake));
        assert_eq!((refused.status(), refused.json()["code"].as_str()), (400, Some("bad_request")));
    }
    assert_eq!(api.requests().len(), 2);
}

#[test]
fn grpc_clients_of_envoy_are_refused_with_a_grpc_status() {
    let (gateway, api) = (
        gateway(""),
        Upstream::answering(
            "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 0\r\nContent-Length: 0\r\n\r\n",
        ),
    );
    for envoy in envoys(&gateway, &api) {
        let call = |path: &str, key: &str| {
            let url = format!("{}{path}", envoy.url());
            let authorization = format!("Authorization: Bearer {key}");
            let sent = [
                "--http2-prior-knowledge",
                "-i",
                "-X",
                "POST",
                "-H",
                "Content-Type: application/grpc",
                "-H",
                "TE: trailers",
                "-H",
            ];
            run::curl(&[&sent[..], &[&authorization, &url]].concat()).expect_success().stdout
        };
        let served = call("/pkg.Service/Call", KEY);
        assert!(served.starts_with("HTTP/2 200") && served.contains("grpc-status: 0"), "{served}");
        let unknown = call("/pkg.Service/Call", "nobody");
        assert!(unknown.starts_with("HTTP/2 200") && unknown.contains("grpc-status: 16"), "{unknown}");
        let nothing = call("/other.Service/Call", KEY);
        assert!(nothing.starts_with("HTTP/2 200") && nothing.contains("grpc-status: 5"), "{nothing}");
    }
}

#[test]
fn without_an_answer_envoy_lets_nobody_through() {
    let (gateway, api) = (gateway(""), Upstream::answering(OK));
    let envoys = envoys(&gateway, &api);
    drop(gateway);
    for envoy in envoys {
        let answer: Message = envoy.exchange("GET /public HTTP/1.1\r\nHost: api.example\r\n\r\n");
        assert_eq!(answer.status(), 503, "{answer:?}");
    }
    assert!(api.requests().is_empty());
}
