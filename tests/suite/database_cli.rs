//! `keygate keys`, `people`, `projects`, `organizations` and `replicas` on databases: what they change, who may, and
//! what a receipt says.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use keygate::store::{
    contract::{Acknowledgement, Database, Heartbeat, WhenStale},
    database_url::DatabaseUrl,
    sql,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Postgres,
    run::{Run, run},
};

/// An empty database, and the folder that commands run in.
struct Place {
    folder: TempDir,
    url: String,
}

impl Place {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("keys.db").display());
        Self::new(folder, url)
    }

    fn new(folder: TempDir, url: String) -> Self {
        block_on(sql::migrate(&DatabaseUrl::parse(&url).unwrap(), false)).unwrap();
        Self { folder, url }
    }

    /// `keygate ARGUMENTS…` on the database.
    fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.current_dir(self.folder.path()).args(arguments).env("KEYGATE_DATABASE", &self.url);
        run(&mut command, input)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let done = self.run(&[arguments, &["--output", "json"]].concat()).expect_success();
        serde_json::from_str(&done.stdout).unwrap()
    }

    fn person(&self, id: &str, role: &str, more: &[&str]) {
        let email = format!("{id}@example.com");
        let base = ["people", "create", id, "--email", &email, "--role", role];
        self.run(&[&base[..], more].concat()).expect_success();
    }

    fn key(&self, more: &[&str]) -> (String, String) {
        let base = ["keys", "create", "--name", "New", "--scope", "read", "--all-projects"];
        let made = self.json(&[&base[..], more].concat());
        (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
    }

    /// A replica that takes every revision, closes two streams for each, and lives until it is dropped.
    fn replica(&self, id: &str) -> FakeReplica {
        let url = DatabaseUrl::parse(&self.url).unwrap();
        let id = id.to_owned();
        beat(&url, &id, 0);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            block_on(async {
                let database = sql::open(&url, None).await.unwrap();
                let mut acknowledged = 0;
                while !over.load(Ordering::Relaxed) {
                    let head = database.head().await.unwrap().revision;
                    if head > acknowledged {
                        acknowledge(&*database, &id, head).await;
                        acknowledged = head;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
        });
        FakeReplica { is_over, thread: Some(thread) }
    }
}

struct FakeReplica {
    is_over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for FakeReplica {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn acknowledge(database: &dyn Database, replica: &str, revision: u64) {
    let acknowledgement =
        Acknowledgement { replica: replica.to_owned(), revision, after: Duration::ZERO, streams_closed: 2 };
    database.acknowledge(&acknowledgement).await.unwrap();
}

/// Registers a replica that is not heard of again.
fn beat(url: &DatabaseUrl, replica: &str, revision: u64) {
    block_on(async {
        let heartbeat = Heartbeat {
            replica: replica.to_owned(),
            address: "host-1".to_owned(),
            version: "1".to_owned(),
            revision,
            lease: Duration::from_mins(1),
            when_stale: WhenStale::Serve,
        };
        sql::open(url, None).await.unwrap().heartbeat(&heartbeat).await.unwrap();
    });
}

fn block_on<T>(task: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(task)
}

/// Runs `test` on either kind of database.
fn on_both(test: impl Fn(&Place)) {
    test(&Place::sqlite());
    let server = Postgres::start();
    test(&Place::new(tempfile::tempdir().unwrap(), server.create_database()));
}

#[test]
fn a_key_from_its_first_to_its_last_day() {
    on_both(|place| {
        assert_eq!(place.json(&["keys", "list"]), json!([]));
        place.person("ada", "owner", &[]);
        let (id, secret) = place.key(&["--owner", "ada"]);
        assert_eq!(
            place.json(&["organizations", "list"]),
            json!([{"id": "default", "name": null, "projects": null}])
        );
        let shown = place.json(&["keys", "show", &id]);
        assert_eq!(
            (&shown["owner"], &shown["organization"], &shown["status"], &shown["effective"]["scopes"]),
            (&json!("ada"), &json!("default"), &json!("active"), &json!(["read"]))
        );
        let who = |secret: &str| {
            place.run_with(&["keys", "whoami", "--output", "json"], secret).expect_success().stdout
        };
        assert!(who(&secret).contains(&id));

        let rotated = place.run(&["keys", "rotate", &id]).expect_success();
        assert!(rotated.stderr.contains("no replica is registered"), "{}", rotated.stderr);
        let old: Value = serde_json::from_str(&who(&secret)).unwrap();
        assert_eq!((&old["id"], &old["is_previous_secret"]), (&json!(id), &json!(true)));
        assert!(who(rotated.stdout.trim_end()).contains("\"is_previous_secret\": false"));

        place.run(&["people", "disable", "ada"]).expect_success();
        assert_eq!(place.json(&["keys", "show", &id])["status"], "owner disabled");
        place.run(&["keys", "revoke", &id, "--reason", "printed"]).expect_success();
        let listed = place.json(&["keys", "list", "--status", "revoked"]);
        assert_eq!(listed[0]["revoked_reason"], "printed");
        assert_eq!(place.run(&["keys", "rotate", &id]).code, Some(2));
        let again = place.run(&["keys", "revoke", &id]).expect_success();
        assert!(again.stderr.contains("was revoked already"), "{}", again.stderr);
        let (output, secrets) =
            (place.run(&["keys", "list"]).stdout, [secret.as_str(), rotated.stdout.trim_end()]);
        assert!(secrets.iter().all(|secret| !output.contains(&secret[12..])) && !output.contains("sha256"));
    });
}

#[test]
fn what_would_be_wrong_is_refused() {
    on_both(|place| {
        place.person("ada", "owner", &[]);
        place.run(&["projects", "create", "alpha", "--first"]).expect_success();
        place.run(&["projects", "create", "beta"]).expect_success();
        place.person("bob", "viewer", &["--project", "alpha"]);
        let create = ["keys", "create", "--name", "x"];
        let long = "x".repeat(10_000);
        let table: &[(&[&str], &str)] = &[
            (
                &["--scope", "wriet", "--all-projects"],
                "--scope: no scope is called \"wriet\"; did you mean \"write\"?",
            ),
            (
                &["--scope", "read", "--all-projects", "--owner", "adda"],
                "--owner: no person has the id \"adda\"; did you mean \"ada\"?",
            ),
            (&["--scope", "read"], "<--project <PROJECT>|--all-projects>"),
            (
                &["--scope", "write", "--project", "alpha", "--owner", "bob"],
                "bob is viewer, whose keys have at most read",
            ),
            (&["--scope", "read", "--all-projects", "--owner", "bob"], "bob has alpha"),
            (&["--scope", "read", "--project", "gamma"], "declares no project \"gamma\""),
            (
                &["--scope", "read", "--all-projects", "--organization", "acme"],
                "--organization: no organization has the id",
            ),
            (&["--scope", "read", "--all-projects", "--owner", &long], "--owner must be"),
            (&["--scope", &long, "--all-projects"], "no scope is called"),
            (&["--scope", "read", "--project", &long], "no project"),
            (&["--scope", "read", "--project", "a\u{1b}[2Jb"], "no project"),
        ];
        for (more, expected) in table {
            let refused = place.run(&[&create[..], more].concat());
            assert_eq!(refused.code, Some(2), "{more:?}: {}", refused.stderr);
            assert!(refused.stderr.contains(expected) && refused.stdout.is_empty(), "{}", refused.stderr);
            assert!(!refused.stderr.contains('\u{1b}'));
        }
        for (arguments, expected) in [
            (&["people", "create", "bob", "--email", "b@b", "--role", "member"][..], "taken already"),
            (&["people", "create", "eve\u{202e}", "--email", "b@b", "--role", "member"], "the id must be"),
            (
                &["people", "create", "eve", "--email", "b@b", "--role", "member", "--name", &long],
                "--name must be",
            ),
            (&["people", "update", "eve", "--role", "member"], "no person has the id eve"),
            (&["people", "update", "bob", "--project", "gamma"], "declares no project"),
            (&["projects", "remove", "alpha"], "person bob names the project alpha"),
            (&["projects", "remove", "gamma"], "no organization declares"),
            (&["projects", "create", &long], "can be no project"),
            (&["organizations", "create", "default"], "taken already"),
            (&["organizations", "create", "acme"], "must declare its projects"),
            (
                &["organizations", "create", "acme", "--project", "alpha"],
                "declares the project \"alpha\" already",
            ),
            (&["keys", "revoke", "key_1"], "no key has the id key_1"),
        ] {
            let refused = place.run(arguments);
            assert_eq!(refused.code, Some(2), "{arguments:?}: {}", refused.stderr);
            assert!(refused.stderr.contains(expected), "{arguments:?}: {}", refused.stderr);
        }
        assert_eq!(place.json(&["keys", "list"]), json!([]));
        let projects = place.json(&["projects", "list", "--count"]);
        assert_eq!(projects[0], json!({"id": "alpha", "organization": "default", "keys": 0, "people": 1}));
        place.run(&["projects", "remove", "beta"]).expect_success();
        place.run(&["organizations", "create", "acme", "--project", "gamma"]).expect_success();
        place.person("carl", "admin", &["--organization", "acme"]);
        place.key(&["--owner", "carl"]);
    });
}

#[test]
fn the_first_project_waits_until_nobody_names_another() {
    let place = Place::sqlite();
    place.person("ada", "owner", &["--project", "beta"]);
    let base = ["keys", "create", "--name", "x", "--scope", "read", "--project", "gamma"];
    place.run(&base).expect_success();
    let refused = place.run(&["projects", "create", "alpha", "--first"]);
    assert_eq!(refused.code, Some(2));
    for expected in ["person ada names the project beta", "names the project gamma"] {
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    assert_eq!(place.json(&["projects", "list"]), json!([]));
}

#[test]
fn a_receipt_names_who_confirmed_and_who_did_not() {
    on_both(|place| {
        let (id, _) = place.key(&[]);
        let replica = place.replica("r-1");
        let revoked = place.run(&["keys", "revoke", &id]).expect_success();
        assert!(
            revoked.stderr.contains("in force on 1/1 replicas, slowest ")
                && revoked.stderr.contains(" ms, 2 open streams closed"),
            "{}",
            revoked.stderr
        );
        let (other, _) = place.key(&[]);
        let receipt = place.json(&["keys", "revoke", &other]);
        assert!(receipt["revision"].is_u64() && receipt["confirmed"][0]["ms"].is_u64(), "{receipt}");
        assert_eq!(
            (&receipt["confirmed"][0]["replica"], &receipt["pending"], &receipt["streams_closed"]),
            (&json!("r-1"), &json!([]), &json!(2))
        );

        beat(&DatabaseUrl::parse(&place.url).unwrap(), "r-2", 1);
        let unconfirmed = |arguments: &[&str]| {
            let unconfirmed = place.run(&[arguments, &["--wait", "300ms"]].concat());
            assert_eq!(unconfirmed.code, Some(3), "{}", unconfirmed.stderr);
            unconfirmed
        };
        let create = ["people", "create", "ada", "--email", "a@b", "--role", "owner"];
        let told = unconfirmed(&create).stderr;
        assert!(
            told.contains("in force on 1/2 replicas")
                && told.contains("replica r-2 at host-1")
                && told.contains("keygate replicas forget r-2"),
            "{told}"
        );
        // What is so already is asked for again.
        let again = unconfirmed(&["keys", "revoke", &other, "--output", "json"]);
        let receipt: Value = serde_json::from_str(&again.stdout).unwrap();
        assert_eq!(receipt["pending"][0]["replica"], "r-2");
        assert!(receipt["pending"][0]["silent_ms"].is_u64());
        place.run(&["people", "disable", "ada", "--wait", "0"]).expect_success();

        let replicas = place.json(&["replicas", "list"]);
        assert_eq!(replicas[1]["replica"], "r-2");
        assert!(replicas[1]["behind"].as_u64().unwrap() > 0, "{replicas}");
        place.run(&["replicas", "forget", "r-2"]).expect_success();
        assert_eq!(place.run(&["replicas", "forget", "r-2"]).code, Some(2));
        place.run(&["people", "enable", "ada"]).expect_success();
        drop(replica);
    });
}

#[test]
fn an_unreachable_database_changes_nothing_and_says_so() {
    let place = Place::sqlite();
    for url in ["postgres://ada:s3cret@127.0.0.1:1/keygate", "sqlite:/nowhere/keys.db"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.current_dir(place.folder.path()).args(["keys", "revoke", "key_1"]);
        let failed = run(command.env("KEYGATE_DATABASE", url), "");
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        assert!(failed.stderr.contains("nothing was done"), "{}", failed.stderr);
        assert!(!failed.stderr.contains("s3cret") && failed.stdout.is_empty());
    }
    for url in [
        "mysql://ada:s3cret@x/y",
        "postgres://ada:s3cret@h:port/d",
        "postgres://ada:p@s3cret/w@127.0.0.1/keygate",
    ] {
        let wrong = place.run(&["keys", "list", "--database", url]);
        assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
        assert!(
            wrong.stderr.starts_with("--database: ") && !wrong.stderr.contains("s3cret"),
            "{}",
            wrong.stderr
        );
    }
}

#[test]
fn a_database_that_goes_away_leaves_the_change_unconfirmed() {
    let mut server = Postgres::start();
    let place = Place::new(tempfile::tempdir().unwrap(), server.create_database());
    beat(&DatabaseUrl::parse(&place.url).unwrap(), "r-1", 0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    command.args(["keys", "create", "--name", "New", "--scope", "read", "--all-projects", "--wait", "1h"]);
    command.env("KEYGATE_DATABASE", &place.url).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut waiting = command.current_dir(place.folder.path()).spawn().unwrap();
    // The secret is shown once the key is committed, whoever confirms it.
    let mut secret = String::new();
    BufReader::new(waiting.stdout.take().unwrap()).read_line(&mut secret).unwrap();
    server.kill();
    let output = waiting.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("revision 1 is committed, but it is not known where it is in force"), "{told}");
    assert!(secret.starts_with("kg_live_"));
}

#[test]
fn persons_do_what_their_role_permits() {
    const CONFIG: &str = "\
version: 1
listen: {address: 127.0.0.1:0}
upstreams: {api: {url: http://127.0.0.1:9}}
keys: {database: sqlite:keys.db}
key_creation: everyone
routes: [{path: '/{*rest}', methods: {'*': read}}]
";
    let place = Place::sqlite();
    place.person("ada", "owner", &[]);
    place.person("adam", "admin", &[]);
    place.person("mia", "member", &[]);
    place.person("eve", "admin", &["--organization", "default"]);
    place.run(&["people", "disable", "eve"]).expect_success();
    let (unowned, _) = place.key(&[]);
    let (of_ada, _) = place.key(&["--owner", "ada"]);
    std::fs::write(place.folder.path().join("keygate.yaml"), CONFIG).unwrap();
    std::fs::write(
        place.folder.path().join("brought.csv"),
        format!("name,hash\nbrought,sha256:{:064x}\n", 7),
    )
    .unwrap();
    let create = ["keys", "create", "--name", "x", "--all-projects", "--scope"];
    let import = ["keys", "import", "brought.csv", "--all-projects", "--expires", "never", "--scope", "read"];
    let add = ["people", "create", "ann", "--email", "a@b", "--role"];
    let table: &[(&str, &[&str], bool)] = &[
        ("mia", &[&create[..], &["write"]].concat(), true),
        ("mia", &[&create[..], &["admin"]].concat(), false),
        ("mia", &[&create[..], &["read", "--owner", "ada"]].concat(), false),
        ("mia", &[&import[..], &["--owner", "ada"]].concat(), false),
        ("mia", &import, true),
        ("mia", &["keys", "revoke", &unowned], false),
        ("mia", &["keys", "rotate", &of_ada], false),
        ("mia", &["keys", "show", &of_ada], false),
        ("mia", &["people", "show", "ada"], false),
        ("mia", &["projects", "create", "alpha", "--first"], false),
        ("adam", &[&create[..], &["read", "--owner", "mia"]].concat(), true),
        ("adam", &[&create[..], &["read", "--owner", "ada"]].concat(), false),
        ("adam", &["keys", "rotate", &of_ada], false),
        ("adam", &[&add[..], &["owner"]].concat(), false),
        ("adam", &[&add[..], &["admin"]].concat(), true),
        ("adam", &["people", "update", "ada", "--role", "member"], false),
        ("adam", &["people", "update", "adam", "--role", "owner"], false),
        ("adam", &["organizations", "create", "acme"], false),
        ("eve", &["keys", "list"], false),
        ("eve", &["people", "list"], false),
        ("eve", &["projects", "list"], false),
        ("nobody", &["keys", "list"], false),
        ("adam", &["keys", "revoke", &of_ada], true),
        ("ada", &["people", "update", "adam", "--role", "viewer"], true),
        ("adam", &["people", "disable", "mia"], false),
    ];
    for (person, arguments, is_permitted) in table {
        let more = ["--as", person, "--config", "keygate.yaml"];
        let done = place.run(&[arguments, &more[..]].concat());
        assert_eq!(
            done.code,
            Some(if *is_permitted { 0 } else { 2 }),
            "{person} {arguments:?}: {}",
            done.stderr
        );
    }
    let seen = place.json(&["keys", "list", "--as", "mia", "--config", "keygate.yaml"]);
    let owners: Vec<_> = seen.as_array().unwrap().iter().map(|key| key["owner"].clone()).collect();
    assert_eq!(owners, ["mia", "mia", "mia"], "what she brings without an owner is hers too");
    let revoked = place.json(&["keys", "show", &of_ada]);
    assert_eq!(revoked["revoked_by"], "adam");
}

#[test]
fn a_long_list_is_cut_and_says_so() {
    let place = Place::sqlite();
    for _ in 0..3 {
        place.key(&[]);
    }
    let cut = place.run(&["keys", "list", "--limit", "2"]).expect_success();
    assert_eq!(cut.stdout.lines().count(), 3);
    assert!(cut.stderr.contains("the first 2"), "{}", cut.stderr);
    let whole = place.run(&["keys", "list", "--all"]).expect_success();
    assert_eq!((whole.stdout.lines().count(), whole.stderr.as_str()), (4, ""));
}
