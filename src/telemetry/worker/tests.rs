//! The data path's telemetry as a whole: guards, scrapes, log and usage together.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    num::NonZeroU32,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::*;
use crate::{
    keys::{digest::KeyDigest, tally::KeyTally},
    policy::{plan::Limit, reason::Reason},
    telemetry::{
        access_log::{AccessLogSettings, Destination, Mode},
        metrics::{BuildInfo, UpstreamError},
        names,
        outcome::{AbortedBy, KeyId, KeyUse},
        usage::SecretSlot,
    },
};

fn metrics() -> Metrics {
    Metrics::new(BuildInfo { version: "1.2", revision: "abc", target: "t" }, Timestamp::UNIX_EPOCH)
}

fn telemetry(mode: Mode, destination: Destination) -> (Telemetry, Receiver<UsageBatch>) {
    let metrics = metrics();
    let log = AccessLog::open(&AccessLogSettings { mode, destination }, &metrics).unwrap();
    Telemetry::new(metrics, log)
}

fn worker(telemetry: &Telemetry) -> Rc<WorkerTelemetry> {
    Rc::new(telemetry.worker(Timestamp::UNIX_EPOCH).unwrap())
}

/// The samples of a scrape and the whole part of their values, checked against the grammar of `OpenMetrics` as far as we use it.
fn samples(scrape: &str) -> BTreeMap<String, u64> {
    let body = scrape.strip_suffix("# EOF\n").unwrap();
    let (mut samples, mut family) = (BTreeMap::new(), "");
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (kind, rest) = comment.split_once(' ').unwrap();
            assert!(["HELP", "TYPE", "UNIT"].contains(&kind), "{line}");
            let name = rest.split(' ').next().unwrap();
            assert!(kind != "HELP" || family != name, "a family stands twice: {name}");
            family = name;
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with(family), "{line} is not of {family}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let whole = value.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or(0);
        assert_eq!(samples.insert(name.to_owned(), whole), None, "{name} stands twice");
    }
    samples
}

fn requests(telemetry: &Telemetry) -> BTreeMap<String, u64> {
    let mut samples = samples(&telemetry.metrics().render());
    samples.retain(|name, value| name.starts_with("keygate_requests_total") && *value > 0);
    samples
}

#[test]
fn every_metric_of_the_list_is_scraped() {
    let (telemetry, _uses) = telemetry(Mode::Off, Destination::Stdout);
    let worker = worker(&telemetry);
    let api = worker.upstream("a\"p\\i");
    api.failed(UpstreamError::Closed);
    api.idle.rise();
    let free = worker.plan("free");
    free.exceeded(Limit::Rate);
    worker.set_observing(["/a/{*rest}"].into_iter());
    worker.metrics().count_observed("/a/{*rest}", Reason::KeyMissing);
    worker.metrics().count_observed("/enforces", Reason::KeyMissing);
    let metrics = telemetry.metrics();
    metrics.set_revision(7, KeyTally { active: 3, revoked: 1, ..KeyTally::default() });
    metrics.source_taken("keys.yaml", Timestamp::from_second(5).unwrap());
    metrics.source_wrong("keys.yaml", Timestamp::from_second(6).unwrap(), "keys.yaml:1:1: no");
    metrics.set_revocations_undone(2);
    let scrape = metrics.render();
    let samples = samples(&scrape);
    for metric in names::ALL {
        let name = metric.full_name();
        assert!(samples.keys().any(|sample| sample.starts_with(&name)), "{name} is not scraped");
    }
    for (name, value) in [
        (r#"keygate_build_info{version="1.2",revision="abc",target="t"}"#, 1),
        (r#"keygate_upstream_errors_total{upstream="a\"p\\i",kind="closed"}"#, 1),
        (r#"keygate_upstream_connections{upstream="a\"p\\i",state="idle"}"#, 1),
        (r#"keygate_rate_limited_total{plan="free",limit="rate"}"#, 1),
        (r#"keygate_observed_total{route="/a/{*rest}",reason="key_missing"}"#, 1),
        ("keygate_revision", 7),
        (r#"keygate_keys{status="active"}"#, 3),
        (r#"keygate_reload_last_success_timestamp_seconds{source="keys.yaml"}"#, 5),
        (r#"keygate_reload_last_failure_timestamp_seconds{source="keys.yaml"}"#, 6),
        ("keygate_sources_wrong", 1),
        ("keygate_revocations_undone", 2),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name}\n{scrape}");
    }
}

/// `OpenMetrics` 1.0: the last bucket of a histogram is `+Inf`, and holds as many as its count.
#[test]
fn the_last_bucket_of_every_histogram_is_infinite() {
    let (telemetry, _uses) = telemetry(Mode::Off, Destination::Stdout);
    let worker = worker(&telemetry);
    let api = worker.upstream("api");
    for micros in [1, 1_000_000, 3_600_000_000] {
        api.connect.observe(Duration::from_micros(micros));
        api.first_byte.observe(Duration::from_micros(micros));
        worker.begin(clock::monotonic()).answered(204);
    }
    let scrape = telemetry.metrics().render();
    let samples = samples(&scrape);
    for (name, labels) in [
        ("keygate_request_duration_seconds", ""),
        ("keygate_upstream_connect_seconds", "upstream=\"api\""),
        ("keygate_upstream_first_byte_seconds", "upstream=\"api\""),
    ] {
        let lasts = scrape.lines().rfind(|line| line.starts_with(&format!("{name}_bucket")));
        assert!(lasts.is_some_and(|line| line.contains("le=\"+Inf\"") && line.ends_with(" 3")), "{scrape}");
        let count =
            if labels.is_empty() { format!("{name}_count") } else { format!("{name}_count{{{labels}}}") };
        assert_eq!(samples.get(&*count), Some(&3), "{scrape}");
    }
}

#[test]
fn each_end_is_counted_once() {
    type Step = fn(OutcomeGuard);
    let cases: &[(Step, &str)] = &[
        (
            |mut guard| {
                guard.responded(204, clock::monotonic());
                guard.forwarded();
            },
            r#"{outcome="forwarded",code="2xx"}"#,
        ),
        (|guard| guard.answered(204), r#"{outcome="answered",code="2xx"}"#),
        (|guard| guard.refused(Reason::KeyMissing, 401), r#"{outcome="refused",code="key_missing"}"#),
        (|guard| guard.refused(Reason::Internal, 0), r#"{outcome="refused",code="internal"}"#),
        (|guard| guard.aborted(AbortedBy::Upstream), r#"{outcome="aborted",code="upstream"}"#),
        (|guard| drop(guard), r#"{outcome="aborted",code="client"}"#),
        (|mut guard| guard.aborts_by(AbortedBy::Gateway), r#"{outcome="aborted",code="gateway"}"#),
        (
            |guard| {
                let unwound = catch_unwind(AssertUnwindSafe(|| {
                    let _guard = guard;
                    panic!("a bug");
                }));
                assert!(unwound.is_err());
            },
            r#"{outcome="refused",code="internal"}"#,
        ),
    ];
    for (end, labels) in cases {
        let (telemetry, _uses) = telemetry(Mode::Off, Destination::Stdout);
        end(worker(&telemetry).begin(clock::monotonic()));
        assert_eq!(requests(&telemetry), BTreeMap::from([(format!("keygate_requests_total{labels}"), 1)]));
        let all = samples(&telemetry.metrics().render());
        assert_eq!(all["keygate_request_duration_seconds_count"], 1, "{labels}");
    }
}

#[test]
fn a_stream_is_open_while_its_guard_lives_and_its_bytes_show_at_once() {
    let (telemetry, _uses) = telemetry(Mode::Off, Destination::Stdout);
    let worker = worker(&telemetry);
    let mut guard = worker.begin(clock::monotonic());
    guard.upgraded();
    guard.received(10);
    guard.sent(20);
    let seen = samples(&telemetry.metrics().render());
    assert_eq!(seen["keygate_upgraded_streams"], 1);
    assert_eq!((seen["keygate_received_bytes_total"], seen["keygate_sent_bytes_total"]), (10, 20));
    guard.forwarded();
    let seen = samples(&telemetry.metrics().render());
    assert_eq!(seen["keygate_upgraded_streams"], 0);
    assert_eq!(seen["keygate_request_duration_seconds_count"], 0);
}

#[test]
fn scrapes_while_workers_count_see_sums_that_only_grow() {
    const WORKERS: usize = 3;
    const EACH: usize = 20_000;
    let (telemetry, _uses) = telemetry(Mode::Off, Destination::Stdout);
    let done = Arc::new(AtomicBool::new(false));
    let metrics = telemetry.metrics().clone();
    let scraper = thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let now = samples(&metrics.render())[r#"keygate_requests_total{outcome="refused",code="key_unknown"}"#];
                assert!(now >= last);
                last = now;
            }
        }
    });
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let part = telemetry.worker(Timestamp::UNIX_EPOCH).unwrap();
            thread::spawn(move || {
                let worker = Rc::new(part);
                for _ in 0..EACH {
                    worker.begin(clock::monotonic()).refused(Reason::KeyUnknown, 401);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    done.store(true, Ordering::Relaxed);
    scraper.join().unwrap();
    let count = requests(&telemetry)[r#"keygate_requests_total{outcome="refused",code="key_unknown"}"#];
    assert_eq!(count, (WORKERS * EACH) as u64);
}

#[test]
fn a_whole_request_reaches_metrics_log_and_usage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.jsonl");
    let (telemetry, mut uses) = telemetry(Mode::All, Destination::File(path.clone()));
    let worker = worker(&telemetry);
    let api = worker.upstream("api");
    let started = clock::monotonic();
    let mut guard = worker.begin(started);
    guard.request("GET", b"/api/v1/projects/alpha?access_token=hidden", Ipv4Addr::new(192, 0, 2, 1).into());
    let trace = worker.trace(None);
    guard.identified(worker.request_id(started), trace.trace_id);
    guard.decided(
        12,
        Some(KeyUse {
            id: KeyId::from("key_1").unwrap(),
            secret: SecretSlot::Previous,
            digest: KeyDigest::of(b"old"),
        }),
    );
    guard.routed("/api/v1/projects/{project}", Some("alpha"));
    guard.sent_upstream(&api, started);
    guard.responded(200, started + Duration::from_millis(3));
    guard.sent(104);
    guard.forwarded();
    drop(worker);
    assert!(telemetry.close(Duration::from_mins(1)));
    let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for (member, value) in [
        ("client", "192.0.2.1"),
        ("method", "GET"),
        ("path", "/api/v1/projects/alpha"),
        ("route", "/api/v1/projects/{project}"),
        ("project", "alpha"),
        ("key_id", "key_1"),
        ("secret", "previous"),
        ("outcome", "forwarded"),
        ("upstream", "api"),
    ] {
        assert_eq!(line[member], value, "{member}");
    }
    assert_eq!(
        (&line["status"], &line["revision"], &line["sent_bytes"]),
        (&200.into(), &12.into(), &104.into())
    );
    assert_eq!(line["upstream_ms"], 3.0);
    assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
    assert!(line["time"].as_str().unwrap().parse::<Timestamp>().is_ok());
    let mut totals = crate::telemetry::usage::UsageTotals::new(Timestamp::UNIX_EPOCH);
    totals.add(&uses.try_recv().unwrap());
    assert_eq!(totals.keys["key_1"].previous.as_ref().unwrap().total.ok, 1);
}

#[test]
fn sampling_leaves_out_what_went_well_but_no_refusal_and_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.jsonl");
    let one_in = NonZeroU32::MAX;
    let (telemetry, _uses) = telemetry(Mode::Sampled { one_in }, Destination::File(path.clone()));
    let worker = worker(&telemetry);
    for status in [200, 404, 500, 503] {
        let mut guard = worker.begin(clock::monotonic());
        guard.responded(status, clock::monotonic());
        guard.forwarded();
    }
    worker.begin(clock::monotonic()).refused(Reason::NotFound, 404);
    worker.begin(clock::monotonic()).aborted(AbortedBy::Upstream);
    worker.begin(clock::monotonic()).aborted(AbortedBy::Client);
    drop(worker);
    assert!(telemetry.close(Duration::from_mins(1)));
    let log = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = lines.iter().map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(seen, [500, 503, 404, 0]);
}

#[test]
fn wall_times_follow_the_anchor_both_ways() {
    let earlier = clock::monotonic();
    let later = earlier + Duration::from_millis(7);
    assert_eq!(Anchor { instant: earlier, unix_ms: 50_000 }.unix_ms(later), 50_007);
    assert_eq!(Anchor { instant: later, unix_ms: 50_000 }.unix_ms(earlier), 49_993);
}
