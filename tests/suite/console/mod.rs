//! The console through the real binary, as a browser without JavaScript sees it: statuses, redirects, cookies, and what
//! stands in pages.

mod browser;
mod keys;
mod sign_in;

use browser::Browser;

use crate::harness::{Gateway, run::keygate};

const CONFIG: &str = "version: 1
listen: {address: '127.0.0.1:0'}
health: null
admin: {address: '127.0.0.1:0'}
upstreams: {api: {url: 'http://127.0.0.1:9'}}
keys: {database: 'sqlite:keygate.db'}
state: state
key_creation: everyone
routes:
  - {path: '/builds/{id}', methods: {GET: read, POST: write}}
  - {path: '/{*rest}', methods: {'*': admin}}
";

const PASSWORD: &str = "four plain words together";

/// A gateway on a database with `ada`, who is owner, and `mel`, who is member; both have [`PASSWORD`].
fn gateway() -> Gateway {
    let gate = Gateway::start_with(&[("keygate.yaml", CONFIG)], |command| {
        let folder = command.get_current_dir().unwrap();
        keygate(folder, &["migrate"], "").expect_success();
        for (id, role) in [("ada", "owner"), ("mel", "member")] {
            let email = format!("{id}@example.com");
            keygate(folder, &["people", "create", id, "--email", &email, "--role", role], "")
                .expect_success();
        }
        command
    });
    for id in ["ada", "mel"] {
        let invited = keygate(gate.folder(), &["people", "invite", id], "").expect_success();
        let accepted =
            Browser::new(&gate).post(invited.stdout.trim(), &[("password", PASSWORD), ("again", PASSWORD)]);
        assert_eq!((accepted.status(), accepted.header("location")), (303, Some("/")), "{accepted:?}");
    }
    gate
}

/// `id`, signed in.
fn signed_in(gate: &Gateway, id: &str) -> Browser {
    let mut browser = Browser::new(gate);
    let answer = browser.post("/sign-in", &[("id", id), ("password", PASSWORD)]);
    assert_eq!(answer.status(), 303, "{answer:?}");
    browser
}
