//! `check` and `explain` as an operator runs them: what they say, where, and with which exit code.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::run::{self, Run};

const CONFIG: &str = "version: 1
listen: {address: 127.0.0.1:0}
upstreams:
  api: {url: http://127.0.0.1:9, set_headers: {X-Backend-Token: very-hidden}}
keys: {file: keys.yaml}
routes:
  - {path: /healthz, access: public}
  - {path: /admin, methods: {GET: admin}}
  - path: /p/{project}/{*rest}
    project: path:project
    methods: {GET: read, '*': write}
  - {path: '/{*rest}', methods: {GET: read, '*': write}}
";

const KEYS: &str = "version: 1
people: [{id: ada, email: ada@example.com, role: viewer, projects: [alpha]}]
keys:
  - id: ci
    name: CI
    owner: ada
    # of `secret-of-ci`
    hash: sha256:HASH_CI
    scopes: [write]
    projects: [alpha, beta]
    expires_at: never
  - id: old
    hash: sha256:2222222222222222222222222222222222222222222222222222222222222222
    scopes: [admin]
    projects: all
    expires_at: never
    revoked_at: 2026-01-02T03:04:05Z
";

/// A folder with a set-up.
struct SetUp(TempDir);

impl SetUp {
    fn new() -> Self {
        let set_up = Self(tempfile::tempdir().unwrap());
        set_up.write("keygate.yaml", CONFIG).write("keys.yaml", &keys());
        set_up
    }

    fn write(&self, name: &str, content: &str) -> &Self {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn keygate(&self, arguments: &[&str]) -> Run {
        run::keygate(self.path(), arguments, "")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.keygate(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }
}

fn keys() -> String {
    let digest = keygate::keys::digest::KeyDigest::of(b"secret-of-ci").to_text();
    KEYS.replace("sha256:HASH_CI", &digest)
}

#[test]
fn a_sound_set_up_is_summed_up_in_a_line() {
    let answer = SetUp::new().keygate(&["check"]).expect_success();
    assert_eq!(
        answer.stdout,
        "ok: 4 routes, 1 upstream, 1 listener, 2 keys and 1 person in 1 key file; 0 warnings\n"
    );
    assert_eq!(answer.stderr, "");
}

#[test]
fn everything_wrong_is_told_in_one_run_with_place_and_remedy() {
    let set_up = SetUp::new();
    let wrong = CONFIG.replace("GET: admin", "GET: amdin").replace("version: 1", "version: 2");
    set_up.write("keygate.yaml", &wrong).write("keys.yaml", &keys().replace("role: viewer", "role: king"));
    let answer = set_up.keygate(&["check"]);
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""));
    for place in ["keygate.yaml:1:10: ", "keygate.yaml:8:35: ", "keys.yaml:2:50: "] {
        let line = answer.stderr.lines().find(|line| line.starts_with(place));
        assert!(line.is_some_and(|line| line.contains("; ")), "{place} in {}", answer.stderr);
    }
}

#[test]
fn certificates_are_read_and_matched_with_their_keys() {
    let set_up = SetUp::new();
    let [one, other] =
        [(); 2].map(|()| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
    let tls = |key: &str| {
        CONFIG.replace(
            "127.0.0.1:0",
            &format!("127.0.0.1:0, tls: {{certificate: cert.pem, private_key: {key}}}"),
        )
    };
    set_up.write("cert.pem", &one.cert.pem()).write("key.pem", &one.signing_key.serialize_pem());
    set_up.write("other.pem", &other.signing_key.serialize_pem());
    for (key, expected) in
        [("key.pem", None), ("other.pem", Some("does not belong")), ("gone.pem", Some("gone.pem"))]
    {
        let answer = set_up.write("keygate.yaml", &tls(key)).keygate(&["check"]);
        match expected {
            None => drop(answer.expect_success()),
            Some(words) => {
                assert_eq!(answer.code, Some(2));
                assert!(answer.stderr.contains(words), "{}", answer.stderr);
            }
        }
    }
}

#[test]
fn exposed_key_files_are_warned_about() {
    let set_up = SetUp::new();
    fs::set_permissions(set_up.path().join("keys.yaml"), fs::Permissions::from_mode(0o664)).unwrap();
    let answer = set_up.keygate(&["check"]).expect_success();
    assert_eq!(answer.stderr.matches("warning: keys.yaml: ").count(), 2, "{}", answer.stderr);
}

#[test]
fn keys_that_manage_without_effect_are_warned_about() {
    let set_up = SetUp::new();
    set_up.write("keys.yaml", &keys().replace("scopes: [write]", "scopes: ['keygate:manage']"));
    let answer = set_up.keygate(&["check"]).expect_success();
    let warning = "warning: keys.yaml:4:5: the key ci belongs to ada, who is viewer, so that keygate:manage has no effect";
    assert!(answer.stderr.starts_with(warning), "{}", answer.stderr);
    let keys = keys().replace("scopes: [write]", "scopes: [write, 'keygate:manage']");
    set_up.write("keys.yaml", &keys.replace("role: viewer", "role: admin"));
    assert_eq!(set_up.keygate(&["check"]).expect_success().stderr, "");
}

#[test]
fn a_comparison_tells_what_is_looser_stricter_gone_and_undone() {
    let set_up = SetUp::new();
    set_up.write("old/keygate.yaml", CONFIG).write("old/keys.yaml", &keys());
    let unchanged = set_up.keygate(&["check", "--against", "old/keygate.yaml"]).expect_success();
    assert_eq!(unchanged.stderr, "");
    let new = CONFIG
        .replace("  - {path: /admin, methods: {GET: admin}}\n", "")
        .replace("methods: {GET: read, '*': write}\n  -", "methods: {GET: read, '*': admin}\n  -")
        .replace("/healthz, access: public", "/healthz, methods: {GET: read}");
    set_up.write("keygate.yaml", &new);
    set_up.write("keys.yaml", &keys().replace("    revoked_at: 2026-01-02T03:04:05Z\n", ""));
    let answer = set_up.keygate(&["check", "--against", "old/keygate.yaml"]).expect_success();
    for words in [
        "the route /admin is served by /{*rest} instead of /admin",
        "is looser for GET: admin+read+write before, read now",
        "the route /p/{project}/{*rest} is stricter for",
        "the route /healthz is stricter for",
        "the key old was revoked on 2026-01-02T03:04:05Z, and this file takes that back",
    ] {
        assert!(answer.stderr.contains(words), "{words:?} in\n{}", answer.stderr);
    }
}

#[test]
fn an_explanation_says_what_who_and_why() {
    let set_up = SetUp::new();
    let explain = |more: &[&str]| set_up.json(&[&["explain"], more].concat());
    let shown = explain(&["--key-id", "ci", "GET", "/p/alpha/tests"]);
    assert_eq!((&shown["row"], &shown["code"]), (&13.into(), &"forwarded".into()));
    assert_eq!(shown["route"]["pattern"], "/p/{project}/{*rest}");
    assert_eq!(shown["key"]["granted"], serde_json::json!(["read", "write"]));
    assert_eq!(shown["key"]["effective"], serde_json::json!(["read"]));
    assert_eq!(shown["key"]["projects"], serde_json::json!(["alpha"]));
    assert!(shown["forwarded"]["identity"].to_string().contains("X-Auth-Project\",\"alpha"));
    assert!(!shown.to_string().contains("very-hidden"));

    let capped = explain(&["--key-id", "ci", "PUT", "/p/alpha/tests"]);
    assert_eq!((&capped["row"], &capped["route"]["needs"]), (&12.into(), &"write".into()));
    let unseen = explain(&["--key-id", "ci", "GET", "/p/beta/tests"]);
    assert_eq!((&unseen["row"], &unseen["project"]["visible"]), (&10.into(), &false.into()));
    assert_eq!(unseen["project"]["because"], "the owner does not see it");
    let folded = explain(&["--key-id", "ci", "GET", "/x/%2570/alpha/tests"]);
    assert_eq!((&folded["row"], &folded["path"]["folded"]), (&10.into(), &"/x/p/alpha/tests".into()));
    let split = explain(&["--key-id", "ci", "GET", "/%61dmin"]);
    assert_eq!((&split["row"], &split["path"]["agree"]), (&9.into(), &false.into()));
    assert_eq!(split["path"]["folded_route"], "/admin");
    let revoked = explain(&["--key-id", "old", "GET", "/"]);
    assert_eq!((&revoked["row"], &revoked["code"]), (&7.into(), &"key_revoked".into()));

    let words = set_up.keygate(&["explain", "--anonymous", "GET", "/healthz"]).expect_success();
    assert!(words.stdout.contains("forward to the upstream api (row 3)"), "{}", words.stdout);
    assert!(words.stdout.contains("/healthz (keygate.yaml:7)"), "{}", words.stdout);
}

#[test]
fn a_secret_comes_by_standard_input_and_never_as_an_argument() {
    let set_up = SetUp::new();
    let ask =
        |input: &str| run::keygate(set_up.path(), &["explain", "--key-stdin", "GET", "/p/alpha/x"], input);
    assert!(ask("secret-of-ci\n").expect_success().stdout.contains("row 13"));
    assert!(ask("secret-of-nobody").expect_success().stdout.contains("key_unknown (row 6)"));
    assert_eq!(ask("").code, Some(2));
    let header = ["explain", "--anonymous", "GET", "/", "--header", "Authorization: Bearer secret-of-ci"];
    let refused = set_up.keygate(&header);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("standard input") && !refused.stderr.contains("secret-of-ci"));
    let unknown = set_up.keygate(&["explain", "--key-id", "nobody", "GET", "/"]);
    assert_eq!(unknown.code, Some(2));
}

#[test]
fn cases_pass_fail_with_their_place_or_are_wrong() {
    let set_up = SetUp::new();
    let test = |cases: &str| set_up.write("cases.yaml", cases).keygate(&["test", "cases.yaml"]);
    let good = "version: 1
cases:
  - {request: GET /p/alpha/x, key: ci, expect: {code: forwarded, row: 13, project: alpha, scope: read}}
  - {request: GET /p/alpha/x, secret: secret-of-ci, expect: forwarded}
  - {request: GET /nowhere, expect: {status: 401, code: key_missing, row: 4}}
  - request: {method: GET, target: /healthz, headers: {Host: [a, b]}, host: null}
    expect: {status: 400, row: 1}
";
    let passed = test(good).expect_success();
    assert_eq!(passed.stdout, "ok: 4 cases decided as expected\n");
    let failed = test(&good.replace("row: 13", "row: 12"));
    assert_eq!(failed.code, Some(1));
    let line = "cases.yaml:3:5: GET /p/alpha/x: expected row \"12\", got \"13\"";
    assert!(failed.stderr.starts_with(line), "{}", failed.stderr);
    let hostile = test("version: 1\ncases: [{name: \"\\e[2J\\u202E\", request: GET /, expect: forwarded}]\n");
    assert_eq!(hostile.code, Some(1));
    assert!(hostile.stderr.contains("\\u{1b}[2J\\u{202e}: expected code"), "{}", hostile.stderr);
    let wrong = test(&good.replace("expect: forwarded", "expects: forwarded"));
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("cases.yaml:4:"), "{}", wrong.stderr);
}

#[test]
fn a_secret_is_hashed_without_being_shown() {
    let folder = tempfile::tempdir().unwrap();
    let hash = |arguments: &[&str], input: &str| {
        run::keygate(folder.path(), &[&["keys", "hash"], arguments].concat(), input)
    };
    let abc = hash(&[], "abc\n").expect_success();
    // FIPS 180-2, appendix B.1.
    assert_eq!(abc.stdout, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n");
    assert!(abc.stderr.contains("bits of entropy") && !abc.stderr.contains("abc"));
    let cut = hash(&[], "kg_live_4eC39HqLyjWDarjtT1zdp7dc").expect_success();
    assert!(cut.stderr.contains("looks truncated: 32 of 48"), "{}", cut.stderr);
    let strong = hash(&[], "f47ac10b-58cc-4372-a567-0e02b2c3d479").expect_success();
    assert_eq!(strong.stderr, "");
    let argument = hash(&["kg_live_4eC39HqLyjWDarjtT1zdp7dc"], "");
    assert_eq!((argument.code, argument.stdout.as_str()), (Some(2), ""));
    assert!(argument.stderr.contains("standard input") && !argument.stderr.contains("4eC39"));
    assert_eq!(hash(&[], "two words").code, Some(2));
}

#[test]
fn schemas_and_completions_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let keygate = |arguments: &[&str]| run::keygate(folder.path(), arguments, "").expect_success().stdout;
    for (of, field) in [("config", "routes"), ("keys", "people"), ("cases", "cases")] {
        let schema: Value = serde_json::from_str(&keygate(&["schema", of])).unwrap();
        assert!(schema["properties"][field].is_object(), "{of}: {schema}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(keygate(&["completions", shell]).contains("explain"), "{shell}");
    }
}

#[test]
fn arguments_that_nobody_takes_are_told_what_was_meant() {
    let set_up = SetUp::new();
    set_up.write("wrong.yaml", &CONFIG.replace("methods: {GET: admin}", "methods: {GET: amdin}"));
    set_up.write("scanned", "nothing");
    let file_alone = "name it by --file alone";
    for (arguments, told, untold) in [
        (&["serve", "keygate.yaml"][..], "a configuration is named by '--config keygate.yaml'", "\u{1b}"),
        (&["keys", "list", "keygate.yaml"], "a configuration is named by '--config keygate.yaml'", "\u{1b}"),
        (&["healthcheck", "keygate.yaml"], "unexpected argument", "--config"),
        (&["healthcheck", "--address", "127.0.0.1"], "the port is missing; write 127.0.0.1:8082", "syntax"),
        (&["healthcheck", "--address", "http://a/"], "write an IP address and a port", "syntax"),
        (&["keys", "list", "--config", "wrong.yaml"], file_alone, "\u{1b}"),
        (&["keys", "list", "--config", "wrong.yaml", "--database", "sqlite:keys.db"], "amdin", file_alone),
        (&["scan", "--config", "wrong.yaml", "scanned"], "amdin", file_alone),
        (&["keys", "create", "--name", "a", "--scope", "read"], "--all-projects", "\u{1b}"),
    ] {
        let run = set_up.keygate(arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(told) && !run.stderr.contains(untold), "{arguments:?}: {}", run.stderr);
    }
}
