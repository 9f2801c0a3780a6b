//! Workers in this process: that a publication which every worker has put in force leaves nothing under way that it does
//! not permit, and what a lapsed lease means.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use jiff::Timestamp;
use keygate::{
    clock::{self, SystemClock},
    control::{
        config_file::ConfigFile,
        reload::{Reloader, ReloaderParts},
    },
    keys::digest::KeyDigest,
    live::Live,
    net::{
        drain::{Phase, Shutdown},
        limits::{ConnectionBounds, ConnectionLimit},
        listener::{ListenAddress, ListenOptions, bind},
    },
    proxy::{
        Upstreams,
        worker::{Entrance, Worker},
    },
    telemetry::{
        access_log::{AccessLog, AccessLogSettings, Mode},
        audit::AuditLog,
        metrics::{BuildInfo, Metrics},
        worker::Telemetry,
    },
};
use tempfile::TempDir;

use crate::harness::{Client, GUARD, Upstream};

const WORKERS: usize = 2;

/// Workers on a port, and the control side of them.
struct Workers {
    live: Live,
    reloader: Reloader,
    address: SocketAddr,
    folder: TempDir,
    shutdown: Shutdown,
    threads: Vec<JoinHandle<()>>,
    upstream: Upstream,
}

impl Workers {
    fn start(more: &str) -> Self {
        // An answer without end.
        let upstream = Upstream::start(|talk| {
            while let Some(head) = talk.head()? {
                if head.target() == "/now" || head.target() == "/public" {
                    talk.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
                    continue;
                }
                talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
                talk.rest()?;
            }
            Ok(())
        });
        let folder = tempfile::tempdir().unwrap();
        let url = upstream.url();
        let config = format!(
            "version: 1\nlisten: {{address: 127.0.0.1:0}}\nhealth: null\nadmin: null\nupstreams: {{api: {{url: '{url}'}}}}\n\
             keys: {{file: keys.yaml}}\n{more}\nroutes:\n  - {{path: /public, access: public}}\n  \
             - {{path: '/{{*rest}}', methods: {{'*': read}}}}\n"
        );
        fs::write(folder.path().join("keygate.yaml"), config).unwrap();
        write_keys(folder.path(), false);
        let build = BuildInfo { version: "0", revision: "0", target: "test" };
        let metrics = Metrics::new(build, Timestamp::now());
        let reloader = reloader(folder.path(), &metrics);
        let live = reloader.live().clone();
        let settings = AccessLogSettings { mode: Mode::Off, ..AccessLogSettings::default() };
        let (telemetry, _) = Telemetry::new(metrics.clone(), AccessLog::open(&settings, &metrics).unwrap());
        let shutdown = Shutdown::new();
        let bound = bind(&ListenOptions {
            address: "127.0.0.1:0".parse().unwrap(),
            unix_mode: 0o600,
            workers: WORKERS.try_into().unwrap(),
        })
        .unwrap();
        let ListenAddress::Tcp(address) = bound.address else { panic!("asked for TCP") };
        let limit = ConnectionLimit::new(ConnectionBounds::default());
        let entrance = Entrance { index: 0, tls: None, limit };
        let threads = bound.sockets.into_iter().map(|socket| {
            let listeners = vec![(socket, entrance.clone())];
            let (live, shutdown) = (live.clone(), shutdown.clone());
            let worker = Worker::new(listeners, live, Upstreams::default(), &telemetry, shutdown).unwrap();
            thread::spawn(move || worker.run().unwrap())
        });
        let threads = threads.collect();
        Self { live, reloader, address, folder, shutdown, threads, upstream }
    }

    /// Revokes the key, and gives how many streams were closed until every worker had put that in force.
    fn revoke(&mut self) -> u64 {
        write_keys(self.folder.path(), true);
        assert!(self.reloader.reload_now().is_new);
        self.enforced()
    }

    fn enforced(&self) -> u64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let publication = self.live.enforce();
        let enforced = async { tokio::time::timeout(GUARD, self.live.enforced(publication)).await };
        runtime.block_on(enforced).unwrap()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shutdown.advance(Phase::Forced);
        for worker in self.threads.drain(..) {
            let _ = worker.join();
        }
    }
}

fn reloader(folder: &Path, metrics: &Metrics) -> Reloader {
    let mut config_file = ConfigFile::new(folder.join("keygate.yaml"), "keygate-test".into());
    let config = config_file.load().result.unwrap();
    let audit = Arc::new(AuditLog::to_file(&folder.join("audit.jsonl")).unwrap());
    let parts = ReloaderParts {
        config_file,
        config,
        certificates: Vec::new(),
        metrics: metrics.clone(),
        audit,
        clock: Box::new(SystemClock),
    };
    let (reloader, report) = Reloader::start(parts).unwrap();
    assert_eq!(report.wrong, []);
    reloader
}

/// The keys `a`, which may be revoked, and `b`.
fn write_keys(folder: &Path, revoked: bool) {
    let hash = |secret: &str| KeyDigest::of(secret.as_bytes()).to_text();
    let revoked = if revoked { "revoked_at: 2026-01-01T00:00:00Z, " } else { "" };
    let text = format!(
        "version: 1\nkeys:\n  - {{id: a, hash: '{}', scopes: [read], projects: all, {revoked}expires_at: never}}\n  \
         - {{id: b, hash: '{}', scopes: [read], projects: all, expires_at: never}}\n",
        hash("a"),
        hash("b")
    );
    let path = folder.join("keys.yaml");
    fs::write(folder.join(".new"), text).unwrap();
    fs::rename(folder.join(".new"), path).unwrap();
}

/// A request of the key, and the status it is answered with.
fn ask(address: SocketAddr, key: &str, path: &str) -> (Client, u16) {
    let mut client = Client::connect(address);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\r\n"));
    let status = client.response_head().status();
    (client, status)
}

#[test]
fn streams_that_were_closed_are_counted_and_no_request_is_admitted_behind_it() {
    let mut workers = Workers::start("");
    let streams: Vec<_> = (0..40).map(|_| ask(workers.address, "a", "/stream")).collect();
    let others: Vec<_> = (0..40).map(|_| ask(workers.address, "b", "/stream")).collect();
    assert!(streams.iter().chain(&others).all(|(_, status)| *status == 200));
    assert_eq!(workers.revoke(), 40);
    for (mut client, _) in streams {
        client.read_to_end();
    }
    assert_eq!(ask(workers.address, "a", "/now").1, 401);
    assert_eq!(ask(workers.address, "b", "/now").1, 200);
    // Nothing is counted twice, and nothing was closed of the other key.
    assert_eq!(workers.enforced(), 40);
}

#[test]
fn whatever_is_admitted_while_a_revocation_comes_into_force_ends_with_it() {
    let mut workers = Workers::start("");
    let (address, enforced) = (workers.address, AtomicBool::new(false));
    thread::scope(|scope| {
        let askers: Vec<_> = (0..4)
            .map(|_| {
                let enforced = &enforced;
                scope.spawn(move || {
                    let mut streams = Vec::new();
                    while !enforced.load(Relaxed) && streams.len() < 150 {
                        streams.push(ask(address, "a", "/stream"));
                    }
                    let behind = ask(address, "a", "/stream").1;
                    streams.push(ask(address, "a", "/stream"));
                    (streams, behind, enforced.load(Relaxed))
                })
            })
            .collect();
        workers.upstream.wait_until_received("some requests", |all| (all.len() > 20).then_some(()));
        workers.revoke();
        enforced.store(true, Relaxed);
        for asker in askers {
            let (streams, behind, was_enforced) = asker.join().unwrap();
            assert!(behind == 401 || !was_enforced);
            for (mut client, status) in streams {
                assert!(matches!(status, 200 | 401));
                if status == 200 {
                    // One that had been overlooked would never end.
                    client.read_to_end();
                }
            }
        }
    });
}

#[test]
fn without_a_lease_nothing_is_decided_and_what_is_open_ends() {
    let workers = Workers::start("");
    let (mut stream, status) = ask(workers.address, "a", "/stream");
    assert_eq!(status, 200);
    workers.live.lease().ends_at(clock::boot());
    stream.read_to_end();
    for key in ["a", "unknown"] {
        let mut client = Client::connect(workers.address);
        client.send(format!("GET /now HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\r\n"));
        let refused = client.response();
        assert_eq!((refused.status(), refused.header("retry-after")), (503, Some("1")));
        assert!(refused.text().contains("key_store_unavailable"), "{}", refused.text());
    }
    assert_eq!(ask(workers.address, "a", "/public").1, 200);
    workers.live.lease().ends_at(clock::boot() + Duration::from_hours(1));
    assert_eq!(ask(workers.address, "a", "/now").1, 200);
    assert_eq!(ask(workers.address, "unknown", "/now").1, 401);
}

#[test]
fn streams_that_are_kept_outlive_the_lease() {
    let workers = Workers::start("streams: keep");
    let (_stream, status) = ask(workers.address, "a", "/stream");
    assert_eq!(status, 200);
    workers.live.lease().ends_at(clock::boot());
    assert_eq!(ask(workers.address, "a", "/now").1, 503);
    assert_eq!(workers.enforced(), 0);
}
