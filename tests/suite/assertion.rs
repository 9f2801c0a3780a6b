//! Signed identity: what upstreams are sent, what they verify it with, and what they refuse.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use keygate::{
    assertion::{
        Assertions, Subject,
        key::{SigningKey, SigningKeys},
    },
    keys::digest::KeyDigest,
    policy::{
        principal::{KeyIdText, Principal},
        project::{ProjectSet, VisibleProjects},
        scope::Scopes,
    },
};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};
use serde_json::{Value, json};

use crate::harness::{
    Client, Gateway, Message, Upstream,
    run::{keygate, run, test_tool},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const ISSUER: &str = "https://keys.example.com";
const SECRET: &str = "ci-0123456789abcdefghijklmnopqrstuvwxyz";
const BARE: &str = "bare-0123456789abcdefghijklmnopqrstuvwxyz";

fn new_key(algorithm: &'static SignatureAlgorithm) -> String {
    KeyPair::generate_for(algorithm).unwrap().serialize_pem()
}

fn hash(secret: &str) -> String {
    KeyDigest::of(secret.as_bytes()).to_text()
}

/// A key of ada called `name`, and one without owner that sees `projects`.
fn keys(name: &str, projects: &str) -> String {
    format!(
        "version: 1\npeople: [{{id: ada, email: ada@example.com, role: member}}]\nkeys:\n  \
         - {{id: ci, name: {name}, owner: ada, hash: '{}', scopes: [admin], projects: all, expires_at: never}}\n  \
         - {{id: bare, hash: '{}', scopes: [read], projects: {projects}, expires_at: never}}\n",
        hash(SECRET),
        hash(BARE)
    )
}

/// Upstreams `api`, `other` with an audience of its own, and `plain`, which is told nothing.
fn config(upstream: &str, files: &str, more: &str) -> String {
    format!(
        "version: 1\nlisten: {{address: '127.0.0.1:0'}}\nhealth: {{address: '127.0.0.1:0'}}\n\
         admin: {{address: '127.0.0.1:0'}}\nkeys: {{file: keys.yaml}}\nupstreams:\n  api: {{url: '{upstream}'}}\n  \
         other: {{url: '{upstream}', assertion: {{audience: 'https://other.example.com'}}}}\n  \
         plain: {{url: '{upstream}', assertion: null}}\nassertion: {{issuer: '{ISSUER}', keys: {files}}}\n{more}\nroutes:\n  \
         - {{path: '/in/{{project}}', upstream: api, project: 'path:project', methods: {{'*': read}}}}\n  \
         - {{path: '/all', upstream: api, methods: {{'*': read}}, restricted_keys: [GET]}}\n  \
         - {{path: '/other', upstream: other, methods: {{'*': read}}}}\n  \
         - {{path: '/plain', upstream: plain, methods: {{'*': read}}}}\n  \
         - {{path: '/public', upstream: api, access: public}}\n"
    )
}

struct SetUp {
    // Dropped before the upstream, whose connections end with it.
    gate: Gateway,
    upstream: Upstream,
}

impl SetUp {
    /// With a signing key of `algorithm` in `first.pem`.
    fn new(algorithm: &'static SignatureAlgorithm) -> Self {
        Self::with(algorithm, "first.pem", &keys("CI", "[alpha]"), "")
    }

    fn with(algorithm: &'static SignatureAlgorithm, files: &str, keys: &str, more: &str) -> Self {
        let upstream = Upstream::answering(OK);
        let gate = Gateway::start(&[
            ("keygate.yaml", &config(&upstream.url(), files, more)),
            ("keys.yaml", keys),
            ("first.pem", &new_key(algorithm)),
        ]);
        Self { gate, upstream }
    }

    fn ask(&self, path: &str, secret: &str, more: &str) -> Message {
        let credential = format!("Authorization: Bearer {secret}\r\n");
        let credential = if secret.is_empty() { "" } else { &credential };
        self.gate.connect().exchange(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{credential}{more}\r\n"))
    }

    /// What the upstream was sent for a request.
    fn sent(&self, path: &str, secret: &str, more: &str) -> Message {
        assert_eq!(self.ask(path, secret, more).status(), 200, "{path}");
        self.upstream.requests().pop().unwrap()
    }

    /// The assertion that the upstream was sent for a request.
    fn assertion(&self, path: &str, secret: &str) -> String {
        self.sent(path, secret, "").header("X-Auth-Assertion").unwrap().to_owned()
    }

    fn published(&self, listener: &str) -> Message {
        get(&self.gate, listener)
    }

    fn key_set(&self) -> Value {
        self.published("health").json()
    }
}

fn get(gate: &Gateway, listener: &str) -> Message {
    let address = gate.address(listener);
    Client::connect(address).exchange(format!(
        "GET /.well-known/jwks.json HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    ))
}

/// The part number `at` of a token, decoded.
fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn kid(token: &str) -> String {
    part(token, 0)["kid"].as_str().unwrap().to_owned()
}

fn kids(key_set: &Value) -> Vec<&str> {
    key_set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect()
}

#[test]
fn each_upstream_is_told_who_asks_and_whom_it_is_told() {
    let set_up = SetUp::new(&PKCS_ED25519);
    let claims = part(&set_up.assertion("/in/alpha", SECRET), 1);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
    for (claim, expected) in [
        ("iss", json!(ISSUER)),
        ("aud", json!("api")),
        ("sub", json!("person:ada")),
        ("key_id", json!("ci")),
        ("key_name", json!("CI")),
        ("email", json!("ada@example.com")),
        ("role", json!("member")),
        ("org", json!("default")),
        ("scope", json!("read write")),
        ("projects", json!(["*"])),
        ("project", json!("alpha")),
        ("nbf", claims["iat"].clone()),
    ] {
        assert_eq!(claims[claim], expected, "{claim}");
    }
    let bare = part(&set_up.assertion("/all", BARE), 1);
    assert_eq!((&bare["sub"], &bare["projects"]), (&json!("key:bare"), &json!(["alpha"])));
    assert_eq!(part(&set_up.assertion("/other", SECRET), 1)["aud"], "https://other.example.com");
    assert_eq!(set_up.sent("/plain", SECRET, "").header("X-Auth-Assertion"), None);
    assert_eq!(set_up.sent("/public", "", "").header("X-Auth-Assertion"), None);
}

#[test]
fn what_a_client_asserts_of_itself_never_arrives() {
    let set_up = SetUp::new(&PKCS_ED25519);
    let forged = "X-Auth-Assertion: forged\r\nx_auth_assertion: forged\r\nX.Auth.Assertion: forged\r\n\
                  X-Auth-Assertion-Key: forged\r\n";
    for (path, secret) in [("/all", SECRET), ("/plain", SECRET), ("/public", "")] {
        let sent = set_up.sent(path, secret, forged);
        assert!(!String::from_utf8_lossy(&sent.raw).contains("forged"), "{sent:?}");
    }
    // Nor where this gateway signs nothing at all.
    let upstream = Upstream::answering(OK);
    let gate = crate::fixture::gateway(&upstream);
    gate.connect().exchange(crate::fixture::request("GET /any/a", &["X-Auth-Assertion: forged"], ""));
    assert!(!String::from_utf8_lossy(&upstream.wait_for_requests(1)[0].raw).contains("forged"));
}

#[test]
fn the_header_may_have_another_name() {
    let upstream = Upstream::answering(OK);
    let config = config(&upstream.url(), "first.pem, header: X-Who-Asks, lifetime: 5m", "");
    let files = [
        ("keygate.yaml", &*config),
        ("keys.yaml", &keys("CI", "all")),
        ("first.pem", &new_key(&PKCS_ED25519)),
    ];
    let set_up = SetUp { gate: Gateway::start(&files), upstream };
    let sent = set_up.sent("/all", SECRET, "x-who-asks: forged\r\n");
    let claims = part(sent.header("X-Who-Asks").unwrap(), 1);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
}

#[test]
fn one_assertion_is_sent_until_something_changes() {
    // No two signatures of ES256 are alike, so that what is alike was signed once.
    let set_up = SetUp::with(&PKCS_ECDSA_P256_SHA256, "first.pem", &keys("CI", "[alpha]"), "workers: 1");
    let first = set_up.assertion("/in/alpha", SECRET);
    assert_eq!(set_up.assertion("/in/alpha", SECRET), first);
    for (path, secret) in [("/in/beta", SECRET), ("/all", SECRET), ("/other", SECRET), ("/in/alpha", BARE)] {
        assert_ne!(set_up.assertion(path, secret), first, "{path}");
    }
    set_up.gate.replace("keys.yaml", &keys("Renamed", "[alpha]"));
    set_up.gate.wait_for_line("\"revision\":2");
    let renamed = set_up.assertion("/in/alpha", SECRET);
    assert_eq!(part(&renamed, 1)["key_name"], "Renamed");
}

#[test]
fn public_keys_are_published_on_both_listeners() {
    let set_up = SetUp::new(&PKCS_ECDSA_P256_SHA256);
    let (health, admin) = (set_up.published("health"), set_up.published("admin"));
    for answer in [&health, &admin] {
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("Content-Type"), Some("application/jwk-set+json"));
        assert_eq!(answer.header("Cache-Control"), Some("public, max-age=300"));
    }
    assert_eq!(health.body, admin.body);
    let key = &health.json()["keys"][0];
    let members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = ["kty", "crv", "x", "y", "use", "alg", "kid"];
    expected.sort_unstable();
    assert_eq!(
        {
            let mut members = members;
            members.sort_unstable();
            members
        },
        expected
    );
    assert_eq!(key["kid"], kid(&set_up.assertion("/all", SECRET)));
}

#[test]
fn without_keys_nothing_is_published() {
    let upstream = Upstream::answering(OK);
    let config = crate::fixture::config(&upstream.url(), "", "", "")
        .replace("health: null", "health: {address: '127.0.0.1:0'}")
        .replace("admin: null", "admin: {address: '127.0.0.1:0'}");
    let gate = Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &crate::fixture::keys())]);
    for listener in ["health", "admin"] {
        assert_eq!(get(&gate, listener).status(), 404, "{listener}");
    }
}

#[test]
fn keys_are_rotated_without_a_restart() {
    let set_up = SetUp::new(&PKCS_ED25519);
    let write = |files: &str| {
        set_up.gate.replace("keygate.yaml", &config(&set_up.upstream.url(), files, ""));
    };
    let old = kid(&set_up.assertion("/all", SECRET));
    set_up.gate.replace("second.pem", &new_key(&PKCS_ECDSA_P256_SHA256));

    write("[first.pem, second.pem]");
    set_up.gate.wait_for_line("\"revision\":2");
    let published = set_up.key_set();
    assert_eq!((kids(&published)[0], kids(&published).len()), (&*old, 2));
    assert_eq!(kid(&set_up.assertion("/all", SECRET)), old, "known before it signs");

    write("[second.pem, first.pem]");
    set_up.gate.wait_for_line("\"revision\":3");
    let new = kid(&set_up.assertion("/all", SECRET));
    assert_eq!(kids(&set_up.key_set()), [&*new, &*old]);

    // What cannot sign is not taken, and nothing else of that config either.
    set_up.gate.replace("second.pem", "no key");
    set_up.gate.wait_for_line("the file holds no private key");
    assert_eq!(kid(&set_up.assertion("/all", SECRET)), new);
    assert_eq!(kids(&set_up.key_set()), [&*new, &*old]);

    set_up.gate.replace("second.pem", &new_key(&PKCS_ED25519));
    set_up.gate.wait_for_line("\"revision\":4");
    let newest = kid(&set_up.assertion("/all", SECRET));
    assert!(newest != new && newest != old);
}

#[test]
fn what_is_too_large_is_refused() {
    let many: Vec<_> = (0..100).map(|number| format!("project-{number:050}")).collect();
    let keys = keys("CI", &format!("[{}]", many.join(", ")));
    let nameless = "identity_headers: {names: {projects: null}}";
    let set_up = SetUp::with(&PKCS_ED25519, "first.pem", &keys, nameless);
    let refused = set_up.ask("/all", BARE, "");
    assert_eq!((refused.status(), &refused.json()["code"]), (431, &json!("headers_too_large")));
    assert!(set_up.upstream.requests().is_empty());
}

#[test]
fn check_tells_what_is_wrong_with_keys() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        fs::write(folder.path().join(name), text).unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let key = new_key(&PKCS_ED25519);
    write("keys.yaml", &keys("CI", "all"), 0o600);
    write("good.pem", &key, 0o600);
    write("same.pem", &key, 0o600);
    write("readable.pem", &new_key(&PKCS_ED25519), 0o604);
    write("writable.pem", &new_key(&PKCS_ED25519), 0o606);
    write("group.pem", &new_key(&PKCS_ED25519), 0o660);
    write("empty.pem", "", 0o600);
    for (files, more, code, expected) in [
        ("good.pem", "", 0, "ok: "),
        ("readable.pem", "", 0, "everybody on this machine may read this private key"),
        ("writable.pem", "", 2, "others may put their own key in the place of this one"),
        ("group.pem", "", 0, "its group may write this private key"),
        ("group.pem", "strict_permissions: true", 2, "its group may write this private key"),
        ("empty.pem", "", 2, "the file holds no private key of the form PKCS #8"),
        ("absent.pem", "", 2, "the file is not there"),
        ("[good.pem, same.pem]", "", 2, "this key is listed twice"),
        ("[]", "", 2, "the list must name 1 to 8 keys"),
        ("good.pem, lifetime: 1h", "", 2, "too large"),
        ("good.pem, header: X-Auth-User", "", 2, "an identity header has the name"),
        ("good.pem, header: Content-Type", "", 2, "means something else than identity"),
        ("good.pem, header: X-Keygate-Status", "", 2, "means something else than identity"),
        (
            "good.pem",
            "identity_headers: {names: {user: x-auth-assertion}}",
            2,
            "\"x-auth-assertion\" is for signed identity",
        ),
        ("good.pem, header: X-Who-Asks", "forward_headers: [X_Who_Asks]", 2, "that only the gateway sets"),
    ] {
        write("keygate.yaml", &config("http://127.0.0.1:9", files, more), 0o600);
        let checked = keygate(folder.path(), &["check"], "");
        let told = format!("{}{}", checked.stdout, checked.stderr);
        assert_eq!(checked.code, Some(code), "{files}: {told}");
        assert!(told.contains(expected), "{files}: {told}");
        assert!(key.lines().nth(1).is_some_and(|secret| !told.contains(secret)), "{told}");
    }
    let config = config("http://127.0.0.1:9", "good.pem", "");
    let nothing_signs = config.lines().filter(|line| !line.starts_with("assertion:")).collect::<Vec<_>>();
    write("keygate.yaml", &nothing_signs.join("\n"), 0o600);
    let checked = keygate(folder.path(), &["check"], "");
    assert!(checked.stderr.contains("the upstream has an audience, but nothing signs"), "{checked:?}");
}

/// A token that the key in `pem` signed for `audience` so long ago.
fn signed(pem: &str, audience: &str, ago: SignedDuration) -> String {
    let keys = SigningKeys::new(SigningKey::from_pem(pem.as_bytes()).unwrap(), &[]);
    let assertions = Assertions {
        header: "X-Auth-Assertion".into(),
        issuer: ISSUER.into(),
        audiences: Vec::new(),
        lifetime_seconds: 60,
        keys,
    };
    let (all, scopes) = (ProjectSet::All, Scopes::default());
    let projects = VisibleProjects { key: &all, owner: &all, organization: &all, is_sole_organization: true };
    let principal = Principal {
        key_id: KeyIdText::from("ci").unwrap(),
        key_name: "",
        organization: "default",
        owner: None,
        scopes: scopes.get("read").unwrap(),
        projects,
    };
    let subject = Subject { principal: &principal, scopes: &scopes, project: None, ends_at: None };
    assertions.assert(audience, &subject, Timestamp::now() - ago).unwrap().token.into()
}

/// What both examples must say of tokens, by line.
fn tokens(set_up: &SetUp, pem: &str) -> Vec<(String, &'static str, &'static str)> {
    let good = set_up.assertion("/in/alpha", SECRET);
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut raised = part(&good, 1);
    raised["role"] = "owner".into();
    let none = encode(&json!({ "alg": "none", "typ": "JWT", "kid": kid(&good) }));
    vec![
        (good.clone(), "person:ada", "person:ada"),
        (
            signed(pem, "api", SignedDuration::from_mins(10)),
            "refused: ExpiredSignatureError",
            "refused: ERR_JWT_EXPIRED",
        ),
        (
            signed(pem, "another", SignedDuration::ZERO),
            "; aud is 'another', not 'api'",
            "; aud is \"another\", not \"api\"",
        ),
        (format!("{none}.{claims}."), "refused: InvalidAlgorithmError", "refused: ERR_JOSE_ALG_NOT_ALLOWED"),
        (
            format!("{header}.{}.{signature}", encode(&raised)),
            "refused: InvalidSignatureError",
            "refused: ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
        ),
        (
            signed(&new_key(&PKCS_ED25519), "api", SignedDuration::ZERO),
            "refused: PyJWKClientError",
            "refused: ERR_JWKS_NO_MATCHING_KEY",
        ),
    ]
}

#[test]
fn the_examples_accept_what_the_gateway_signs_and_nothing_else() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
    // Node looks for packages beside the program.
    let node = tempfile::tempdir().unwrap();
    let program = node.path().join("verify_assertion.mjs");
    fs::copy(examples.join("verify_assertion.mjs"), &program).unwrap();
    std::os::unix::fs::symlink(test_tool("example-modules"), node.path().join("node_modules")).unwrap();
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256] {
        let set_up = SetUp::new(algorithm);
        let pem = fs::read_to_string(set_up.gate.folder().join("first.pem")).unwrap();
        let url = format!("http://{}/.well-known/jwks.json", set_up.gate.address("health"));
        let expected = tokens(&set_up, &pem);
        let input = expected.iter().map(|(token, ..)| token.as_str()).collect::<Vec<_>>().join("\n");

        let mut command = Command::new(test_tool("python"));
        command.arg(examples.join("verify_assertion.py")).args([&url, ISSUER, "api"]).env("NO_PROXY", "*");
        let python = run(command.env("PYTHONDONTWRITEBYTECODE", "1"), &input).expect_success();
        let mut command = Command::new("node");
        let node = run(command.arg(&program).args([&url, ISSUER, "api"]), &input).expect_success();
        let told = python.stdout.lines().zip(node.stdout.lines()).collect::<Vec<_>>();
        assert_eq!(told.len(), expected.len(), "{python:?} {node:?}");
        for ((by_python, by_node), (token, python_says, node_says)) in told.iter().zip(&expected) {
            assert!(by_python.contains(python_says), "{token}: {by_python}, not {python_says}");
            assert!(by_node.contains(node_says), "{token}: {by_node}, not {node_says}");
        }
        let nowhere = "http://127.0.0.1:1/jwks.json";
        let mut command = Command::new(test_tool("python"));
        command.arg(examples.join("verify_assertion.py")).args([nowhere, ISSUER, "api"]).env("NO_PROXY", "*");
        let python = run(command.env("PYTHONDONTWRITEBYTECODE", "1"), &expected[0].0).expect_success();
        let mut command = Command::new("node");
        let node = run(command.arg(&program).args([nowhere, ISSUER, "api"]), &expected[0].0).expect_success();
        for told in [python.stdout, node.stdout] {
            assert!(told.starts_with("not verified, as there are no public keys: "), "{told}");
        }
    }
}

#[test]
fn keys_made_by_openssl_sign() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    for algorithm in
        [&["-algorithm", "ed25519"][..], &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]]
    {
        let mut command = Command::new("openssl");
        run(command.arg("genpkey").args(algorithm).arg("-out").arg(&file), "").expect_success();
        SigningKey::from_pem(&fs::read(&file).unwrap()).unwrap();
    }
}
