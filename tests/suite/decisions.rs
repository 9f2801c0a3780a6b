//! The decision table, `tests/decisions.yaml`, asked of the gate itself, of `keygate test`, and of a running gateway.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keygate::{
    cli::cases::{self, Case},
    clock,
    config::{self, Surroundings, model::Config},
    control::explain::{Asker, Decision, NoSuchKey, Question, Undecided, Unfit, decide_in_force},
    keys::{
        secret::{Brand, Environment, KeySecret},
        snapshot::KeySnapshot,
    },
    live::{Live, Published},
    store::{
        key_files::{KeyFiles, Location, Moment},
        read::ReadOptions,
    },
};

use crate::harness::{Gateway, Message, Upstream, run};

/// A set-up with its cases, by their names in `tests/`.
pub(crate) struct Table {
    pub(crate) config: &'static str,
    pub(crate) keys: &'static str,
    cases: &'static str,
}

pub(crate) const TABLES: [Table; 2] = [
    Table { config: "decisions/keygate.yaml", keys: "decisions/keys.yaml", cases: "decisions.yaml" },
    Table {
        config: "decisions/single.yaml",
        keys: "decisions/single.keys.yaml",
        cases: "decisions/single.cases.yaml",
    },
];

/// The rows that a case can reach; the limit of a key (row 8) is not part of a key file.
const ROWS: [u8; 13] = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13];

impl Table {
    fn cases(&self) -> Vec<Case> {
        cases::read(&tests().join(self.cases), Timestamp::now())
            .unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    pub(crate) fn deployment(&self) -> (Config, KeySnapshot) {
        let path = tests().join(self.config);
        let config = config::load(&path, &Surroundings::of_process("keygate")).result.unwrap();
        let mut files = KeyFiles::new(Location::File(tests().join(self.keys)), ReadOptions::default());
        files.look_once(Moment { monotonic: clock::monotonic(), wall: Timestamp::now() });
        let resolution = files.resolve(&config.key_policy()).unwrap();
        assert!(resolution.wrong.is_empty(), "{:?}", resolution.wrong);
        let keys = resolution.snapshot.unwrap();
        (config, keys)
    }

    /// The decision about each case, where it is as expected.
    pub(crate) fn decided(&self) -> Vec<(Case, Decision)> {
        let (config, keys) = self.deployment();
        let decide = |case: Case| {
            let decision = case.decide(&config, &keys).unwrap();
            let differences = case.expected.differences(&decision);
            assert!(differences.is_empty(), "{}: {}: {differences:?}", case.place, case.name);
            (case, decision)
        };
        self.cases().into_iter().map(decide).collect()
    }
}

#[test]
fn the_gate_decides_as_the_table_says() {
    let mut rows = Vec::new();
    for table in TABLES {
        rows.extend(table.decided().iter().map(|(_, decision)| decision.row));
    }
    assert!(rows.len() >= 300);
    assert!(ROWS.iter().all(|row| rows.contains(row)), "rows without a case");
}

/// The words that are shown beside a decision are those of its row.
#[test]
fn every_decision_has_a_row_with_words_that_name_its_code() {
    for table in TABLES {
        for (case, decision) in table.decided() {
            let row = decision.table_row().unwrap_or_else(|| panic!("{}: {}", case.place, case.name));
            assert_eq!(row.number.unwrap_or_default(), decision.row);
            let names_its_code = row.answer.contains(decision.code);
            let is_answered =
                ["forwarded", "observed", "preflight", "server_options"].contains(&decision.code);
            assert!(names_its_code || is_answered, "{}: {row:?}", decision.code);
            let would_be = decision.observed.as_ref().map_or("", |observed| observed.code);
            assert!(row.answer.contains(would_be), "{would_be}: {row:?}");
        }
    }
}

/// The same request with the same key, asked of what is in force, as it comes and goes.
#[test]
fn what_is_in_force_decides_and_names_its_revision() {
    let (config, keys) = TABLES[0].deployment();
    let config = Arc::new(config);
    let mut cases = TABLES[0].cases().into_iter();
    let forwarded = |case: &Case| {
        matches!(case.asker, Asker::Key(_)) && case.expected.code.as_deref() == Some("forwarded")
    };
    let Case { question, asker, .. } = cases.find(forwarded).unwrap();
    let publish = |revision, keys: Option<&KeySnapshot>| Published {
        revision,
        config: Arc::clone(&config),
        keys: keys.cloned(),
    };
    let live = Live::new(publish(1, None));
    let decided = |asker: &Asker| {
        let decision = decide_in_force(&question, asker, &live).unwrap();
        (decision.revision.unwrap(), decision.row, decision.code, decision.key.is_some())
    };
    assert_eq!(decided(&asker), (1, 0, "key_store_unavailable", false));

    live.publish(publish(2, Some(&keys)));
    assert_eq!(decided(&asker), (2, 13, "forwarded", true));
    assert_eq!(decided(&Asker::Anonymous), (2, 4, "key_missing", false));
    let nobody = NoSuchKey("nobody".to_owned());
    assert_eq!(
        decide_in_force(&question, &Asker::Key(nobody.0.clone()), &live).unwrap_err(),
        Undecided::NoSuchKey(nobody)
    );

    live.lease().ends_at(Duration::ZERO);
    assert_eq!(decided(&asker), (2, 0, "key_store_unavailable", false));
}

#[test]
fn what_is_written_down_is_one_request_without_a_secret() {
    let (config, keys) = TABLES[0].deployment();
    let live = Live::new(Published { revision: 1, config: Arc::new(config), keys: Some(keys) });
    let secret = KeySecret::generate(&Brand::default(), Environment::Live).unwrap();
    let secret = secret.expose();
    let field = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let plain = || Question {
        method: "GET".to_owned(),
        target: "/".to_owned(),
        version: "HTTP/1.1".to_owned(),
        host: Some("localhost".to_owned()),
        fields: Vec::new(),
        client: IpAddr::from([127, 0, 0, 1]),
        now: Timestamp::now(),
    };
    let cases = [
        (plain(), None),
        (Question { fields: field("X-Any", "thing"), ..plain() }, None),
        (Question { method: "GET / HTTP/1.1\r\nX: y".to_owned(), ..plain() }, Some(Unfit::LineBreak)),
        (Question { target: "/\n".to_owned(), ..plain() }, Some(Unfit::LineBreak)),
        (Question { host: Some("a\rb".to_owned()), ..plain() }, Some(Unfit::LineBreak)),
        (Question { fields: field("X-Any", "thing\r\nX: y"), ..plain() }, Some(Unfit::LineBreak)),
        (Question { fields: field("X-Any\n", "thing"), ..plain() }, Some(Unfit::LineBreak)),
        (Question { target: secret.to_owned(), ..plain() }, Some(Unfit::Secret)),
        (Question { fields: field(" authorization", secret), ..plain() }, Some(Unfit::Secret)),
    ];
    for (question, unfit) in cases {
        let decided = decide_in_force(&question, &Asker::Anonymous, &live);
        assert_eq!(decided.err(), unfit.map(Undecided::Unfit), "{question:?}");
    }
}

/// What `key:` stands for is what the secret of that key brings about.
#[test]
fn a_key_by_its_id_and_by_its_secret_are_decided_alike() {
    for table in TABLES {
        let (config, keys) = table.deployment();
        for (mut case, decision) in table.decided() {
            if let Asker::Key(id) = &case.asker {
                case.asker = Asker::Secret(secret_of(id));
                let again = case.decide(&config, &keys).unwrap();
                assert_eq!(
                    (again.row, again.code, &again.detail),
                    (decision.row, decision.code, &decision.detail)
                );
            }
        }
    }
}

#[test]
fn the_command_decides_as_the_table_says() {
    for table in TABLES {
        let answer = run::keygate(&tests(), &["test", "--config", table.config, table.cases], "");
        let count = table.cases().len();
        assert_eq!(answer.expect_success().stdout, format!("ok: {count} cases decided as expected\n"));
    }
}

#[test]
fn a_running_gateway_decides_as_the_table_says() {
    for table in TABLES {
        let running = Running::start(&table);
        let mut asked = 0;
        for (case, decision) in table.decided() {
            // A running gateway has the time of its clock.
            if asks_at_another_time(&case, &table) {
                continue;
            }
            running.check(&case, &decision);
            asked += 1;
        }
        assert!(asked + 10 > table.cases().len());
    }
}

/// Rows 9 and 10, and what hides row 12, are one answer: nobody can tell a project that is not theirs from nothing.
#[test]
fn what_is_not_to_be_seen_is_answered_alike_byte_for_byte() {
    for table in TABLES {
        let running = Running::start(&table);
        let mut seen: Option<(Vec<u8>, String)> = None;
        let unseen = table.decided().into_iter().filter(|(case, decision)| {
            decision.code == "not_found"
                && case.question.method != "HEAD"
                && case.question.version == "HTTP/1.1"
        });
        for (case, _) in unseen {
            let answer = masked(&running.ask(&case));
            match &seen {
                None => seen = Some((answer, case.name)),
                Some((first, name)) => assert_eq!(
                    String::from_utf8_lossy(first),
                    String::from_utf8_lossy(&answer),
                    "{name} and {}",
                    case.name
                ),
            }
        }
        assert!(seen.is_some());
    }
}

/// The gateway of a table, in front of an upstream that keeps what it gets.
struct Running {
    gateway: Gateway,
    upstream: Upstream,
}

impl Running {
    fn start(table: &Table) -> Self {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\nX-From: upstream\r\nContent-Length: 0\r\n\r\n";
        let upstream = Upstream::answering(ANSWER);
        let [config, keys] =
            [table.config, table.keys].map(|name| fs::read_to_string(tests().join(name)).unwrap());
        let keys_name = Path::new(table.keys).file_name().unwrap().to_str().unwrap();
        let gateway = Gateway::start_with(&[("keygate.yaml", &config), (keys_name, &keys)], |command| {
            command.env("UPSTREAM", upstream.address().to_string()).env("KEYGATE_WORKERS", "1")
        });
        Self { gateway, upstream }
    }

    fn ask(&self, case: &Case) -> Message {
        self.gateway.connect().exchange(bytes(case))
    }

    fn check(&self, case: &Case, decision: &Decision) {
        let name = format!("{}: {}", case.place, case.name);
        let before = self.upstream.requests().len();
        let answer = self.ask(case);
        let requests = self.upstream.requests();
        let is_forwarded = ["forwarded", "observed"].contains(&decision.code);
        assert_eq!(answer.header("X-From").is_some(), is_forwarded, "{name}: {answer:?}");
        assert_eq!(requests.len() - before, usize::from(is_forwarded), "{name}");
        match decision.status {
            None => check_forwarded(&name, case, decision, &requests[before]),
            Some(status) => {
                assert_eq!(answer.status(), status, "{name}: {answer:?}");
                assert_eq!(answer.header("Allow"), allowed(decision), "{name}: {answer:?}");
                if !answer.body.is_empty() {
                    assert_eq!(answer.json()["code"], decision.code, "{name}");
                    assert_eq!(answer.json()["detail"].as_str(), decision.detail.as_deref(), "{name}");
                }
            }
        }
    }
}

/// What the upstream got is what was authorised, with the identity that was found, and no credential of ours.
fn check_forwarded(name: &str, case: &Case, decision: &Decision, request: &Message) {
    let target = case.question.target.as_str();
    let sent = target.find("://").map_or(target, |at| {
        let rest = &target[at + 3..];
        &rest[rest.find('/').unwrap_or_default()..]
    });
    assert_eq!(request.method(), case.question.method, "{name}");
    assert_eq!(request.target(), sent, "{name}");
    assert!(!String::from_utf8_lossy(&request.raw).contains("secret-of-"), "{name}: {request:?}");
    let identity = &decision.forwarded.as_ref().unwrap().identity;
    let got: Vec<_> = request.fields.iter().filter(|(name, _)| is_identity(name)).cloned().collect();
    let expected = identity.iter().map(|(name, value)| (name.clone(), value.trim().to_owned()));
    assert_eq!(got, expected.collect::<Vec<_>>(), "{name}");
}

pub(crate) fn is_identity(name: &str) -> bool {
    name.to_ascii_lowercase().replace(['_', '.'], "-").starts_with("x-auth-")
}

/// `OPTIONS *` is answered with the methods that are served at all.
fn allowed(decision: &Decision) -> Option<&str> {
    match decision.code {
        "server_options" => Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        _ => decision.allow.as_deref(),
    }
}

/// The request of a case as bytes, with the body that its header lines promise.
pub(crate) fn bytes(case: &Case) -> Vec<u8> {
    let question = &case.question;
    let mut head = format!("{} {} {}\r\n", question.method, question.target, question.version);
    let mut put = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
    if let Some(host) = &question.host {
        put("Host", host);
    }
    for (name, value) in &question.fields {
        put(name, value);
    }
    if question.client != IpAddr::from([127, 0, 0, 1]) {
        put("X-Forwarded-For", &question.client.to_string());
    }
    match &case.asker {
        Asker::Anonymous => {}
        Asker::Key(id) => put("Authorization", &format!("Bearer {}", secret_of(id).expose())),
        Asker::Secret(secret) => put("Authorization", &format!("Bearer {}", secret.expose())),
    }
    head.push_str("\r\n");
    for (name, value) in &question.fields {
        match name.as_str() {
            "Content-Length" => head.push_str(&"x".repeat(value.parse().unwrap_or_default())),
            "Transfer-Encoding" => head.push_str("1\r\nx\r\n0\r\n\r\n"),
            _ => {}
        }
    }
    head.into_bytes()
}

pub(crate) fn secret_of(id: &str) -> KeySecret {
    KeySecret::import(format!("secret-of-{id}").into()).unwrap()
}

pub(crate) fn asks_at_another_time(case: &Case, table: &Table) -> bool {
    let usual = table.cases()[0].question.now;
    case.question.now != usual
}

/// The answer without what differs between any two requests.
fn masked(answer: &Message) -> Vec<u8> {
    let text = String::from_utf8(answer.raw.clone()).unwrap();
    let id = answer.header("X-Request-Id").unwrap();
    let lines = text.replace(id, "(id)");
    let lines =
        lines.split("\r\n").map(|line| if line.starts_with("Date: ") { "Date: (date)" } else { line });
    lines.collect::<Vec<_>>().join("\r\n").into_bytes()
}

pub(crate) fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}
