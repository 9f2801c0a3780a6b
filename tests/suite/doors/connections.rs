//! How a proxy may come to a door: over TLS, through a Unix socket, in HTTP/2; and what a reload says of changed doors.

use std::fs;

use http::{Request, StatusCode};
use keygate::keys::digest::KeyDigest;

use super::{
    front::{Between, Front},
    grpc,
};
use crate::harness::{Client, Gateway, Upstream, run};

const KEY: &str = "a-key-for-the-tests-of-connections-0123456789";
const OK: &str = "HTTP/1.1 200 OK\r\nX-From: api\r\nContent-Length: 2\r\n\r\nhi";

/// What is asked of the forward-auth doors, as lines that curl sends; of both families, which say the same.
const DESCRIBED: [&str; 9] = [
    "X-Original-Method: GET",
    "X-Original-URI: /a",
    "X-Original-Host: api.example",
    "X-Original-Proto: https",
    "X-Forwarded-Method: GET",
    "X-Forwarded-Uri: /a",
    "X-Forwarded-Host: api.example",
    "X-Forwarded-Proto: https",
    "X-Forwarded-For: 203.0.113.9",
];

fn config(doors: &str, more: &str) -> String {
    format!(
        "version: 1\n\
         listen: {{address: 127.0.0.1:0}}\n\
         health: null\n\
         admin: null\n\
         doors: {doors}\n\
         upstreams: {{api: {{url: 'http://127.0.0.1:9'}}}}\n\
         keys: {{file: keys.yaml}}\n\
         access_log: {{mode: all}}\n\
         routes:\n  - {{path: /a, methods: {{GET: read}}}}\n{more}"
    )
}

fn keys() -> String {
    let digest = KeyDigest::of(KEY.as_bytes()).to_text();
    format!(
        "version: 1\nkeys: [{{id: k1, hash: '{digest}', scopes: [read], projects: all, expires_at: never}}]\n"
    )
}

fn gateway(doors: &str) -> Gateway {
    Gateway::start(&[("keygate.yaml", &config(doors, "")), ("keys.yaml", &keys())])
}

/// Both kinds of answer through a proxy: what is permitted arrives with identity, the rest is refused.
fn assert_judges(front: &Front, api: &Upstream) {
    let before = api.requests().len();
    let request = |more: &str| format!("GET /a HTTP/1.1\r\nHost: api.example\r\n{more}\r\n");
    let forwarded = front.exchange(request(&format!("Authorization: Bearer {KEY}\r\n")));
    assert_eq!((forwarded.status(), forwarded.header("X-From")), (200, Some("api")), "{forwarded:?}");
    assert_eq!(api.requests()[before].headers("X-Auth-Key-Id"), ["k1"]);
    let refused = front.exchange(request(""));
    assert_eq!((refused.status(), refused.json()["code"].as_str()), (401, Some("key_missing")));
    assert_eq!(api.requests().len(), before + 1);
}

#[test]
fn nginx_caddy_and_envoy_ask_over_tls() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = "tls: {certificate: cert.pem, private_key: key.pem}";
    let door = |headers: &str| format!("{{address: 127.0.0.1:0, {tls}{headers}}}");
    let doors = format!(
        "{{forward_auth: [{}, {}], ext_authz: {}}}",
        door(", headers: x-original"),
        door(", headers: x-forwarded"),
        door("")
    );
    let gateway = Gateway::start(&[
        ("keygate.yaml", &config(&doors, "")),
        ("keys.yaml", &keys()),
        ("cert.pem", &certificate.cert.pem()),
        ("key.pem", &certificate.signing_key.serialize_pem()),
    ]);
    let authority = gateway.folder().join("cert.pem");
    let authority = authority.display();
    let api = Upstream::answering(OK);
    let between = |door| Between { door: gateway.address(door), api: api.address() };

    let nginx = Front::nginx(between("forward_auth:x-original"), |site| {
        assert!(site.contains("proxy_pass http://keygate/;"));
        let over_tls = format!(
            "proxy_pass https://keygate/; proxy_ssl_trusted_certificate {authority}; proxy_ssl_verify on; \
             proxy_ssl_name localhost;"
        );
        site.replace("proxy_pass http://keygate/;", &over_tls)
    });
    assert_judges(&nginx, &api);

    let door = gateway.address("forward_auth:x-forwarded");
    let caddy = Front::caddy(between("forward_auth:x-forwarded"), |site| {
        let over_tls = format!(
            "to https://localhost:{}\n\ttransport http {{\n\t\ttls_trusted_ca_certs {authority}\n\t}}\n",
            door.port()
        );
        site.replace(&format!("to {door}\n"), &over_tls)
    });
    assert_judges(&caddy, &api);

    let envoy = Front::envoy_with("envoy-grpc", 8092, between("ext_authz:grpc"), |config| {
        format!(
            "{config}      transport_socket:\n        name: envoy.transport_sockets.tls\n        typed_config:\n          \
             \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n          \
             sni: localhost\n          common_tls_context:\n            alpn_protocols: [h2]\n            \
             validation_context: {{trusted_ca: {{filename: {authority}}}}}\n"
        )
    });
    assert_judges(&envoy, &api);

    // In clear there is no answer, and so no permission.
    let clear = Front::nginx(between("forward_auth:x-original"), |site| site);
    let answer = clear
        .exchange(format!("GET /a HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {KEY}\r\n\r\n"));
    assert_eq!((answer.status(), answer.header("X-From")), (503, None), "{answer:?}");
}

#[test]
fn nginx_caddy_and_envoy_ask_through_a_unix_socket() {
    let sockets = tempfile::tempdir().unwrap();
    let path = |name: &str| sockets.path().join(name).display().to_string();
    let gateway = gateway(&format!(
        "{{forward_auth: [{{address: 'unix:{}', headers: x-original}}, {{address: 'unix:{}', headers: x-forwarded}}], \
         ext_authz: {{address: 'unix:{}'}}}}",
        path("nginx"),
        path("caddy"),
        path("envoy")
    ));
    for door in ["forward_auth:x-original", "forward_auth:x-forwarded", "ext_authz:grpc"] {
        gateway.wait_for_line(&format!("listening name={door} address=unix:"));
    }
    let api = Upstream::answering(OK);
    // The door of TCP in the file gives way to the socket.
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let between = Between { door: nowhere, api: api.address() };
    let nginx = Front::nginx(between, |site| {
        site.replace("server 127.0.0.1:1;", &format!("server unix:{};", path("nginx")))
    });
    let caddy = Front::caddy(between, |site| {
        site.replace("to 127.0.0.1:1\n", &format!("to unix/{}\n", path("caddy")))
    });
    let envoy = Front::envoy_with("envoy-grpc", 8092, between, |config| {
        let tcp = "{socket_address: {address: 127.0.0.1, port_value: 1}}";
        assert!(config.contains(tcp), "{config}");
        config.replace(tcp, &format!("{{pipe: {{path: {}}}}}", path("envoy")))
    });
    for front in [&nginx, &caddy, &envoy] {
        assert_judges(front, &api);
    }
    // The client is whom the proxy names, not the socket.
    let line = gateway.wait_for_line("\"door\":\"forward_auth\"");
    assert!(line.contains("\"client\":\"127.0.0.1\""), "{line}");
}

#[test]
fn forward_auth_answers_in_http2() {
    let gateway = gateway(
        "{forward_auth: [{address: 127.0.0.1:0, headers: x-original}, {address: 127.0.0.1:0, headers: x-forwarded}]}",
    );
    let authorization = format!("Authorization: Bearer {KEY}");
    for door in ["forward_auth:x-original", "forward_auth:x-forwarded"] {
        let url = format!("http://{}/", gateway.address(door));
        let ask = |lines: &[&str], more: &[&str]| {
            let lines = lines.iter().flat_map(|line| ["-H", line]);
            let options: Vec<_> = ["--http2-prior-knowledge", "-i"]
                .into_iter()
                .chain(lines)
                .chain(more.iter().copied())
                .collect();
            run::curl(&[&options[..], &[&url]].concat()).expect_success().stdout
        };
        let permitted = ask(&[&DESCRIBED[..], &[&authorization]].concat(), &[]);
        assert!(
            permitted.starts_with("HTTP/2 200") && permitted.contains("x-auth-key-id: k1"),
            "{permitted}"
        );
        let head = ask(&[&DESCRIBED[..], &[&authorization]].concat(), &["--head"]);
        assert!(head.starts_with("HTTP/2 200") && head.contains("x-auth-key-id: k1"), "{head}");
        let missing = ask(&DESCRIBED, &[]);
        assert!(missing.starts_with("HTTP/2 401") && missing.contains("key_missing"), "{missing}");
        let unclear = ask(&DESCRIBED[1..4], &[]);
        assert!(unclear.starts_with("HTTP/2 403") && unclear.contains("door_refused"), "{unclear}");
        // What would be permitted, but with a body, which has no place here.
        let lines =
            DESCRIBED.into_iter().chain([authorization.as_str()]).filter_map(|line| line.split_once(": "));
        let asked = lines.fold(Request::get(&url), |asked, (name, value)| asked.header(name, value));
        let called = grpc::exchange(gateway.address(door), asked.body(()).unwrap(), b"hi");
        assert_eq!(called.status, StatusCode::FORBIDDEN, "{:?}", called.headers);
    }
}

#[test]
fn changed_doors_are_told_and_stay_until_a_restart() {
    let before = "{forward_auth: {address: 127.0.0.1:0, headers: x-original}}";
    let mut gateway = gateway(before);
    let asked = |gateway: &Gateway, target: &str| {
        let question: String =
            DESCRIBED[..4].iter().chain(&DESCRIBED[8..]).flat_map(|line| [line, "\r\n"]).collect();
        let question = question.replace("URI: /a", &format!("URI: {target}"));
        Client::connect(gateway.address("forward_auth:x-original"))
            .exchange(format!(
                "GET / HTTP/1.1\r\nHost: keygate\r\nAuthorization: Bearer {KEY}\r\n{question}\r\n"
            ))
            .header("X-Keygate-Reason")
            .map(str::to_owned)
    };
    let refused = |code: &str| Some(code.to_owned());
    assert_eq!((asked(&gateway, "/a"), asked(&gateway, "/b")), (None, refused("not_found")));

    // The rest of the file is in force at once.
    let after = "{forward_auth: {address: 127.0.0.1:0, headers: x-original, trusted_proxies: [10.0.0.0/8]}}";
    gateway.replace("keygate.yaml", &config(after, "  - {path: /b, methods: {GET: read}}\n"));
    gateway.wait_for_line("`doors` changed; the change needs a restart, until then the old one stays");
    gateway.wait_for_line("\"revision\":2");
    assert_eq!((asked(&gateway, "/a"), asked(&gateway, "/b")), (None, None));
    assert!(!gateway.output().contains("`listen` changed"));

    gateway.restart();
    assert_eq!(asked(&gateway, "/a"), refused("door_refused"));
    let changed = fs::read_to_string(gateway.folder().join("keygate.yaml")).unwrap();
    assert!(changed.contains("10.0.0.0/8"));
}
