//! What the HTTP/1.1 codec costs on the data path.
#![allow(missing_docs, reason = "criterion_group! makes a public function without documentation")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keygate::http1::parse::{HeadLimits, parse_request, parse_response};

/// Twelve fields, as a browser behind a load balancer sends them.
const REQUEST: &[u8] = b"GET /api/projects/acme-billing/v1/invoices?status=open&limit=50 HTTP/1.1\r\n\
    Host: api.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Authorization: Bearer kg_live_4mN7pQ2rS5tV8wX1yZ3aB6cD9eF0gH2jK5lM8nP1qR4sT7uV\r\n\
    X-Request-Id: 0192f0c1-7b3a-7c52-9d1e-3f4a5b6c7d8e\r\n\
    Referer: https://console.example.com/projects/acme-billing\r\n\
    X-Forwarded-For: 203.0.113.7\r\n\
    X-Forwarded-Proto: https\r\n\
    Cache-Control: no-cache\r\n\
    Connection: keep-alive\r\n\
    \r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: nginx/1.28.0\r\n\
    Date: Sat, 21 Nov 2026 10:00:00 GMT\r\n\
    Content-Type: application/json; charset=utf-8\r\n\
    Content-Length: 104\r\n\
    Connection: keep-alive\r\n\
    ETag: \"68-hGq1vZ0bqv\"\r\n\
    Vary: Accept-Encoding\r\n\
    \r\n";

fn heads(criterion: &mut Criterion) {
    let limits = HeadLimits::default();
    let mut group = criterion.benchmark_group("http1");
    group.throughput(Throughput::Bytes(REQUEST.len() as u64));
    group.bench_function("parse_request, 12 fields", |bencher| {
        bencher.iter(|| black_box(parse_request(black_box(REQUEST), &limits)).is_ok());
    });
    group.bench_function("httparse, the same request", |bencher| {
        bencher.iter(|| {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut headers);
            black_box(request.parse(black_box(REQUEST))).is_ok()
        });
    });
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    group.bench_function("parse_response, 7 fields", |bencher| {
        bencher.iter(|| black_box(parse_response(black_box(RESPONSE), &limits)).is_ok());
    });
    group.finish();
}

criterion_group!(benches, heads);
criterion_main!(benches);
