//! A gateway on a database of its own with people of every role, and their browsers.

use std::{fmt::Write as _, net::SocketAddr};

use crate::harness::{
    Client, Gateway, Message,
    run::{Run, keygate},
};

const CONFIG: &str = "version: 1
listen: {address: '127.0.0.1:0'}
health: null
admin: {address: '127.0.0.1:0'}
upstreams: {api: {url: 'http://127.0.0.1:9'}}
keys: {database: 'sqlite:keygate.db'}
state: state
key_creation: everyone
scopes: {read: {}, write: {implies: [read]}, admin: {implies: [write]}}
routes:
  - {path: /healthz, access: public, upstream: api}
  - path: /projects/{project}/{*rest}
    project: path:project
    methods: {GET: read, '*': write}
";

/// The same, with keys in files.
pub(super) const FILE_CONFIG: &str = "version: 1
listen: {address: '127.0.0.1:0'}
health: null
admin: {address: '127.0.0.1:0'}
upstreams: {api: {url: 'http://127.0.0.1:9'}}
keys: {file: keys.yaml}
state: state
routes: [{path: '/{*rest}', methods: {'*': write}}]
";

/// What people of the tests sign in with.
const PASSWORD: &str = "a sentence that nobody guesses";

/// A gateway, and its people: ada is owner, bob admin, eve member, zoe viewer.
pub(super) struct House {
    gateway: Gateway,
}

/// A browser.
pub(super) struct Seat {
    address: SocketAddr,
    cookie: Option<String>,
    key: Option<String>,
}

impl House {
    pub(super) fn open() -> Self {
        let gateway = Gateway::spawn(&[("keygate.yaml", CONFIG)], |command| {
            let folder = command.get_current_dir().unwrap().to_owned();
            keygate(&folder, &["migrate"], "").expect_success();
            for (id, role) in [("ada", "owner"), ("bob", "admin"), ("eve", "member"), ("zoe", "viewer")] {
                let email = format!("{id}@example.com");
                keygate(&folder, &["people", "create", id, "--email", &email, "--role", role], "")
                    .expect_success();
            }
            command
        });
        gateway.address("data");
        Self { gateway }
    }

    /// At the command line.
    pub(super) fn run(&self, arguments: &[&str]) -> Run {
        keygate(self.gateway.folder(), arguments, "")
    }

    /// The browser of `id`, who accepts an invitation.
    pub(super) fn sit(&self, id: &str) -> Seat {
        let link = self.run(&["people", "invite", id]).expect_success().stdout;
        self.stranger().accept(link.trim())
    }

    pub(super) fn stranger(&self) -> Seat {
        Seat { address: self.gateway.address("admin"), cookie: None, key: None }
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
    let files = [("keygate.yaml", FILE_CONFIG), ("keys.yaml", people)];
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

impl Seat {
    /// A program that shows a key, and sees the same pages.
    pub(super) fn with_key(address: SocketAddr, key: &str) -> Self {
        Self { address, cookie: None, key: Some(key.to_owned()) }
    }

    pub(super) fn get(&self, path: &str) -> Message {
        self.ask("GET", path, "")
    }

    pub(super) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Message {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.ask("POST", path, &body)
    }

    /// The page after a form that was taken.
    pub(super) fn follow(&self, answer: &Message) -> Message {
        assert_eq!(answer.status(), 303, "{answer:?}");
        self.get(answer.header("location").unwrap())
    }

    /// A browser in which an invitation was accepted.
    pub(super) fn accept(&self, path: &str) -> Self {
        let answer = self.post(path, &[("password", PASSWORD), ("again", PASSWORD)]);
        assert_eq!(answer.status(), 303, "{answer:?}");
        let cookies = answer.headers("set-cookie");
        let session = cookies.iter().map(|cookie| cookie.split(';').next().unwrap());
        let cookie = session.filter(|cookie| !cookie.ends_with('=')).collect::<Vec<_>>().join("; ");
        Self { address: self.address, cookie: Some(cookie), key: None }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Message {
        let address = self.address;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        if let Some(cookie) = &self.cookie {
            write!(head, "Cookie: {cookie}\r\n").unwrap();
        }
        if let Some(key) = &self.key {
            write!(head, "Authorization: Bearer {key}\r\n").unwrap();
        }
        if method == "POST" {
            let length = body.len();
            write!(head, "Origin: http://{address}\r\nContent-Length: {length}\r\n").unwrap();
            head.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
        }
        Client::connect(address).exchange(format!("{head}\r\n{body}"))
    }
}

/// The value of the hidden field `name` of a page.
pub(super) fn hidden(page: &Message, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let rest = page.text().split_once(&start).unwrap_or_else(|| panic!("no {name} in {page:?}")).1;
    rest.split('"').next().unwrap().to_owned()
}
