//! The admin API through the real binary, on a database.

mod changes;
mod documented;
mod guide;
mod matrix;
mod refusals;

use serde_json::Value;

use crate::harness::{Client, Gateway, Message, Postgres, store_place::StorePlace};

/// A gateway on a database with two organizations: `main` with people of every role, and `other`.
struct World {
    gate: Gateway,
    place: StorePlace,
}

/// Who asks.
#[derive(Debug, Clone)]
enum Who {
    Nobody,
    Key(String),
    Session(String),
    /// A page of another site, in the browser of somebody who is signed in.
    CrossSite(String),
}

impl World {
    fn sqlite() -> Self {
        Self::on(StorePlace::sqlite())
    }

    fn postgres(server: &Postgres) -> Self {
        Self::on(StorePlace::postgres(server))
    }

    fn on(place: StorePlace) -> Self {
        let run = |arguments: &[&str]| {
            place.run(arguments).expect_success();
        };
        run(&["organizations", "create", "main", "--project", "alpha", "--project", "beta"]);
        run(&["organizations", "create", "other", "--project", "gamma"]);
        for (id, role, organization, projects) in [
            ("olga", "owner", "main", &[][..]),
            ("adam", "admin", "main", &[]),
            ("nara", "admin", "main", &["--project", "alpha"]),
            ("mia", "member", "main", &[]),
            ("vic", "viewer", "main", &[]),
            ("zoe", "member", "main", &["--project", "alpha"]),
            ("oscar", "owner", "other", &[]),
        ] {
            let email = format!("{id}@example.com");
            let base = ["people", "create", id, "--email", &email, "--role", role];
            run(&[&base[..], &["--organization", organization], projects].concat());
        }
        let url = place.url.clone().unwrap();
        let config = format!(
            "version: 1\nlisten: {{address: '127.0.0.1:0'}}\nhealth: null\nadmin: {{address: '127.0.0.1:0'}}\n\
             key_creation: everyone\nupstreams: {{api: {{url: 'http://127.0.0.1:9'}}}}\nkeys: {{database: '{url}'}}\n\
             routes:\n  - {{path: '/any/{{*rest}}', methods: {{GET: read, '*': write}}}}\n"
        );
        let gate = Gateway::start(&[("keygate.yaml", &config)]);
        gate.address("admin");
        Self { gate, place }
    }

    /// A new key of `owner`: its id and secret.
    fn key(&self, owner: &str, scope: &str, more: &[&str]) -> (String, String) {
        let base = ["keys", "create", "--name", "Test", "--owner", owner, "--scope", scope];
        let made = self.place.json(&[&base[..], more].concat());
        (text(&made["id"]), text(&made["secret"]))
    }

    /// Somebody who shows a key of `owner` that manages.
    fn manager(&self, owner: &str) -> Who {
        Who::Key(self.key(owner, "keygate:manage", &["--all-projects"]).1)
    }

    /// Somebody who is signed in as `person`, by a link that `owner` made.
    fn session(&self, person: &str, owner: &Who) -> Who {
        let invited = self.ask(owner, "POST", &format!("/api/v1/people/{person}/invitation"), None);
        assert_eq!(invited.status(), 201, "{invited:?}");
        let url = text(&invited.json()["url"]);
        let path = url.split_once("/invitation/").unwrap().1;
        let body = "password=correct+horse+battery+staple&again=correct+horse+battery+staple";
        let answer = self.send(&format!(
            "POST /invitation/{path} HTTP/1.1\r\nHost: {}\r\nSec-Fetch-Site: same-origin\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.gate.address("admin"),
            body.len()
        ));
        let cookie = answer.header("set-cookie").unwrap_or_else(|| panic!("{}", answer.text()));
        Who::Session(cookie.split(';').next().unwrap().to_owned())
    }

    fn ask(&self, who: &Who, method: &str, target: &str, body: Option<&str>) -> Message {
        self.ask_with(who, method, target, body, &[])
    }

    fn ask_with(&self, who: &Who, method: &str, target: &str, body: Option<&str>, more: &[&str]) -> Message {
        let mut fields = vec![format!("Host: {}", self.gate.address("admin"))];
        match who {
            Who::Nobody => fields.push("Sec-Fetch-Site: same-origin".to_owned()),
            Who::Key(secret) => fields.push(format!("Authorization: Bearer {secret}")),
            Who::Session(cookie) => {
                fields.extend([format!("Cookie: {cookie}"), "Sec-Fetch-Site: same-origin".to_owned()]);
            }
            Who::CrossSite(cookie) => {
                fields.extend([format!("Cookie: {cookie}"), "Sec-Fetch-Site: cross-site".to_owned()]);
            }
        }
        if let Some(body) = body {
            fields.push(format!("Content-Type: application/json\r\nContent-Length: {}", body.len()));
        }
        fields.extend(more.iter().map(ToString::to_string));
        let body = body.unwrap_or_default();
        self.send(&format!("{method} {target} HTTP/1.1\r\n{}\r\n\r\n{body}", fields.join("\r\n")))
    }

    fn send(&self, request: &str) -> Message {
        Client::connect(self.gate.address("admin")).exchange(request)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// That `answer` is a problem (RFC 9457) with this status and code.
fn assert_problem(answer: &Message, status: u16, code: &str) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!(
        (problem["status"].as_u64(), &problem["code"]),
        (Some(status.into()), &code.into()),
        "{problem}"
    );
    assert_eq!(problem["type"], format!("urn:keygate:{code}"));
    assert_eq!(problem["detail"], problem["message"]);
}
