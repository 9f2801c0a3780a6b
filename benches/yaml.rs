//! Reading and decoding a key file of 100,000 keys.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark stops where it is wrong")]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keygate::yaml::{Field, Limits, Map, StringOr, decode, parse};
use serde::Deserialize;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Deserialize)]
struct KeyFile {
    version: Field<u32>,
    keys: Vec<Field<Key>>,
}

#[derive(Deserialize)]
struct Key {
    id: Field<String>,
    name: Option<Field<String>>,
    owner: Option<Field<String>>,
    hash: Field<String>,
    prefix: Option<Field<String>>,
    scopes: Vec<Field<String>>,
    projects: Field<StringOr<Vec<Field<String>>>>,
    labels: Option<Map<Field<String>>>,
    created_at: Option<Field<String>>,
    expires_at: Field<String>,
}

fn key_file(keys: u32) -> String {
    let mut text = String::from("version: 1\nkeys:\n");
    for key in 0..keys {
        write!(
            text,
            "  - id: key_{key:026}\n    name: GitHub Actions - staging {key}\n    owner: ada\n    hash: \
             sha256:{key:064x}\n    prefix: acme_live_7Qd3\n    scopes: [write]\n    projects:\n      - alpha\n      \
             - beta\n    labels: {{team: payments}}\n    created_at: 2026-11-21T10:00:00Z\n    expires_at: \
             2027-02-19T10:00:00Z\n"
        )
        .unwrap();
    }
    text
}

fn read_and_decode(criterion: &mut Criterion) {
    let text = key_file(100_000);
    let mut group = criterion.benchmark_group("yaml/100k keys");
    group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| parse(black_box(&text), &Limits::default()).unwrap());
    });
    let document = parse(&text, &Limits::default()).unwrap();
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let file: KeyFile = decode(black_box(&document)).unwrap();
            let key = &file.keys[0];
            black_box((&file.version, &key.id, &key.name, &key.owner, &key.hash, &key.prefix, &key.scopes));
            black_box((&key.projects, &key.labels, &key.created_at, &key.expires_at));
            file.keys.len()
        });
    });
    group.finish();
}

criterion_group!(benches, read_and_decode);
criterion_main!(benches);
