//! A gateway on a database of its own with people of every role, and their browsers.

use crate::harness::{
    Browser, Gateway,
    people::{config, gateway_with, invited},
    run::{Run, keygate},
};

const ROUTES: &str = "\
scopes: {read: {}, write: {implies: [read]}, admin: {implies: [write]}}
routes:
  - {path: /healthz, access: public, upstream: api}
  - path: /projects/{project}/{*rest}
    project: path:project
    methods: {GET: read, '*': write}
";

/// The configuration of a gateway with keys in files.
pub(super) fn file_config() -> String {
    config("{file: keys.yaml}", "routes: [{path: '/{*rest}', methods: {'*': write}}]\n")
}

/// A gateway, and its people: ada is owner, bob admin, eve member, zoe viewer.
pub(super) struct House {
    gateway: Gateway,
}

impl House {
    pub(super) fn open() -> Self {
        let people = [("ada", "owner"), ("bob", "admin"), ("eve", "member"), ("zoe", "viewer")];
        Self { gateway: gateway_with(&people, ROUTES) }
    }

    /// At the command line.
    pub(super) fn run(&self, arguments: &[&str]) -> Run {
        keygate(self.gateway.folder(), arguments, "")
    }

    /// The browser of `id`, who accepts an invitation.
    pub(super) fn sit(&self, id: &str) -> Browser {
        invited(&self.gateway, id)
    }

    pub(super) fn stranger(&self) -> Browser {
        Browser::new(&self.gateway)
    }

    /// A key of `owner`: its id and its secret.
    pub(super) fn key(&self, owner: &str, more: &[&str]) -> (String, String) {
        let projects: &[&str] = if more.contains(&"--project") { &[] } else { &["--all-projects"] };
        let arguments = [&["keys", "create", "--owner", owner, "--output", "json"], more, projects].concat();
        let made: serde_json::Value =
            serde_json::from_str(&self.run(&arguments).expect_success().stdout).unwrap();
        let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        (text("id"), text("secret"))
    }
}

/// A gateway with keys in files, and the secret of a key of ada, the owner, that manages.
pub(super) fn file_mode() -> (Gateway, String) {
    let mut secret = String::new();
    let people = "version: 1\npeople:\n  - {id: ada, email: ada@example.com, role: owner}\nkeys: []\n";
    let files = [("keygate.yaml", &*file_config()), ("keys.yaml", people)];
    let gateway = Gateway::spawn(&files, |command| {
        let folder = command.get_current_dir().unwrap().to_owned();
        let made = keygate(
            &folder,
            &[
                "keys",
                "create",
                "--owner",
                "ada",
                "--scope",
                "keygate:manage",
                "--name",
                "Robot",
                "--all-projects",
                "--output",
                "json",
            ],
            "",
        );
        let made: serde_json::Value = serde_json::from_str(&made.expect_success().stdout).unwrap();
        made["secret"].as_str().unwrap().clone_into(&mut secret);
        command
    });
    gateway.address("data");
    (gateway, secret)
}
