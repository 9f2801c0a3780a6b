//! People at the console, in a real browser: each flow of `tests/browser`, where keys live in SQLite, in PostgreSQL and in
//! files. `tests/browser/README.md` tells how.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use keygate::keys::digest::KeyDigest;
use serde_json::{Value, json};

use crate::harness::{
    Gateway, Upstream,
    run::{keygate, run, test_tool},
};

/// The flows of people who sign in with a password, each on both databases.
macro_rules! flows {
    ($($flow:ident)*) => {
        const FLOWS: &[&str] = &[$(stringify!($flow)),*];

        mod sqlite {
            $(#[test]
            fn $flow() {
                super::on_database(stringify!($flow), "sqlite:keygate.db");
            })*
        }

        mod postgres {
            $(#[test]
            fn $flow() {
                let server = crate::harness::Postgres::start();
                super::on_database(stringify!($flow), &server.create_database());
            })*
        }
    };
}

flows! {
    demotion double_submit every_page explain first_owner hostile_text key_life keyboard lost_connection members
    other_origins rotate search sign_in sign_out_everywhere stale_edit without_javascript
}

/// Where keys are files.
const FILE_MODE: &str = "file_mode";
/// Of `keygate demo`.
const NEWCOMER: &str = "newcomer";
/// They are no secrets.
const MANAGE: &str = "manage-0123456789abcdefghijklmnopqrstu";
const READER: &str = "reader-0123456789abcdefghijklmnopqrstu";

#[test]
fn file_mode() {
    let digest = |secret: &str| KeyDigest::of(secret.as_bytes()).to_text();
    let keys = format!(
        "version: 1
people:
  - {{id: ada, email: ada@example.com, role: owner, projects: all}}
keys:
  - {{id: console, name: console, owner: ada, hash: '{}', scopes: ['keygate:manage'], projects: all, expires_at: never}}
  - {{id: backup, name: nightly backup, owner: ada, hash: '{}', scopes: [read], projects: all, expires_at: never}}
",
        digest(MANAGE),
        digest(READER)
    );
    let upstream = upstream();
    let gate =
        Gateway::start(&[("keygate.yaml", &config(&upstream, "file: keys.yaml")), ("keys.yaml", &keys)]);
    let reader = json!({"id": "backup", "name": "nightly backup", "secret": READER});
    visit_gateway(FILE_MODE, &gate, &json!({"manage_key": MANAGE, "reader": reader}));
}

#[test]
fn newcomer() {
    let place = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(place.path());
    let (console, link, gateway) =
        (demo.address("console"), demo.address("sign in"), demo.address("gateway"));
    // A pipe that nobody reads would hold it up.
    demo.read_on();
    visit(NEWCOMER, &console, &gateway, &json!({"sign_in_link": link}));
}

#[test]
fn every_flow_is_run() {
    let entries = fs::read_dir(folder().join("flows")).unwrap().map(|entry| entry.unwrap().path());
    let written: BTreeSet<_> =
        entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let run = FLOWS.iter().chain([&FILE_MODE, &NEWCOMER]).map(ToString::to_string).collect();
    assert_eq!(written, run);
}

fn on_database(flow: &str, url: &str) {
    let upstream = upstream();
    let config = config(&upstream, &format!("database: '{url}'"));
    let gate = Gateway::start_with(&[("keygate.yaml", &config)], |command| {
        keygate(command.get_current_dir().unwrap(), &["migrate"], "").expect_success();
        command
    });
    gate.wait_for_line("nobody is owner yet");
    let link = fs::read_to_string(gate.folder().join("state/first-owner-link")).unwrap();
    visit_gateway(flow, &gate, &json!({"first_owner_link": link.trim()}));
}

/// Runs a flow, and looks for its secrets where none of them may be.
fn visit_gateway(flow: &str, gate: &Gateway, state: &Value) {
    let console = format!("http://{}", gate.address("admin"));
    for secret in visit(flow, &console, &gate.url(), state) {
        assert!(!gate.output().contains(&secret), "a secret in the log");
        assert_in_no_file(gate.folder(), secret.as_bytes());
    }
}

/// Runs a flow to its end. Gives the secrets that pages have shown, and the passwords that were typed.
fn visit(flow: &str, console: &str, gateway: &str, state: &Value) -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    let (prepared, shown) = (place.path().join("state.json"), place.path().join("secrets"));
    fs::write(&prepared, state.to_string()).unwrap();
    let mut node = Command::new("node");
    node.arg(folder().join("run.mjs")).arg(flow);
    node.args(["--url", console, "--gateway", gateway]);
    node.arg("--state").arg(&prepared).arg("--secrets").arg(&shown);
    node.env("NODE_PATH", test_tool("browser-modules"));
    // The profile goes with the test, pictures of what failed stay.
    node.env("TMPDIR", place.path()).env("KEYGATE_PICTURES", std::env::temp_dir());
    run(&mut node, "").expect_success();
    fs::read_to_string(shown).unwrap().lines().map(ToOwned::to_owned).collect()
}

fn assert_in_no_file(folder: &Path, secret: &[u8]) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_in_no_file(&path, secret);
        } else {
            // One that is gone by now held it no longer.
            let content = fs::read(&path).unwrap_or_default();
            assert!(
                !content.windows(secret.len()).any(|part| part == secret),
                "a secret in {}",
                path.display()
            );
        }
    }
}

/// `keygate demo`, killed when it is dropped.
struct Demo {
    child: Child,
    guide: Option<Lines<BufReader<ChildStdout>>>,
}

impl Demo {
    /// With `folder` as the system's temporary folder.
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.arg("demo").env("TMPDIR", folder).current_dir(folder);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let guide = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        Self { child, guide }
    }

    /// The address that it prints next under `name`.
    fn address(&mut self, name: &str) -> String {
        let mut lines = self.guide.iter_mut().flatten().map(Result::unwrap);
        let line = lines.find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned()
    }

    fn read_on(&mut self) {
        let guide = self.guide.take();
        std::thread::spawn(move || guide.into_iter().flatten().for_each(drop));
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(upstream: &Upstream, keys: &str) -> String {
    format!(
        "version: 1
listen: {{address: '127.0.0.1:0'}}
health: null
admin: {{address: '127.0.0.1:0'}}
upstreams: {{api: {{url: '{}'}}}}
keys: {{{keys}}}
state: state
key_creation: everyone
routes:
  - {{path: /status, access: public}}
  - path: '/api/projects/{{project}}/{{*rest}}'
    project: path:project
    methods: {{GET: read, POST: write, DELETE: admin}}
",
        upstream.url()
    )
}

fn upstream() -> Upstream {
    Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}
