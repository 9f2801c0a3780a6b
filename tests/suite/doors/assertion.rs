//! Signed identity at the doors: the API behind every proxy is sent what it can verify, and nothing that a client made up.

use std::{collections::BTreeMap, path::Path, process::Command};

use keygate::keys::digest::KeyDigest;
use rcgen::{KeyPair, PKCS_ED25519};

use super::{
    front::{Between, Front},
    grpc::{self, Checked, Http},
};
use crate::harness::{
    Client, Gateway, Message, Upstream,
    run::{run, test_tool},
};

const KEY: &str = "a-key-for-the-tests-of-asserting-doors-0123";
const ISSUER: &str = "https://keys.example.com";
const OK: &str = "HTTP/1.1 200 OK\r\nX-From: api\r\nContent-Length: 2\r\n\r\nhi";

/// A gateway with all doors that signs, `assertion` beside its keys; `more` goes into the whole config.
fn gateway(assertion: &str, more: &str, projects: &str) -> Gateway {
    let config = format!(
        "version: 1\n\
         listen: {{address: 127.0.0.1:0}}\n\
         health: {{address: 127.0.0.1:0}}\n\
         admin: null\n\
         doors:\n  forward_auth:\n    \
         - {{address: 127.0.0.1:0, headers: x-original}}\n    \
         - {{address: 127.0.0.1:0, headers: x-forwarded}}\n  ext_authz:\n    \
         - {{address: 127.0.0.1:0, trusted_proxies: ['0.0.0.0/0', '::/0']}}\n    \
         - {{address: 127.0.0.1:0, protocol: http, trusted_proxies: ['0.0.0.0/0', '::/0']}}\n\
         upstreams:\n  \
         api: {{url: 'http://127.0.0.1:9'}}\n  \
         other: {{url: 'http://127.0.0.1:9', assertion: {{audience: 'https://other.example.com'}}}}\n  \
         plain: {{url: 'http://127.0.0.1:9', assertion: null}}\n\
         keys: {{file: keys.yaml}}\n\
         assertion: {{issuer: '{ISSUER}', keys: signing.pem{assertion}}}\n\
         routes:\n  \
         - {{path: '/in/{{project}}', upstream: api, project: 'path:project', methods: {{GET: read}}}}\n  \
         - {{path: /all, upstream: api, methods: {{GET: read}}, restricted_keys: [GET]}}\n  \
         - {{path: /other, upstream: other, methods: {{GET: read}}}}\n  \
         - {{path: /plain, upstream: plain, methods: {{GET: read}}}}\n  \
         - {{path: /public, upstream: api, access: public}}\n{more}"
    );
    let digest = KeyDigest::of(KEY.as_bytes()).to_text();
    let keys = format!(
        "version: 1\npeople: [{{id: ada, email: ada@example.com, role: owner}}]\nkeys:\n  \
         - {{id: k1, owner: ada, hash: '{digest}', scopes: [read], projects: {projects}, expires_at: never}}\n"
    );
    let signing = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem();
    Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &keys), ("signing.pem", &signing)])
}

/// Every proxy that runs here, between `gateway` and `api`.
fn fronts(gateway: &Gateway, api: &Upstream) -> [Front; 4] {
    let between = |door| Between { door: gateway.address(door), api: api.address() };
    [
        Front::nginx(between("forward_auth:x-original"), |site| site),
        Front::caddy(between("forward_auth:x-forwarded"), |site| site),
        Front::envoy("envoy-grpc", 8092, between("ext_authz:grpc")),
        Front::envoy("envoy-http", 8093, between("ext_authz:http")),
    ]
}

/// What the verifier of the guide says of `tokens` at the API that is called `audience`, one line for each.
fn verified(gateway: &Gateway, audience: &str, tokens: &[String]) -> Vec<serde_json::Value> {
    let url = format!("http://{}/.well-known/jwks.json", gateway.address("health"));
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/verify_assertion.py");
    let mut command = Command::new(test_tool("python"));
    command.arg(program).args([&url, ISSUER, audience]).env("NO_PROXY", "*");
    let told = run(command.env("PYTHONDONTWRITEBYTECODE", "1"), &tokens.join("\n")).expect_success();
    let claims = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    told.stdout.lines().map(claims).collect()
}

/// Every way to one verdict, as the proxies ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    XOriginal,
    XForwarded,
    Http,
    Grpc,
}

impl Way {
    const ALL: [Self; 4] = [Self::XOriginal, Self::XForwarded, Self::Http, Self::Grpc];

    /// The answer about `GET target`, sent with the key and `more`: the status for the client, and what is answered as set.
    fn ask(self, gateway: &Gateway, target: &str, more: &[(&str, &str)]) -> (u16, BTreeMap<String, String>) {
        let authorization = format!("Bearer {KEY}");
        let lines = [&[("Authorization", authorization.as_str())], more].concat();
        let family = |family: &str, uri: &str| {
            format!(
                "GET / HTTP/1.1\r\nHost: keygate\r\n{family}-Method: GET\r\n{family}-{uri}: {target}\r\n\
                 {family}-Host: api.example\r\n{family}-Proto: http\r\nX-Forwarded-For: ::1\r\n"
            )
        };
        let (door, head) = match self {
            Self::XOriginal => ("forward_auth:x-original", family("X-Original", "URI")),
            Self::XForwarded => ("forward_auth:x-forwarded", family("X-Forwarded", "Uri")),
            Self::Http => (
                "ext_authz:http",
                format!("GET {target} HTTP/1.1\r\nHost: api.example\r\nX-Forwarded-For: ::1\r\n"),
            ),
            Self::Grpc => return ask_by_grpc(gateway, target, &lines),
        };
        let lines: String = lines.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
        let answer: Message = Client::connect(gateway.address(door)).exchange(format!("{head}{lines}\r\n"));
        let status = answer.header("X-Keygate-Status").map_or(answer.status(), |told| told.parse().unwrap());
        let fields = answer.fields.into_iter();
        (status, fields.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
    }
}

fn ask_by_grpc(gateway: &Gateway, target: &str, lines: &[(&str, &str)]) -> (u16, BTreeMap<String, String>) {
    let http = Http {
        id: "1".to_owned(),
        method: "GET".to_owned(),
        headers: lines.iter().map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned())).collect(),
        path: target.to_owned(),
        host: "api.example".to_owned(),
        scheme: "http".to_owned(),
        size: -1,
        protocol: "HTTP/1.1".to_owned(),
    };
    let Checked { status, headers, remove, .. } =
        grpc::ask(gateway.address("ext_authz:grpc"), &grpc::message(http, "::1"));
    let mut told: BTreeMap<_, _> = headers.into_iter().collect();
    told.insert("x-envoy-auth-headers-to-remove".to_owned(), remove.join(","));
    (status, told)
}

/// Whether the asking proxy is told to let nothing through under `name`.
fn is_taken_away(told: &BTreeMap<String, String>, name: &str) -> bool {
    match (told.get("x-envoy-auth-headers-to-remove"), told.get(name)) {
        (Some(removed), set) => set.is_none() && removed.split(',').any(|removed| removed == name),
        (None, set) => set.is_some_and(String::is_empty),
    }
}

#[test]
fn the_api_behind_every_proxy_can_verify_who_asks() {
    let (gateway, api) = (gateway("", "", "all"), Upstream::answering(OK));
    let fronts = fronts(&gateway, &api);
    let forged = "X-Auth-Assertion: forged\r\nX-Auth-Assertion: forged twice\r\n";
    let sent = |front: &Front, path: &str, more: &str| {
        let answer =
            front.exchange(format!("GET {path} HTTP/1.1\r\nHost: api.example\r\n{more}{forged}\r\n"));
        assert_eq!((answer.status(), answer.header("X-From")), (200, Some("api")), "{path}: {answer:?}");
        let request = api.requests().pop().unwrap();
        assert!(!String::from_utf8_lossy(&request.raw).contains("forged"), "{path}: {request:?}");
        request
    };
    let bearer = format!("Authorization: Bearer {KEY}\r\n");
    let [mut own, mut other] = [Vec::new(), Vec::new()];
    for front in &fronts {
        for (path, tokens) in [("/in/alpha", &mut own), ("/other", &mut other)] {
            let request = sent(front, path, &bearer);
            let [token] = request.headers("X-Auth-Assertion")[..] else { panic!("{request:?}") };
            tokens.push(token.to_owned());
        }
        for (path, more) in [("/plain", bearer.as_str()), ("/public", "")] {
            let request = sent(front, path, more);
            assert!(request.headers("X-Auth-Assertion").iter().all(|value| value.is_empty()), "{request:?}");
        }
    }
    for (audience, tokens) in [("api", &own), ("https://other.example.com", &other)] {
        let told = verified(&gateway, audience, tokens);
        assert_eq!(told.len(), fronts.len());
        for claims in told {
            assert_eq!((&claims["sub"], &claims["key_id"]), (&"person:ada".into(), &"k1".into()), "{claims}");
            assert_eq!(claims["project"].as_str(), (audience == "api").then_some("alpha"));
        }
    }
}

#[test]
fn one_that_just_fits_goes_through_every_proxy() {
    let many: Vec<_> = (0..68).map(|number| format!("project-{number:048}")).collect();
    let (gateway, api) = (gateway("", "", &format!("[{}]", many.join(", "))), Upstream::answering(OK));
    let tokens: Vec<_> = fronts(&gateway, &api)
        .iter()
        .map(|front| {
            let key = format!("Authorization: Bearer {KEY}\r\n");
            let answer = front.exchange(format!("GET /all HTTP/1.1\r\nHost: api.example\r\n{key}\r\n"));
            assert_eq!(answer.status(), 200, "{answer:?}");
            let request = api.requests().pop().unwrap();
            assert_eq!(request.header("X-Auth-Projects"), Some(&*many.join(",")));
            request.header("X-Auth-Assertion").unwrap().to_owned()
        })
        .collect();
    assert!(tokens.iter().all(|token| token.len() > 5000));
    for claims in verified(&gateway, "api", &tokens) {
        assert_eq!(claims["projects"].as_array().unwrap().len(), many.len());
    }
}

#[test]
fn in_another_spelling_it_does_not_arrive_either() {
    let (gateway, api) = (gateway("", "", "all"), Upstream::answering(OK));
    for front in fronts(&gateway, &api) {
        for name in ["x_auth_assertion", "X-Auth.Assertion", "X-Auth-Assertion-2"] {
            front.exchange(format!("GET /public HTTP/1.1\r\nHost: api.example\r\n{name}: forged\r\n\r\n"));
        }
    }
    let arrived = api.requests();
    assert!(!arrived.is_empty(), "where it is taken away, the rest arrives");
    assert!(arrived.iter().all(|request| !String::from_utf8_lossy(&request.raw).contains("forged")));
}

#[test]
fn every_door_answers_it_each_time() {
    let gateway = gateway("", "", "all");
    let forged = [("X-Auth-Assertion", "forged")];
    for way in Way::ALL {
        for (path, audience) in [("/in/alpha", "api"), ("/other", "https://other.example.com")] {
            let (status, told) = way.ask(&gateway, path, &forged);
            assert_eq!(status, 200, "{way:?} {path}: {told:?}");
            let claims = verified(&gateway, audience, &[told["x-auth-assertion"].clone()]);
            assert_eq!(claims[0]["key_id"], "k1", "{way:?} {path}");
        }
        for path in ["/plain", "/public"] {
            let (status, told) = way.ask(&gateway, path, &forged);
            assert!(status == 200 && is_taken_away(&told, "x-auth-assertion"), "{way:?} {path}: {told:?}");
        }
    }
}

#[test]
fn under_another_name_it_is_answered_and_the_usual_one_is_nobodys() {
    let gateway = gateway(", header: X-Who-Asks", "", "all");
    for way in Way::ALL {
        let (status, told) = way.ask(&gateway, "/all", &[("X-Who-Asks", "forged")]);
        assert_eq!(status, 200, "{way:?}: {told:?}");
        assert_eq!(verified(&gateway, "api", &[told["x-who-asks"].clone()])[0]["key_id"], "k1", "{way:?}");
        let (status, told) = way.ask(&gateway, "/all", &[("X-Auth-Assertion", "forged")]);
        match way {
            // The proxy was not told to overwrite it.
            Way::XOriginal | Way::XForwarded => assert_eq!(status, 400, "{way:?}: {told:?}"),
            Way::Http | Way::Grpc => assert!(is_taken_away(&told, "x-auth-assertion"), "{way:?}: {told:?}"),
        }
    }
}

#[test]
fn one_that_does_not_fit_is_refused_and_never_cut() {
    let many: Vec<_> = (0..100).map(|number| format!("project-{number:050}")).collect();
    let nameless = "identity_headers: {names: {projects: null}}\n";
    let gateway = gateway("", nameless, &format!("[{}]", many.join(", ")));
    for way in Way::ALL {
        let (status, told) = way.ask(&gateway, "/all", &[]);
        assert_eq!((status, told.get("x-auth-assertion")), (431, None), "{way:?}: {told:?}");
    }
}
