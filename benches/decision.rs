//! A whole decision, from the bytes of a head to the permit, at 10 thousand and a million keys; and the path alone.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
};

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use keygate::{
    config::model::Config,
    gate::{Limiter, Request, Unlimited, judge},
    http1::parse::{HeadLimits, Parsed, parse_request},
    keys::snapshot::KeySnapshot,
    limit::{cells::Limits, worker::WorkerLimits},
    policy::path::RequestPath,
};

#[path = "../tests/suite/population.rs"]
mod population;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Keys in rotation: more than fit in the nearest caches.
const ROTATING: usize = 1000;

fn heads(count: usize) -> Vec<String> {
    let step = count / ROTATING;
    let numbers = (0..ROTATING).map(|at| at * step);
    numbers
        .map(|number| {
            format!(
                "GET /api/v1/projects/{}/tests/42?page=2 HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer {}\r\n\
                 User-Agent: curl/8.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n",
                population::project(number),
                population::secret(number),
            )
        })
        .collect()
}

fn decision(criterion: &mut Criterion) {
    let config = population::config();
    let now = Timestamp::now();
    for (label, count) in [("10k", 10_000), ("1M", 1_000_000)] {
        let snapshot = population::snapshot(&config, count);
        let heads = heads(count);
        let mut all = heads.iter().cycle();
        criterion.bench_function(&format!("decision/head to permit, {label} keys"), |bencher| {
            bencher.iter(|| {
                let text = all.next().map_or("", String::as_str);
                permits((&config, &snapshot), text, now, &mut Unlimited)
            });
        });
    }
    let config = population::config_with_limits();
    let snapshot = population::snapshot(&config, 10_000);
    let worker = WorkerLimits::new(Limits::default());
    let heads = heads(10_000);
    let mut all = heads.iter().cycle();
    criterion.bench_function("decision/head to permit, 10k keys with a limit", |bencher| {
        bencher.iter(|| {
            let mut limits = worker.for_request(CLIENT, None);
            let text = all.next().map_or("", String::as_str);
            permits((&config, &snapshot), text, now, &mut limits)
        });
    });
}

fn permits(
    (config, snapshot): (&Config, &KeySnapshot),
    text: &str,
    now: Timestamp,
    limiter: &mut impl Limiter,
) -> bool {
    let limits = HeadLimits::default();
    let Ok(Parsed::Complete { head, .. }) = parse_request(black_box(text.as_bytes()), &limits) else {
        return false;
    };
    let Ok(request) = Request::read(&head, &config.policy) else { return false };
    judge(&config.policy, Some(snapshot), &request, CLIENT, now, limiter).verdict.is_ok()
}

fn path(criterion: &mut Criterion) {
    let paths = [
        ("plain", "/api/v1/projects/alpha/tests/42"),
        ("folded", "/api/v1/Projects/alpha;jsessionid=1/a%20b%7Ec/"),
        ("nested", "/api/%252525252561/%252525252562/%25252525252e5"),
    ];
    for (label, path) in paths {
        criterion.bench_function(&format!("path/{label}"), |bencher| {
            bencher.iter(|| RequestPath::parse(black_box(path.as_bytes())).is_ok());
        });
    }
}

criterion_group!(benches, decision, path);
criterion_main!(benches);
