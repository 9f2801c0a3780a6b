//! The set-up that most tests of the proxy share: one upstream, a full key and a key that reads one project.

use std::fmt::Write as _;

use keygate::keys::digest::KeyDigest;

use crate::harness::{Gateway, Upstream};

/// The secret of a key that may do everything.
pub(crate) const FULL: &str = "full-0123456789abcdefghijklmnopqrstuv";
/// The secret of a key that may read the project alpha.
pub(crate) const READER: &str = "reader-0123456789abcdefghijklmnopqrst";

/// Routes of the tests: the reference ones, a guarded path beside a catch-all, a public one.
pub(crate) const ROUTES: &str = "
routes:
  - {path: /healthz, access: public}
  - {path: /api/v1/projects, methods: {GET: read, POST: admin}, restricted_keys: [GET]}
  - {path: '/api/v1/projects/{project}', project: 'path:project', methods: {GET: read, PATCH: write, DELETE: admin}}
  - {path: '/api/v1/projects/{project}/{*rest}', project: 'path:project', methods: {GET: read, '*': write}}
  - {path: '/admin/{*rest}', methods: {'*': admin}}
  - {path: '/ws/{*rest}', methods: {'*': read}, websocket: true}
  - {path: '/open/{*rest}', methods: {'*': read}, request_trailers: true, allow_in_tail: [encoded_slash, double_slash]}
  - {path: '/public/{*rest}', access: public}
  - {path: '/any/{*rest}', methods: {'*': read}}
";

/// A key file with both keys.
pub(crate) fn keys() -> String {
    let mut file = "version: 1\nkeys:\n".to_owned();
    for (id, secret, scopes, projects) in
        [("full", FULL, "admin", "all"), ("reader", READER, "read", "[alpha]")]
    {
        let hash = KeyDigest::of(secret.as_bytes()).to_text();
        let _ = writeln!(
            file,
            "  - {{id: {id}, hash: '{hash}', scopes: [{scopes}], projects: {projects}, expires_at: never}}"
        );
    }
    file
}

/// A config in front of `upstream`: `listener` and `api` go into the maps of the listener and the upstream, `rest`
/// stands at the top.
pub(crate) fn config(upstream: &str, listener: &str, api: &str, rest: &str) -> String {
    let comma = |text: &str| if text.is_empty() { String::new() } else { format!(", {text}") };
    format!(
        "version: 1\nlisten: {{address: '127.0.0.1:0'{}}}\nhealth: null\nadmin: null\nupstreams: {{api: {{url: '{upstream}'{}}}}}\n\
         keys: {{file: keys.yaml}}\naccess_log: {{mode: all}}\n{rest}\n{ROUTES}",
        comma(listener),
        comma(api),
    )
}

/// A gateway in front of `upstream`, with everything at its default.
pub(crate) fn gateway(upstream: &Upstream) -> Gateway {
    gateway_with(upstream, "", "", "")
}

/// As [`gateway`], with more config: see [`config`].
pub(crate) fn gateway_with(upstream: &Upstream, listener: &str, api: &str, rest: &str) -> Gateway {
    let config = config(&upstream.url(), listener, api, rest);
    Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &keys())])
}

/// A whole request with the full key; `fields` are lines without their ends.
pub(crate) fn request(start: &str, fields: &[&str], body: &str) -> String {
    let mut text = format!("{start} HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer {FULL}\r\n");
    for field in fields {
        text += field;
        text += "\r\n";
    }
    text + "\r\n" + body
}
