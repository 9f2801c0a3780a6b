//! The health listener and the health check, over loopback.

use std::{
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    time::Instant,
};

use jiff::Timestamp;
use keygate::{
    admin::health::{self, CONNECTIONS_MAX, HealthState, Unhealthy, healthcheck},
    config::{Config, Surroundings, parse},
    keys::{
        record::{KeyRecord, Organization, Person},
        snapshot::KeySnapshot,
        tally::KeyTally,
    },
    live::{Live, Published},
    net::{
        drain::{Phase, Shutdown},
        listener::{ListenAddress, ListenOptions, bind},
    },
    telemetry::metrics::{BuildInfo, Metrics},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use rustix::process::Signal;

use crate::{
    fixture,
    harness::{Client, GUARD, Gateway, Message, Upstream, run},
};

/// A health listener, and the state that it tells of.
struct Health {
    address: SocketAddr,
    state: HealthState,
    config: Arc<Config>,
    _runtime: Runtime,
}

impl Health {
    /// Without keys.
    fn start() -> Self {
        let config = Arc::new(config());
        let build = BuildInfo { version: "1.2.3", revision: "abc", target: "t" };
        let state = HealthState {
            metrics: Metrics::new(build, Timestamp::UNIX_EPOCH),
            live: Live::new(Published { revision: 0, config: Arc::clone(&config), keys: None }),
            shutdown: Shutdown::new(),
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let bound = bind(&ListenOptions { address, unix_mode: 0o600, workers: NonZeroUsize::MIN }).unwrap();
        let ListenAddress::Tcp(address) = bound.address else { panic!("asked for TCP") };
        let listener = {
            let _entered = runtime.enter();
            bound.sockets.into_iter().next().unwrap().into_listener().unwrap()
        };
        runtime.spawn(health::serve(listener, state.clone()));
        Self { address, state, config, _runtime: runtime }
    }

    /// With a key snapshot in force.
    fn start_ready() -> Self {
        let health = Self::start();
        health.publish_keys(1);
        health
    }

    fn publish_keys(&self, revision: u64) {
        let policy = self.config.key_policy();
        let keys = KeySnapshot::build::<KeyRecord, Person, Organization>(&[], &[], &[], &policy).unwrap();
        self.state.live.publish(Published { revision, config: Arc::clone(&self.config), keys: Some(keys) });
    }

    fn ask(&self, method: &str, target: &str) -> Message {
        Client::connect(self.address)
            .exchange(format!("{method} {target} HTTP/1.1\r\nHost: any.example:1\r\n\r\n"))
    }

    fn readyz(&self) -> (u16, Value) {
        let answer = self.ask("GET", "/readyz");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        (answer.status(), answer.json())
    }
}

fn config() -> Config {
    let text = "{version: 1, listen: {address: '127.0.0.1:0'}, admin: null, upstreams: {api: {url: 'http://127.0.0.1:9'}}, \
                keys: {file: keys.yaml}, routes: [{path: '/{*rest}', methods: {GET: read, '*': write}}]}";
    let surroundings = Surroundings::of_process("keygate-00000000");
    parse(Path::new("keygate.yaml"), text.as_bytes(), &surroundings).result.unwrap()
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn three_paths_answer_get_and_head_and_nothing_else_is_there() {
    let health = Health::start_ready();
    for path in ["/livez", "/readyz", "/metrics", "/readyz?verbose"] {
        let (get, head) = (health.ask("GET", path), health.ask("HEAD", path));
        assert_eq!((get.status(), head.status()), (200, 200), "{path}");
        assert!(!get.body.is_empty() && head.body.is_empty(), "{path}");
        assert_eq!(get.header("content-type"), head.header("content-type"), "{path}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "NONSENSE"] {
            let answer = health.ask(method, path);
            assert_eq!(answer.status(), 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{method} {path}");
        }
    }
    for path in ["/", "/livez/", "/LIVEZ", "//livez", "/livez/../metrics", "/api/v1/keys", "/%6Civez"] {
        assert_eq!(health.ask("GET", path).status(), 404, "{path}");
    }
}

#[test]
fn any_host_is_answered_and_none_too() {
    let health = Health::start_ready();
    for head in [
        "GET /livez HTTP/1.1\r\nHost: 10.0.0.1:8082\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: pod.namespace.svc\r\n\r\n",
        "GET /livez HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.0\r\n\r\n",
        "GET http://elsewhere.example/livez HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n",
    ] {
        let answer = Client::connect(health.address).exchange(head);
        assert_eq!((answer.status(), answer.text()), (200, "ok\n"), "{head}");
    }
}

#[test]
fn one_connection_carries_one_request() {
    let health = Health::start_ready();
    let mut client = Client::connect(health.address);
    client.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2));
    let answer = client.response();
    assert_eq!(answer.header("connection"), Some("close"));
    client.expect_close();
}

#[test]
fn what_is_no_request_gets_an_error_or_a_close() {
    let health = Health::start_ready();
    for bytes in [
        "\0\0\0\0\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20)),
        format!("GET /livez HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(10_000)),
        format!("GET /livez HTTP/1.1\r\nA: {}", "a".repeat(1 << 20)),
    ] {
        let answer = Client::connect(health.address).send(&bytes).try_response();
        let status = answer.map(|answer| answer.status());
        assert!(matches!(status, None | Some(400..=499)), "{status:?} for {:?}", &bytes[..20]);
    }
    assert_eq!(health.ask("GET", "/livez").status(), 200);
}

#[test]
fn it_is_ready_from_the_first_keys_until_it_leaves() {
    let health = Health::start();
    assert_eq!(
        health.readyz(),
        (503, json!({"ready": false, "reason": "no_keys", "revision": 0, "sources": []}))
    );
    health.publish_keys(7);
    assert_eq!(health.readyz(), (200, json!({"ready": true, "revision": 7, "sources": []})));
    for phase in [Phase::Leaving, Phase::Draining, Phase::Forced] {
        health.state.shutdown.advance(phase);
        assert_eq!(
            health.readyz(),
            (503, json!({"ready": false, "reason": "shutting_down", "revision": 7, "sources": []}))
        );
        assert_eq!(health.ask("GET", "/livez").status(), 200);
    }
}

#[test]
fn a_wrong_source_is_told_and_does_not_make_it_unready() {
    let health = Health::start_ready();
    let metrics = &health.state.metrics;
    metrics.source_taken("keygate.yaml", second(1));
    metrics.source_taken("keys.yaml", second(2));
    metrics.source_wrong("keys.yaml", second(3), "keys.yaml:4:7: \"nonsens\" is no scope");
    metrics.source_wrong("keys.yaml", second(4), "keys.yaml:4:7: \"nonsens\" is no scope");
    let config = json!({"name": "keygate.yaml", "state": "ok", "since": "1970-01-01T00:00:01Z"});
    let wrong_keys = json!({
        "name": "keys.yaml",
        "state": "wrong",
        "since": "1970-01-01T00:00:03Z",
        "problem": "keys.yaml:4:7: \"nonsens\" is no scope",
    });
    let (status, detail) = health.readyz();
    assert_eq!((status, &detail["sources"]), (200, &json!([config, wrong_keys])));
    metrics.source_taken("keys.yaml", second(5));
    let keys = json!({"name": "keys.yaml", "state": "ok", "since": "1970-01-01T00:00:05Z"});
    assert_eq!(health.readyz().1["sources"], json!([config, keys]));
}

#[test]
fn metrics_are_openmetrics_text() {
    let health = Health::start_ready();
    health.state.metrics.set_revision(9, KeyTally { active: 3, ..KeyTally::default() });
    let answer = health.ask("GET", "/metrics");
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(answer.text().ends_with("# EOF\n"), "{}", answer.text());
    for line in ["keygate_keys{status=\"active\"} 3", "version=\"1.2.3\""] {
        assert!(answer.text().contains(line), "no {line} in {}", answer.text());
    }
}

#[test]
fn whoever_holds_connections_open_keeps_no_probe_out() {
    let health = Health::start_ready();
    // Accepted in the order in which they came.
    let mut silent: Vec<Client> = (0..CONNECTIONS_MAX).map(|_| Client::connect(health.address)).collect();
    for _ in 0..3 {
        assert_eq!(health.ask("GET", "/livez").status(), 200);
    }
    silent[0].expect_close();
    let youngest = silent.last_mut().unwrap();
    assert_eq!(youngest.exchange("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").status(), 200);
}

#[test]
fn half_a_head_does_not_hold_its_place() {
    let health = Health::start_ready();
    Client::connect(health.address).send("GET /livez HTTP/1.1\r\nHost: a\r\n").expect_close();
}

#[test]
fn the_health_check_says_whether_the_gateway_is_ready() {
    let health = Health::start();
    let problem = healthcheck(health.address).unwrap_err();
    assert!(matches!(problem, Unhealthy::NotReady(503, _)), "{problem:?}");
    assert!(problem.to_string().contains("no_keys"), "{problem}");
    health.publish_keys(1);
    healthcheck(health.address).unwrap();
    // The address to listen on, as it stands in the config.
    healthcheck(SocketAddr::new("0.0.0.0".parse().unwrap(), health.address.port())).unwrap();
    health.state.shutdown.advance(Phase::Leaving);
    assert!(healthcheck(health.address).unwrap_err().to_string().contains("shutting_down"));
}

#[test]
fn the_command_tells_by_its_exit_code() {
    let health = Health::start();
    let (address, here) = (health.address.to_string(), Path::new("."));
    let check = || run::keygate(here, &["healthcheck", "--address", &address], "");
    let not_ready = check();
    assert_eq!(not_ready.code, Some(1));
    assert!(not_ready.stderr.contains("no_keys"), "{}", not_ready.stderr);
    health.publish_keys(1);
    let ready = check().expect_success();
    assert_eq!((ready.stdout.as_str(), ready.stderr.as_str()), ("", ""));
    let wrong = run::keygate(here, &["healthcheck", "--address", "nowhere"], "");
    assert_eq!(wrong.code, Some(2));
}

#[test]
fn the_health_check_fails_where_no_gateway_answers() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    let silent = healthcheck(address).unwrap_err();
    assert!(matches!(silent, Unhealthy::Unreachable(..)), "{silent:?}");
    assert!(silent.to_string().contains("does not answer within 2 s"), "{silent}");
    drop(nobody);
    let gone = healthcheck(address).unwrap_err();
    assert!(gone.to_string().contains("cannot be reached"), "{gone}");
    let other = Upstream::start(|talk| {
        talk.request()?;
        talk.send("SSH-2.0-OpenSSH_9.2\r\n\r\n")
    });
    let other = healthcheck(other.address()).unwrap_err();
    assert!(matches!(other, Unhealthy::NotHttp(_)), "{other:?}");
}

/// The real gateway in front of `upstream`, with a health listener.
fn gateway(upstream: &Upstream) -> Gateway {
    let config = fixture::config(&upstream.url(), "", "", "")
        .replace("health: null", "health: {address: '127.0.0.1:0'}");
    Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &fixture::keys())])
}

fn get(gateway: &Gateway, path: &str) -> Message {
    Client::connect(gateway.address("health")).exchange(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

/// Asks `/readyz` until the answer is as wanted.
fn readyz_until(gateway: &Gateway, wanted: impl Fn(&Message) -> bool) -> Message {
    let start = Instant::now();
    loop {
        let answer = get(gateway, "/readyz");
        if wanted(&answer) {
            return answer;
        }
        assert!(start.elapsed() < GUARD, "still {answer:?}\n{}", gateway.output());
        std::thread::yield_now();
    }
}

/// What `/readyz` says of the key file.
fn key_file(answer: &Message) -> Value {
    let detail = answer.json();
    let sources = detail["sources"].as_array().unwrap();
    let is_key_file = |source: &&Value| source["name"].as_str().unwrap().ends_with("keys.yaml");
    sources.iter().find(is_key_file).unwrap_or_else(|| panic!("no key file in {detail}")).clone()
}

#[test]
fn a_wrong_key_file_shows_with_its_place_and_without_what_it_holds() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let gateway = gateway(&upstream);
    assert_eq!(get(&gateway, "/livez").status(), 200);
    let ready = get(&gateway, "/readyz");
    assert_eq!((ready.status(), key_file(&ready)["state"].as_str()), (200, Some("ok")));

    let secret = "kg_live_9aSecretThatStandsWhereADigestShould1234";
    let keys = fixture::keys();
    gateway.replace("keys.yaml", &format!("{keys}  - {{id: third, hash: '{secret}', scopes: [nonsense]}}\n"));
    let wrong = readyz_until(&gateway, |answer| key_file(answer)["state"] == "wrong");
    assert_eq!(wrong.status(), 200, "the last good keys serve on");
    let problem = key_file(&wrong)["problem"].as_str().unwrap().to_owned();
    assert!(problem.contains("keys.yaml:5:"), "{problem}");
    let metrics = get(&gateway, "/metrics");
    assert!(metrics.text().contains("\nkeygate_sources_wrong 1\n"), "{}", metrics.text());
    for told in [wrong.text(), metrics.text(), &gateway.output()] {
        assert!(!told.contains(&secret[8..24]), "{told}");
    }

    gateway.replace("keys.yaml", &keys);
    let mended = readyz_until(&gateway, |answer| key_file(answer)["state"] == "ok");
    assert!(key_file(&mended).get("problem").is_none(), "{mended:?}");
}

#[test]
fn while_it_drains_it_lives_and_is_not_ready() {
    let (upstream, go) = Upstream::held("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let mut gateway = gateway(&upstream);
    let mut client = gateway.connect();
    client.send(fixture::request("GET /any/a", &[], ""));
    upstream.wait_for_requests(1);
    gateway.signal(Signal::TERM);
    let leaving = readyz_until(&gateway, |answer| answer.status() == 503);
    assert_eq!(leaving.json()["reason"], "shutting_down");
    assert_eq!(get(&gateway, "/livez").status(), 200);
    let address = gateway.address("health").to_string();
    assert_eq!(run::keygate(gateway.folder(), &["healthcheck", "--address", &address], "").code, Some(1));
    go.open();
    assert_eq!(client.response().text(), "hi");
    let (status, output) = gateway.wait();
    assert!(status.success(), "{status}\n{output}");
}
