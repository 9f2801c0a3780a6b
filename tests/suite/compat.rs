//! Every request that a real client sends to a real API works through Keygate with a full key, or stands in
//! `tests/compat/differences.yaml` with the reason. One test per server; `tests/compat/README.md` tells how.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keygate::keys::digest::KeyDigest;

use crate::harness::{Gateway, run};

/// Long enough for a key; it is no secret.
const KEY: &str = "a-full-key-for-the-compatibility-suite-0123456789";

#[test]
fn flask() {
    every_request_works_through_keygate("flask");
}

#[test]
fn django() {
    every_request_works_through_keygate("django");
}

#[test]
fn express() {
    every_request_works_through_keygate("express");
}

#[test]
fn tomcat() {
    every_request_works_through_keygate("tomcat");
}

fn every_request_works_through_keygate(server: &str) {
    let upstream = ZooServer::start(server);
    let gate = Gateway::start(&[("keygate.yaml", &config(&upstream.url)), ("keys.yaml", &full_key())]);
    let script = folder().join("compare.py");
    let through = gate.url();
    let result = run::python([
        script.to_str().unwrap(),
        server,
        "--direct",
        &upstream.url,
        "--through",
        &through,
        "--key",
        KEY,
    ]);
    result.expect_success();
}

/// One catch-all route, and the page of the browser, which cannot send a key when it is opened.
fn config(upstream: &str) -> String {
    format!(
        "version: 1
listen: {{address: 127.0.0.1:0}}
health: null
admin: null
upstreams:
  api: {{url: {upstream}}}
keys: {{file: keys.yaml}}
routes:
  - path: /page/browser.html
    access: public
  - path: /{{*rest}}
    methods: {{'*': write}}
    websocket: true
"
    )
}

fn full_key() -> String {
    let digest = KeyDigest::of(KEY.as_bytes()).to_text();
    format!(
        "version: 1
keys:
  - id: full
    name: compatibility
    hash: {digest}
    scopes: [admin]
    projects: all
    expires_at: never
"
    )
}

/// A server of the API zoo; dropping it closes its standard input, which ends it and all it started.
struct ZooServer {
    child: Child,
    url: String,
}

impl ZooServer {
    fn start(server: &str) -> Self {
        let mut command = Command::new(run::test_tool("python"));
        command.arg(folder().join("serve.py")).arg(server);
        command.env("NODE_PATH", run::test_tool("node-modules")).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("listening ");
        Self { url: url.unwrap_or_else(|| panic!("{server} said {line:?}")).to_owned(), child }
    }
}

impl Drop for ZooServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat")
}
