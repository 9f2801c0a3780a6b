//! What telemetry costs a request: from `begin` to the outcome's emission, with the access log off, sampled and
//! whole; and what a scrape costs.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::{hint::black_box, net::Ipv4Addr, num::NonZeroU32, rc::Rc, time::Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use keygate::keys::digest::KeyDigest;
use keygate::telemetry::{
    access_log::{AccessLog, AccessLogSettings, Destination, Mode},
    metrics::{BuildInfo, Metrics, UpstreamMetrics},
    outcome::{KeyId, KeyUse},
    trace_context::TraceParent,
    usage::SecretSlot,
    worker::{Telemetry, WorkerTelemetry},
};

fn telemetry(mode: Mode) -> Telemetry {
    let build = BuildInfo { version: "0", revision: "0", target: "t" };
    let metrics = Metrics::new(build, Timestamp::UNIX_EPOCH);
    let settings = AccessLogSettings { mode, destination: Destination::File("/dev/null".into()) };
    let log = AccessLog::open(&settings, &metrics).unwrap();
    Telemetry::new(metrics, log).0
}

/// A request as the proxy tells it, without the instants that the proxy takes anyway.
fn request(worker: &Rc<WorkerTelemetry>, upstream: &UpstreamMetrics, started: Instant, key: &KeyUse) {
    let mut guard = worker.begin(started);
    guard.request("GET", b"/api/v1/projects/alpha/tests/17?page=2", Ipv4Addr::LOCALHOST.into());
    let trace = worker.trace(None);
    guard.identified(worker.request_id(started), trace.trace_id);
    guard.decided(12, Some(*key));
    guard.routed("/api/v1/projects/{project}/{*rest}", Some("alpha"));
    guard.sent_upstream(upstream, started);
    guard.responded(200, started);
    guard.sent(104);
    guard.forwarded();
}

fn key(id: &str) -> KeyUse {
    let digest = KeyDigest::of(id.as_bytes());
    KeyUse { id: KeyId::from(id).unwrap(), secret: SecretSlot::Current, digest }
}

fn per_request(criterion: &mut Criterion) {
    let one_in = NonZeroU32::new(100).unwrap();
    let keys: Vec<KeyUse> = (0..1_000).map(|n| key(&format!("key_01jdxn7r3m5t8v2w4y6z{n:04}"))).collect();
    for (name, mode) in [("off", Mode::Off), ("sampled", Mode::Sampled { one_in }), ("all", Mode::All)] {
        let telemetry = telemetry(mode);
        let worker = Rc::new(telemetry.worker(Timestamp::UNIX_EPOCH).unwrap());
        let upstream = worker.upstream("api");
        let (started, mut at) = (Instant::now(), 0);
        criterion.bench_function(&format!("request/{name}"), |bencher| {
            bencher.iter(|| {
                at = (at + 7) % keys.len();
                request(&worker, &upstream, black_box(started), &keys[at]);
            });
        });
    }
}

fn parts(criterion: &mut Criterion) {
    let telemetry = telemetry(Mode::Off);
    let worker = Rc::new(telemetry.worker(Timestamp::UNIX_EPOCH).unwrap());
    let started = Instant::now();
    let header = worker.trace(None).to_header();
    criterion.bench_function("clock", |bencher| bencher.iter(Instant::now));
    criterion.bench_function("request_id", |bencher| bencher.iter(|| worker.request_id(black_box(started))));
    criterion.bench_function("traceparent/parse and write", |bencher| {
        bencher.iter(|| worker.trace(TraceParent::parse(black_box(&header))).to_header());
    });
    criterion.bench_function("guard alone", |bencher| {
        bencher.iter(|| worker.begin(black_box(started)).answered(204));
    });
    let _upstream = worker.upstream("api");
    criterion.bench_function("scrape", |bencher| bencher.iter(|| telemetry.metrics().render()));
}

criterion_group!(benches, per_request, parts);
criterion_main!(benches);
