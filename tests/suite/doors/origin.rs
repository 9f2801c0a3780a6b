//! Where a request came from, and which one it is, by the proxy's word alone: through the real proxies.

use keygate::{keys::digest::KeyDigest, policy::origin};

use super::front::{Between, Front};
use crate::harness::{Gateway, Upstream};

const KEY: &str = "a-key-for-the-tests-of-origins-0123456789";
const OK: &str = "HTTP/1.1 200 OK\r\nX-From: api\r\nContent-Length: 2\r\n\r\nhi";
const FORGED: &str = "198.51.100.66";

fn gateway() -> Gateway {
    let config = "version: 1\n\
         listen: {address: 127.0.0.1:0}\n\
         health: null\n\
         admin: null\n\
         doors:\n  forward_auth:\n    \
         - {address: 127.0.0.1:0, headers: x-original}\n    \
         - {address: 127.0.0.1:0, headers: x-forwarded}\n  ext_authz:\n    \
         - {address: 127.0.0.1:0}\n    \
         - {address: 127.0.0.1:0, protocol: http}\n\
         upstreams: {api: {url: 'http://127.0.0.1:9'}}\n\
         keys: {file: keys.yaml}\n\
         access_log: {mode: all}\n\
         routes: [{path: /public, access: public}, {path: /a, methods: {GET: read}}]\n";
    let digest = KeyDigest::of(KEY.as_bytes()).to_text();
    let keys = format!(
        "version: 1\nkeys: [{{id: k1, name: Ada, hash: '{digest}', scopes: [read], projects: all, expires_at: never}}]\n"
    );
    Gateway::start(&[("keygate.yaml", config), ("keys.yaml", &keys)])
}

/// nginx, Caddy and both flavours of Envoy.
fn fronts(gateway: &Gateway, api: &Upstream) -> [(&'static str, Front); 4] {
    let between = |door| Between { door: gateway.address(door), api: api.address() };
    [
        ("nginx", Front::nginx(between("forward_auth:x-original"), |site| site)),
        ("caddy", Front::caddy(between("forward_auth:x-forwarded"), |site| site)),
        ("envoy-grpc", Front::envoy("envoy-grpc", 8092, between("ext_authz:grpc"))),
        ("envoy-http", Front::envoy("envoy-http", 8093, between("ext_authz:http"))),
    ]
}

fn request(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: api.example\r\n{lines}\r\n")
}

#[test]
fn no_api_hears_from_a_client_where_its_request_came_from() {
    let (gateway, api) = (gateway(), Upstream::answering(OK));
    let key = format!("Authorization: Bearer {KEY}\r\n");
    for (name, front) in fronts(&gateway, &api) {
        let may_repair = name.starts_with("envoy");
        for target in ["/public", "/a"] {
            for removed in origin::REMOVED.iter().chain(&origin::WRITTEN) {
                let before = api.requests().len();
                let line = format!("{removed}: {FORGED}\r\n{key}");
                let answer = front.exchange(request(target, &line));
                let requests = api.requests();
                let Some(sent) = requests.get(before) else {
                    panic!("{name}: {removed} is refused: {answer:?}")
                };
                let told: Vec<_> = sent.fields.iter().filter(|(_, value)| value.contains(FORGED)).collect();
                // nginx and Envoy add to what other proxies have said.
                let is_list = *removed == "X-Forwarded-For" && name != "caddy";
                let is_added = |value: &str| is_list && !value.ends_with(FORGED);
                assert!(told.iter().all(|(_, value)| is_added(value)), "{name}: {removed}: {sent:?}");
            }
        }
        let other = ["X-Original-URL", "X-Original-Path", "X-Forwarded-Foo", "X_Real_IP", "x_forwarded_for"];
        for refused in origin::REFUSED.into_iter().chain(other) {
            let before = api.requests().len();
            let answer = front.exchange(request("/public", &format!("{refused}: {FORGED}\r\n")));
            let requests = api.requests();
            match requests.get(before) {
                // nginx drops names with an underscore before it asks.
                Some(sent) if may_repair || refused.contains('_') && name == "nginx" => {
                    assert!(!String::from_utf8_lossy(&sent.raw).contains(FORGED), "{name}: {sent:?}");
                }
                Some(sent) => panic!("{name}: {sent:?}"),
                None => {
                    let code = answer.json()["code"].as_str().map(str::to_owned);
                    assert_eq!(
                        (answer.status(), code.as_deref()),
                        (400, Some("bad_request")),
                        "{name}: {refused}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_client_cannot_choose_the_id_of_its_request() {
    let (gateway, api) = (gateway(), Upstream::answering(OK));
    for (name, front) in fronts(&gateway, &api) {
        let forged = format!("X-Request-Id: chosen-by-the-client-of-{name}\r\n");
        let answer = front.exchange(request("/public", &forged));
        assert_eq!(answer.status(), 200, "{name}: {answer:?}");
        let requests = api.requests();
        let sent = requests.last().unwrap();
        assert!(!String::from_utf8_lossy(&sent.raw).contains("chosen-by-the-client"), "{name}: {sent:?}");
        gateway.wait_for_line(sent.header("X-Request-Id").unwrap());
    }
    assert!(!gateway.output().contains("chosen-by-the-client"));
}

/// Where nothing is to be said, the client's own does not go on.
#[test]
fn a_forged_identity_is_overwritten_on_public_routes_too() {
    let (gateway, api) = (gateway(), Upstream::answering(OK));
    let names = ["X-Auth-User", "X-Auth-Role", "X-Auth-Key-Id", "X-Auth-Scopes", "X-Auth-Assertion"];
    let forged: String = names.iter().flat_map(|name| [*name, ": ceo\r\n"]).collect();
    for (name, front) in fronts(&gateway, &api) {
        for (target, lines) in [
            ("/public", forged.clone()),
            ("/public", format!("{forged}Authorization: Bearer {KEY}\r\n")),
            ("/a", format!("{forged}Authorization: Bearer {KEY}\r\n")),
        ] {
            assert_eq!(front.exchange(request(target, &lines)).status(), 200, "{name}");
            let requests = api.requests();
            let raw = String::from_utf8_lossy(&requests.last().unwrap().raw);
            assert!(!raw.contains("ceo") && !raw.contains(KEY) && !raw.contains("{http."), "{name}: {raw}");
        }
    }
}
