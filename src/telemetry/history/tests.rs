//! Recent traffic: what a sample adds, how long it is kept, and what is read off the buckets.

use std::net::Ipv4Addr;

use super::*;
use crate::{
    clock::ManualClock,
    telemetry::{
        metrics::{BuildInfo, WorkerMetrics},
        outcome::{AbortedBy, End, RequestOutcome},
        trace_context::{RequestId, TraceId},
        usage::NeededScopes,
    },
};

fn metrics() -> Metrics {
    Metrics::new(BuildInfo { version: "0", revision: "0", target: "t" }, Timestamp::UNIX_EPOCH)
}

fn request(worker: &WorkerMetrics, end: End, status: u16, milliseconds: u64) {
    worker.count_request(&RequestOutcome {
        end,
        door: None,
        observed: None,
        status,
        upgraded: false,
        revision: 1,
        client: Ipv4Addr::LOCALHOST.into(),
        key: None,
        needed: NeededScopes::default(),
        request_id: RequestId::default(),
        trace_id: TraceId::default(),
        received_bytes: 0,
        sent_bytes: 0,
        duration: Duration::from_millis(milliseconds),
        first_byte: None,
    });
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn a_sample_holds_what_all_workers_counted_since_the_one_before() {
    let metrics = metrics();
    let workers = [metrics.worker(), metrics.worker()];
    request(&workers[0], End::Forwarded, 200, 1);
    let history = History::new(metrics.clone(), at(1_000));
    for (end, status) in [
        (End::Forwarded, 200),
        (End::Forwarded, 304),
        (End::Forwarded, 404),
        (End::Forwarded, 503),
        (End::Answered, 204),
        (End::Refused(Reason::KeyExpired), 401),
        (End::Aborted(AbortedBy::Upstream), 200),
        (End::Cut(Reason::KeyRevoked), 200),
    ] {
        request(&workers[1], end, status, 2);
    }
    request(&workers[0], End::Refused(Reason::KeyMissing), 401, 1);
    workers[0].connections.rise();
    workers[1].connections.rise();
    workers[1].streams.rise();
    history.sample(at(1_010));
    history.sample(at(1_020));

    let hour = history.hour();
    assert_eq!((hour.step, hour.points.len()), (SAMPLE_EVERY, 2));
    let point = &hour.points[0];
    let outcomes = UseCounts { ok: 3, client_error: 1, server_error: 1, refused: 2, aborted: 2 };
    assert_eq!((point.at, point.outcomes()), (at(1_000), outcomes), "what came before is no part of it");
    let refusals = [(Reason::KeyMissing, 1), (Reason::KeyExpired, 1)];
    assert_eq!(point.refusals().collect::<Vec<_>>(), refusals);
    assert_eq!((point.refused(Reason::KeyExpired), point.refused(Reason::KeyRevoked)), (1, 0));
    assert_eq!((point.connections(), point.streams()), (2, 1));
    let quiet = &hour.points[1];
    assert_eq!((quiet.at, quiet.outcomes(), quiet.p50()), (at(1_010), UseCounts::default(), None));
    assert_eq!(quiet.connections(), 2, "a level stays");
    assert_eq!((hour.outcomes(), hour.refusals()), (outcomes, refusals.to_vec()));
}

#[test]
fn an_hour_is_kept_fine_and_a_day_coarse() {
    let metrics = metrics();
    let worker = metrics.worker();
    let clock = ManualClock::new(at(1_000_000_200));
    let history = History::new(metrics, clock.now());
    let samples_a_day = 24 * 360;
    for _ in 0..samples_a_day + 720 {
        request(&worker, End::Forwarded, 200, 1);
        clock.advance_milliseconds(10_000);
        history.sample(clock.now());
    }
    let (hour, day) = (history.hour(), history.day());
    assert_eq!((hour.points.len(), hour.outcomes().ok), (360, 360));
    assert_eq!((day.points.len(), day.outcomes().ok), (288, samples_a_day));
    let ends_at = |series: &Series| series.points.last().unwrap().at + series.step;
    assert_eq!((ends_at(&hour), ends_at(&day)), (clock.now(), clock.now()));
    let minutes = hour.coarser(Duration::from_mins(1));
    assert_eq!((minutes.points.len(), minutes.points[7].outcomes().ok), (60, 6));
    let rings = history.rings();
    let bytes = (rings.hour.points.capacity() + rings.day.points.capacity()) * size_of::<Point>();
    assert!(bytes < 1_000_000, "{bytes}");
}

#[test]
fn time_that_was_slept_through_or_set_back_makes_no_point_that_lies() {
    let metrics = metrics();
    let worker = metrics.worker();
    let history = History::new(metrics, at(10_000));
    let sample = |second| {
        request(&worker, End::Forwarded, 200, 1);
        history.sample(at(second));
        history.hour().points.iter().map(|point| point.at.as_second() - 10_000).collect::<Vec<_>>()
    };
    assert_eq!(sample(10_010), [0]);
    assert_eq!(sample(10_015), [0, 10]);
    assert_eq!(sample(10_020), [0, 10], "two samples of one step are one point");
    assert_eq!(history.hour().points[1].outcomes().ok, 2);
    assert_eq!(sample(10_100), [0, 10, 20], "nobody looked in between");
    assert_eq!(sample(10_110), [0, 10, 20, 100]);
    assert_eq!(sample(9_000), [-1_000], "set back");
    assert_eq!(sample(9_010), [-1_000]);
    assert_eq!(sample(9_020), [-1_000, -990]);
    assert_eq!(sample(90_000), [-1_000, -990, -980]);
    assert_eq!(sample(90_010), [80_000], "more than an hour later");
}

#[test]
fn quantiles_lie_on_a_line_within_their_bucket() {
    let us = |filled: &[(usize, u64)], share| {
        let mut buckets = [0; BUCKETS];
        for (at, count) in filled {
            buckets[*at] = *count;
        }
        quantile(&buckets, share).map(|duration| duration.as_micros())
    };
    assert_eq!(us(&[], 0.5), None);
    assert_eq!(us(&[(0, 10)], 0.5), Some(250));
    assert_eq!(us(&[(1, 1)], 0.5), Some(750));
    assert_eq!(us(&[(0, 50), (2, 50)], 0.5), Some(500));
    assert_eq!(us(&[(0, 50), (2, 50)], 0.99), Some(2_470));
    assert_eq!(us(&[(BUCKETS - 1, 1)], 0.5), Some(60_000_000), "above all bounds: the greatest");
    assert_eq!(us(&[(3, u64::MAX), (4, u64::MAX)], 0.5).map(|us| (2_500..=10_000).contains(&us)), Some(true));
}

#[test]
fn samples_fall_on_full_steps_of_the_clock() {
    for (ms, wait) in [(0, 10_000), (1, 9_999), (9_999, 1), (10_000, 10_000), (-1, 1)] {
        let now = Timestamp::from_millisecond(ms).unwrap();
        assert_eq!(until_next_sample(now), Duration::from_millis(wait), "{ms}");
    }
}
