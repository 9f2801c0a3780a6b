//! Several real gateways on one PostgreSQL, each behind a network of its own that fails when the test says so: what a
//! receipt promises is kept whatever happens to databases, networks and replicas.

mod limits;
mod outages;
mod partitions;
mod receipts;
mod records;
mod replicas;
mod restarts;
mod start;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use self::records::{Records, record};
use crate::harness::{Client, GUARD, Gateway, Message, Postgres, TcpProxy, Upstream, run};

/// Key ids, and their secrets.
const FULL: (&str, &str) = ("full", "full-0123456789abcdefghijklmnopqrstuv");
const LOST: (&str, &str) = ("lost", "lost-0123456789abcdefghijklmnopqrstuv");

/// Stale after five seconds, and then closed: the least that can be said.
const REJECT: &str = "staleness: {max: 5s, then: reject}";

/// Replicas, what they stand before, and what they follow.
struct Fleet {
    /// Goes first, while there is a database to say goodbye to.
    replicas: Vec<Replica>,
    upstream: Upstream,
    records: Records,
    /// A folder with a config from which commands reach the database directly.
    desk: tempfile::TempDir,
    server: Postgres,
    database: String,
}

/// One gateway, and its ways to the database.
struct Replica {
    gateway: Gateway,
    address: SocketAddr,
    /// What it asks and tells goes through here.
    network: TcpProxy,
    /// What it hears comes through here.
    listening: TcpProxy,
}

/// How a fleet is set up.
struct SetUp {
    replicas: usize,
    /// Added to every config.
    config: &'static str,
    /// Whether what is heard comes through a network of its own.
    listen_url: bool,
}

/// What a command printed of its receipt.
#[derive(Debug)]
struct Receipt {
    code: Option<i32>,
    answer: Value,
}

impl Default for SetUp {
    fn default() -> Self {
        Self { replicas: 3, config: "", listen_url: true }
    }
}

impl SetUp {
    /// Replicas that follow a new database with the keys [`FULL`] and [`LOST`], which both may do everything.
    fn start(self) -> Fleet {
        let mut fleet = self.prepare();
        for _ in 0..self.replicas {
            fleet.add_replica(&self);
        }
        for replica in &fleet.replicas {
            replica.wait_until(LOST.1, 200, None);
        }
        fleet
    }

    /// The database, and as yet no replica.
    fn prepare(&self) -> Fleet {
        let server = Postgres::start();
        let database = server.create_named_database();
        let records = Records::of(&server.url_as("postgres", &database));
        records.add(&[record(FULL), record(LOST)]);
        let upstream = Upstream::with_streams(OK);
        let desk = tempfile::tempdir().unwrap();
        let fleet = Fleet { replicas: Vec::new(), upstream, records, desk, server, database };
        let url = fleet.server.url_as("postgres", &fleet.database);
        let text = config(&fleet.upstream.url(), 8080, &format!("{{database: '{url}'}}"), self.config);
        std::fs::write(fleet.desk.path().join("keygate.yaml"), text).unwrap();
        fleet
    }
}

impl Fleet {
    fn start() -> Self {
        SetUp::default().start()
    }

    /// One more, which has begun to listen when this returns.
    fn add_replica(&mut self, set_up: &SetUp) {
        let replica = self.new_replica(set_up);
        replica.gateway.address("data");
        self.replicas.push(replica);
    }

    /// One that is on its way.
    fn new_replica(&self, set_up: &SetUp) -> Replica {
        self.launch(set_up, Path::new("state"), |_| {})
    }

    /// One whose network to the database has a fault from the beginning.
    fn new_replica_behind(&self, set_up: &SetUp, fault: impl FnOnce(&TcpProxy)) -> Replica {
        self.launch(set_up, Path::new("state"), fault)
    }

    fn new_replica_with_state(&self, set_up: &SetUp, state: &Path) -> Replica {
        self.launch(set_up, state, |_| {})
    }

    fn launch(&self, set_up: &SetUp, state: &Path, fault: impl FnOnce(&TcpProxy)) -> Replica {
        let network = TcpProxy::before(self.server.address());
        fault(&network);
        let listening = TcpProxy::before(self.server.address());
        let url = |proxy: &TcpProxy| {
            format!("postgres://postgres@127.0.0.1:{}/{}?sslmode=disable", proxy.port(), self.database)
        };
        let mut keys = format!("{{database: '{}'", url(&network));
        if set_up.listen_url {
            let _ = write!(keys, ", listen_url: '{}'", url(&listening));
        }
        keys.push('}');
        let port = quiet_port();
        let text = config(&self.upstream.url(), port, &keys, set_up.config);
        let text = text.replacen("state: state", &format!("state: {}", state.display()), 1);
        let gateway = Gateway::spawn(&[("keygate.yaml", &text)], |command| command);
        Replica { gateway, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), network, listening }
    }

    /// `keygate ARGUMENTS…` at the desk.
    fn keygate(&self, arguments: &[&str]) -> run::Run {
        run::keygate(self.desk.path(), arguments, "")
    }

    /// A change whose receipt is asked for. `wait` is for how long.
    fn change(&self, arguments: &[&str], wait: &str) -> Receipt {
        let done = self.keygate(&[arguments, &["--wait", wait, "--output", "json"]].concat());
        let answer = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("no receipt: {done:?}"));
        Receipt { code: done.code, answer }
    }

    /// A change that all replicas must confirm; what it prints on standard output.
    fn change_everywhere(&self, arguments: &[&str]) -> String {
        let done = self.keygate(&[arguments, &["--wait", "30s"]].concat()).expect_success();
        let count = self.replicas.len();
        assert!(done.stderr.contains(&format!("in force on {count}/{count} replicas")), "{done:?}");
        done.stdout
    }

    /// Revokes a key and expects that all replicas confirm it.
    fn revoke(&self, id: &str) -> Receipt {
        let receipt = self.change(&["keys", "revoke", id], "30s");
        receipt.expect_confirmed(self.replicas.len());
        receipt
    }

    /// All records as SQL.
    fn dump(&self) -> String {
        let url = self.server.url_as("postgres", &self.database);
        run::run(Command::new("pg_dump").arg(url), "").expect_success().stdout
    }

    /// Puts a dump in the place of everything.
    fn restore(&self, dump: &str) {
        let emptied = "BEGIN; DROP SCHEMA public CASCADE; CREATE SCHEMA public;";
        self.server.psql(&self.database, &format!("{emptied}\n{dump}\nCOMMIT;"));
    }

    /// Alters a key as somebody does who knows the tables and not the rules.
    fn write_by_hand(&self, id: &str, assignment: &str) {
        let statements = format!(
            "BEGIN;
             UPDATE head SET revision = revision + 1, committed_at = committed_at + 1;
             UPDATE keys SET {assignment} WHERE id = '{id}';
             INSERT INTO commits SELECT revision, committed_at FROM head;
             INSERT INTO changes SELECT revision, 'key', '{id}', NULL FROM head;
             SELECT pg_notify('keygate', revision::text) FROM head;
             COMMIT;"
        );
        self.server.psql(&self.database, &statements);
    }

    /// Waits until every replica has everything in force that is stored.
    fn wait_until_caught_up(&self) {
        let head = self.records.head();
        wait_for(&format!("revision {head} on {} replicas", self.replicas.len()), || {
            let rows = self.records.replicas();
            rows.len() == self.replicas.len() && rows.iter().all(|row| row.beat.revision >= head)
        });
    }

    fn expect_everywhere(&self, secret: &str, status: u16, code: Option<&str>) {
        for replica in &self.replicas {
            replica.expect(secret, status, code);
        }
    }
}

impl Replica {
    /// What a request on a new connection is answered.
    fn ask(&self, secret: &str) -> Message {
        Client::connect(self.address).exchange(request("/any/thing", secret))
    }

    fn expect(&self, secret: &str, status: u16, code: Option<&str>) {
        let answer = self.ask(secret);
        assert_eq!((answer.status(), code_of(&answer).as_deref()), (status, code), "{answer:?}");
    }

    /// Asks until the answer is this one.
    fn wait_until(&self, secret: &str, status: u16, code: Option<&str>) {
        wait_for(&format!("{status} {code:?} from {}", self.address), || {
            let answer = self.ask(secret);
            answer.status() == status && code_of(&answer).as_deref() == code
        });
    }

    /// Cuts it off from its database: nothing comes through, and nobody is told.
    fn isolate(&self) {
        self.network.black_hole();
        self.listening.black_hole();
    }

    /// Stops it in good order; [`Gateway::restart`] starts it again.
    fn stop(&mut self) {
        self.gateway.signal(Signal::TERM);
        assert!(self.gateway.wait().0.success());
    }

    /// What it keeps for a start without database.
    fn snapshot(&self) -> PathBuf {
        let mut files =
            std::fs::read_dir(self.gateway.folder().join("state")).unwrap().map(|file| file.unwrap());
        let is_it = |file: &std::fs::DirEntry| file.file_name().to_string_lossy().starts_with("snapshot");
        files.find(is_it).expect("no snapshot").path()
    }

    fn rejoin(&self) {
        self.network.pass();
        self.listening.pass();
    }

    /// How receipts name it: its id contains its port.
    fn is_named_in(&self, names: &[String]) -> bool {
        let port = format!(":{}-", self.address.port());
        names.iter().any(|name| name.contains(&port))
    }
}

impl Receipt {
    /// Fails unless `count` replicas have confirmed, and no other is waited for.
    fn expect_confirmed(&self, count: usize) {
        assert_eq!((self.code, self.names("pending").len()), (Some(0), 0), "{self:?}");
        assert_eq!(self.names("confirmed").len(), count, "{self:?}");
    }

    /// Fails unless all have confirmed but `replica`, which is named.
    fn expect_pending(&self, replica: &Replica) {
        let pending = self.names("pending");
        assert_eq!(self.code, Some(3), "{self:?}");
        assert!(pending.len() == 1 && replica.is_named_in(&pending), "{self:?}");
    }

    /// The replicas in one of its lists.
    fn names(&self, list: &str) -> Vec<String> {
        let empty = Vec::new();
        let entries = self.answer[list].as_array().unwrap_or(&empty);
        let name = |entry: &Value| entry["replica"].as_str().unwrap().to_owned();
        entries.iter().map(name).collect()
    }

    fn streams_closed(&self) -> u64 {
        self.answer["streams_closed"].as_u64().unwrap_or_else(|| panic!("{self:?}"))
    }
}

fn config(upstream: &str, port: u16, keys: &str, more: &str) -> String {
    format!(
        "version: 1\nlisten: {{address: '127.0.0.1:{port}'}}\nhealth: {{address: '127.0.0.1:0'}}\nadmin: null\n\
         state: state\nupstreams: {{api: {{url: '{upstream}'}}}}\nkeys: {keys}\n{more}\n{ROUTES}"
    )
}

const ROUTES: &str = "
routes:
  - {path: '/projects/{project}', project: 'path:project', methods: {GET: read, '*': write}}
  - {path: '/ws', methods: {GET: read}, websocket: true}
  - {path: '/any/{*rest}', methods: {GET: read, '*': write}}
";

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn request(target: &str, secret: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {secret}\r\n\r\n")
}

/// The code of a refusal.
fn code_of(answer: &Message) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(body["code"].as_str()?.to_owned())
}

/// Looks again and again until `is_so`.
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < 2 * GUARD, "waited for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port that no other process is given by chance: below those that the system chooses itself.
fn quiet_port() -> u16 {
    let mut random = [0; 2];
    loop {
        getrandom::fill(&mut random).unwrap();
        let port = 20_000 + u16::from_be_bytes(random) % 12_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
