//! The admin API where keys are kept in files: what is in force is shown, a key is revoked at once, and of every other
//! change there is the YAML to paste.

use std::{fmt::Write as _, fs, io, thread, time::Instant};

use keygate::keys::digest::KeyDigest;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Client, GUARD, Gateway, Message, Talk, Upstream,
    run::{keygate, run},
};

const KEYS: &str = "version: 1
# Who may do what.
organizations: [{id: default, projects: [alpha, beta]}]
people:
  - {id: ada, email: ada@example.com, role: owner, projects: all}
  - {id: bob, email: bob@example.com, role: member, projects: [alpha]}
keys:
";

/// A file with the keys `manage` (of ada), `bob` (his, without the scope to manage) and `ci`, which no person owns.
/// The secret of the key `id` is [`secret`].
fn keys(ci: &str) -> String {
    let mut file = KEYS.to_owned();
    for (id, fields) in [
        ("manage", "owner: ada, scopes: ['keygate:manage', read], projects: all"),
        ("bob", "owner: bob, scopes: [write], projects: [alpha]"),
        ("ci", &format!("name: CI, scopes: [write], projects: [alpha]{ci}")),
    ] {
        file += &line(id, fields);
    }
    file
}

fn line(id: &str, fields: &str) -> String {
    let hash = KeyDigest::of(secret(id).as_bytes()).to_text();
    format!("  - {{id: {id}, hash: '{hash}', {fields}, expires_at: never}}\n")
}

fn secret(id: &str) -> String {
    format!("{id}-0123456789abcdefghijklmnopqrstuvwxyz")
}

fn config(upstream: &str, more: &str) -> String {
    format!(
        "version: 1\nlisten: {{address: '127.0.0.1:0'}}\nhealth: {{address: '127.0.0.1:0'}}\n\
         admin: {{address: '127.0.0.1:0'}}\nupstreams: {{api: {{url: '{upstream}'}}}}\nkeys: {{file: keys.yaml}}\n\
         {more}\nroutes:\n  - {{path: '/in/{{project}}/{{*rest}}', project: 'path:project', methods: {{'*': read}}}}\n"
    )
}

/// The real gateway in front of an upstream whose answers never end under `/in/alpha/endless`.
struct SetUp {
    // Dropped before the upstream, whose connections end with it.
    gate: Gateway,
    _upstream: Upstream,
}

impl SetUp {
    fn new(keys: &str, more: &str) -> Self {
        let upstream = Upstream::start(serve);
        let gate = Gateway::start(&[("keygate.yaml", &config(&upstream.url(), more)), ("keys.yaml", keys)]);
        Self { gate, _upstream: upstream }
    }

    /// Asks the admin API with the key of `who`.
    fn ask(&self, who: &str, start: &str, body: Option<&Value>) -> Message {
        self.ask_with(who, start, "", body)
    }

    /// As [`SetUp::ask`], with more header lines, each with its end.
    fn ask_with(&self, who: &str, start: &str, more: &str, body: Option<&Value>) -> Message {
        let address = self.gate.address("admin");
        let body = body.map(Value::to_string).unwrap_or_default();
        let secret = secret(who);
        Client::connect(address).exchange(format!(
            "{start} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\n\
             {more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn revoke(&self, id: &str) -> Message {
        self.ask("manage", &format!("POST /api/v1/keys/{id}/revoke"), Some(&json!({"reason": "leaked"})))
    }

    /// What the data path says to a secret.
    fn verdict(&self, secret: &str) -> String {
        let request =
            format!("GET /in/alpha/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\n\r\n");
        let answer = self.gate.connect().exchange(request);
        if answer.status() == 200 { "ok".to_owned() } else { text(&answer.json(), "/code").to_owned() }
    }

    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < GUARD, "not {what}:\n{}", self.gate.output());
            thread::yield_now();
        }
    }

    fn health(&self, path: &str) -> Message {
        let start = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        Client::connect(self.gate.address("health")).exchange(start)
    }

    /// Makes the change that the API said to make, as somebody would in their repository.
    fn apply(&self, paste: &Value) {
        let folder = self.gate.folder();
        fs::write(folder.join("change.diff"), text(paste, "/diff")).unwrap();
        fs::copy(folder.join("keys.yaml"), folder.join("next.yaml")).unwrap();
        let mut patch = std::process::Command::new("patch");
        run(patch.current_dir(folder).args(["next.yaml", "change.diff"]), "").expect_success();
        self.gate.replace("keys.yaml", &fs::read_to_string(folder.join("next.yaml")).unwrap());
        keygate(folder, &["check", "--config", "keygate.yaml"], "").expect_success();
    }
}

fn serve(talk: &mut Talk) -> io::Result<()> {
    while let Some(request) = talk.head()? {
        if request.target().ends_with("/endless") {
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
            talk.rest()?;
        } else {
            talk.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
    }
    Ok(())
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

fn ids(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| text(item, "/id")).collect()
}

#[test]
fn what_is_in_force_is_shown_to_those_who_manage_it() {
    let set_up = SetUp::new(&keys(""), "");
    let listed = set_up.ask("manage", "GET /api/v1/keys", None).json();
    let mut listed = ids(&listed);
    listed.sort_unstable();
    assert_eq!(listed, ["bob", "ci", "manage"]);
    let found = set_up.ask("manage", "GET /api/v1/keys?q=CI", None).json();
    assert_eq!(ids(&found), ["ci"]);
    let shown = set_up.ask("manage", "GET /api/v1/keys/ci", None);
    assert_eq!((shown.status(), text(&shown.json(), "/status")), (200, "active"));
    for (who, status, code) in
        [("bob", 403, "scope_insufficient"), ("ci", 403, "scope_insufficient"), ("eve", 401, "key_unknown")]
    {
        for start in ["GET /api/v1/keys", "POST /api/v1/keys/ci/revoke"] {
            let answer = set_up.ask(who, start, None);
            assert_eq!((answer.status(), text(&answer.json(), "/code")), (status, code), "{who} {start}");
        }
    }
    assert_eq!(set_up.verdict(&secret("ci")), "ok");
}

#[test]
fn a_revoked_key_is_refused_at_once_and_its_streams_are_closed() {
    let set_up = SetUp::new(&keys(""), "state: state");
    let secret = secret("ci");
    let mut stream = set_up.gate.connect();
    stream
        .send(format!("GET /in/alpha/endless HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\n\r\n"));
    assert_eq!(stream.response_head().status(), 200);
    assert_eq!(stream.take(10), b"5\r\nfirst\r\n");

    let answer = set_up.revoke("ci");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let told = answer.json();
    let summary = text(&told, "/change/summary");
    assert!(summary.contains("in force here, 1 open stream closed"), "{summary}");
    assert!(summary.contains("mark it revoked in") && !summary.contains("state folder"), "{summary}");
    assert_eq!(told["change"]["changed"], true);
    for (member, expected) in [("status", "revoked"), ("revoked_by", "ada"), ("revoked_reason", "leaked")] {
        assert_eq!(told["key"][member], expected, "{told}");
    }
    assert_eq!(set_up.verdict(&secret), "key_revoked");
    stream.read_to_end();

    // What the gateway keeps of it is known to whoever asks, and it goes on warning.
    assert!(set_up.health("/metrics").text().contains("keygate_revocations_undone 1\n"));
    assert_eq!(set_up.health("/readyz").json()["revocations_undone"], 1);
    set_up.gate.wait_for_line("stay refused");
    let again = set_up.revoke("ci").json();
    assert_eq!(again["change"]["changed"], false);
    assert!(text(&again, "/change/paste/yaml").contains("revoked_at"), "{again}");

    // The file agrees.
    set_up.apply(&again["change"]["paste"]);
    let folder = set_up.gate.folder();
    let file = fs::read_to_string(folder.join("keys.yaml")).unwrap();
    assert!(file.contains("revoked_by: ada") && file.contains("# Who may do what."), "{file}");
    set_up
        .until("quiet", |set_up| set_up.health("/metrics").text().contains("keygate_revocations_undone 0\n"));
    assert_eq!(set_up.verdict(&secret), "key_revoked");
    assert_eq!(set_up.revoke("ci").json()["change"].get("paste"), None);
}

#[test]
fn a_key_is_revoked_as_it_was_seen() {
    let set_up = SetUp::new(&keys(""), "state: state");
    let shown = set_up.ask("manage", "GET /api/v1/keys/ci", None);
    let tag = shown.header("etag").unwrap();
    let revoke = |tag: &str| {
        let seen = format!("If-Match: {tag}\r\n");
        set_up.ask_with("manage", "POST /api/v1/keys/ci/revoke", &seen, Some(&json!({}))).status()
    };
    assert_eq!(revoke("\"another\""), 412);
    assert_eq!(set_up.verdict(&secret("ci")), "ok");
    assert_eq!(revoke(tag), 200);
    assert_eq!(set_up.verdict(&secret("ci")), "key_revoked");
    assert_eq!(revoke(tag), 200, "it is revoked already, whatever was seen");
}

#[test]
fn a_revocation_outlives_the_process_with_a_state_folder_and_says_so_without_one() {
    for (more, survives) in [("state: state", true), ("", false)] {
        let mut set_up = SetUp::new(&keys(""), more);
        let told = set_up.revoke("ci").json();
        let summary = text(&told, "/change/summary");
        assert_eq!(summary.contains("no state folder"), !survives, "{summary}");
        assert_eq!(set_up.verdict(&secret("ci")), "key_revoked");
        set_up.gate.restart();
        assert_eq!(set_up.verdict(&secret("ci")), if survives { "key_revoked" } else { "ok" });
        let shown = set_up.ask("manage", "GET /api/v1/keys/ci", None).json();
        assert_eq!(text(&shown, "/status"), if survives { "revoked" } else { "active" });
        if survives {
            set_up.gate.wait_for_line("stay refused");
            let log = fs::read_to_string(set_up.gate.folder().join("state/audit.log")).unwrap();
            let line = log.lines().find(|line| line.contains("keys revoke")).unwrap();
            let line: Value = serde_json::from_str(line).unwrap();
            for (member, expected) in [
                ("acting_as", "person:ada key:manage"),
                ("address", "127.0.0.1"),
                ("id", "ci"),
                ("what", "revoked here: leaked"),
            ] {
                assert_eq!(line[member], expected, "{line}");
            }
        }
    }
}

#[test]
fn both_secrets_of_a_rotated_key_are_refused() {
    let old = KeyDigest::of(secret("old").as_bytes()).to_text();
    let rotated = format!(", previous_hash: '{old}', previous_until: 2099-01-01T00:00:00Z");
    let set_up = SetUp::new(&keys(&rotated), "");
    assert_eq!(set_up.verdict(&secret("old")), "ok");
    assert_eq!(set_up.revoke("ci").status(), 200);
    for id in ["ci", "old"] {
        assert_eq!(set_up.verdict(&secret(id)), "key_revoked");
    }
}

#[test]
fn whoever_revokes_their_own_manage_key_is_out_at_once() {
    let set_up = SetUp::new(&keys(""), "");
    assert_eq!(set_up.revoke("manage").status(), 200);
    let answer = set_up.ask("manage", "GET /api/v1/keys", None);
    assert_eq!((answer.status(), text(&answer.json(), "/code")), (401, "key_revoked"));
}

#[test]
fn other_changes_are_told_as_yaml_that_does_what_was_meant() {
    let set_up = SetUp::new(&keys(""), "");
    let before = fs::read_to_string(set_up.gate.folder().join("keys.yaml")).unwrap();
    let new = json!({"name": "Deploy", "scopes": ["read"], "projects": ["alpha", "beta"], "expires": "30d"});
    let change = |start: &str, body: &Value| {
        let answer = set_up.ask("manage", start, Some(body));
        let told = answer.json();
        assert_eq!((answer.status(), text(&told, "/code")), (409, "read_only"), "{told}");
        assert!(text(&told, "/detail").contains("keys.yaml"), "{told}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        told["paste"].clone()
    };

    let created = change("POST /api/v1/keys", &new);
    assert_eq!(fs::read_to_string(set_up.gate.folder().join("keys.yaml")).unwrap(), before);
    let (id, fresh) = (text(&created, "/key").to_owned(), text(&created, "/secret").to_owned());
    assert!(text(&created, "/yaml").contains(&KeyDigest::of(fresh.as_bytes()).to_text()), "{created}");
    assert!(!text(&created, "/yaml").contains(&fresh) && !text(&created, "/diff").contains(&fresh));
    assert_eq!(set_up.verdict(&fresh), "key_unknown");
    set_up.apply(&created);
    set_up.until("created", |set_up| set_up.verdict(&fresh) == "ok");

    let rotated = change(&format!("POST /api/v1/keys/{id}/rotate"), &json!({"overlap": "1h"}));
    let second = text(&rotated, "/secret").to_owned();
    set_up.apply(&rotated);
    set_up.until("rotated", |set_up| set_up.verdict(&second) == "ok");
    assert_eq!(set_up.verdict(&fresh), "ok");

    set_up.apply(&change(&format!("PATCH /api/v1/keys/{id}"), &json!({"projects": ["beta"]})));
    set_up.until("narrowed", |set_up| set_up.verdict(&second) != "ok");
    assert!(!set_up.gate.output().contains(&fresh) && !set_up.gate.output().contains(&second));
}

/// What is wrong is told first, as where records are written; and nothing brings a revoked key back.
#[test]
fn what_is_wrong_is_refused_before_anything_is_told_to_paste() {
    let set_up = SetUp::new(&keys(""), "");
    assert_eq!(set_up.revoke("ci").status(), 200);
    for (start, body, status, words) in [
        (
            "POST /api/v1/keys",
            json!({"name": "x", "scopes": ["fly"], "projects": "all", "expires": "30d"}),
            422,
            "fly",
        ),
        ("POST /api/v1/keys/ci/rotate", json!({"overlap": "1h"}), 422, "is revoked"),
        ("PATCH /api/v1/keys/ci", json!({"name": "x"}), 422, "is revoked"),
        ("POST /api/v1/keys/nobody/revoke", json!({}), 404, "no key"),
    ] {
        let answer = set_up.ask("manage", start, Some(&body));
        assert!(answer.status() == status && answer.text().contains(words), "{start}: {}", answer.text());
        assert!(!answer.text().contains("\"paste\""), "{}", answer.text());
    }
}

#[test]
fn of_a_wrong_file_the_last_good_is_shown_and_can_be_revoked() {
    let set_up = SetUp::new(&keys(""), "state: state");
    set_up.gate.replace("keys.yaml", &keys("").replace("scopes: [write]", "scopes: [fly]"));
    set_up.gate.wait_for_line("this source is wrong");
    let shown = set_up.ask("manage", "GET /api/v1/keys/ci", None).json();
    assert_eq!((text(&shown, "/status"), &shown["scopes"]), ("active", &json!(["write"])));
    let new = json!({"name": "Deploy", "scopes": ["read"], "projects": ["alpha"], "expires": "30d"});
    let refused = set_up.ask("manage", "POST /api/v1/keys", Some(&new));
    assert_eq!((refused.status(), text(&refused.json(), "/code")), (409, "wrong_key_files"));
    assert!(refused.text().contains("fly"), "{}", refused.text());
    assert_eq!(set_up.revoke("ci").status(), 200);
    assert_eq!(set_up.verdict(&secret("ci")), "key_revoked");
    set_up.gate.replace("keys.yaml", &keys(""));
    set_up.until("warned", |set_up| set_up.health("/readyz").json()["revocations_undone"] == 1);
    assert_eq!(set_up.verdict(&secret("ci")), "key_revoked");
}

#[test]
fn revocations_and_reloads_at_once_lose_nothing() {
    let mut file = keys("");
    let many: Vec<String> = (0..8).map(|number| format!("key-{number}")).collect();
    for id in &many {
        file += &line(id, "scopes: [read], projects: [alpha]");
    }
    let set_up = SetUp::new(&file, "state: state");
    thread::scope(|scope| {
        for id in &many {
            scope.spawn(|| assert_eq!(set_up.revoke(id).status(), 200));
        }
        for comment in ["# one\n", "# two\n"] {
            set_up.gate.replace("keys.yaml", &format!("{comment}{file}"));
            set_up.gate.signal(Signal::HUP);
        }
    });
    for id in &many {
        assert_eq!(set_up.verdict(&secret(id)), "key_revoked");
    }
    assert_eq!(set_up.verdict(&secret("ci")), "ok");
    assert_eq!(set_up.health("/readyz").json()["revocations_undone"], 8);
}

#[test]
fn ten_thousand_keys_are_listed_and_revoked() {
    let mut file = keys("");
    for number in 0..10_000 {
        write!(file, "{}", line(&format!("key-{number}"), "scopes: [read], projects: [alpha]")).unwrap();
    }
    let set_up = SetUp::new(&file, "");
    let mut path = "/api/v1/keys?limit=50&q=key-99".to_owned();
    let mut found = 0;
    loop {
        let page = set_up.ask("manage", &format!("GET {path}"), None).json();
        found += ids(&page).len();
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/keys?limit=50&q=key-99&cursor={next}");
    }
    // key-99, key-990 to key-999, key-9900 to key-9999.
    assert_eq!(found, 111);
    assert_eq!(set_up.revoke("key-9999").status(), 200);
    assert_eq!(set_up.verdict(&secret("key-9999")), "key_revoked");
}
