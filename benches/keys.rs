//! What a request pays to learn whose secret it carries, and what a change costs, at 10 thousand and a million keys.

use std::{collections::BTreeMap, hint::black_box, net::IpAddr, time::Duration};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use jiff::Timestamp;
use keygate::{
    keys::{
        build::KeyPolicy,
        caps::RoleCaps,
        digest::KeyDigest,
        record::{Email, KeyId, KeyRecord, Name, Organization, Person, PersonId},
        secret::Brand,
        snapshot::KeySnapshot,
    },
    policy::{principal::Role, project::ProjectSet, scope::Scopes},
};

const PEOPLE: usize = 100;

/// 48 bytes, as long as one of ours.
fn secret(number: usize) -> String {
    format!("kg_live_{number:040}")
}

fn name<T, E: std::fmt::Debug>(parsed: Result<T, E>) -> T {
    parsed.unwrap_or_else(|error| unreachable!("a good text: {error:?}"))
}

fn person(number: usize) -> Person {
    Person {
        id: name(PersonId::parse(&format!("person{number}"))),
        email: name(Email::parse(&format!("person{number}@example.com"))),
        name: None,
        organization: None,
        role: Role::Member,
        projects: ProjectSet::All,
        disabled: false,
    }
}

fn record(number: usize, now: Timestamp) -> KeyRecord {
    KeyRecord {
        id: name(KeyId::generate(now)),
        name: Some(name(Name::parse(&format!("deploy bot number {number:06}")[..24]))),
        labels: BTreeMap::new(),
        organization: None,
        owner: Some(name(PersonId::parse(&format!("person{}", number % PEOPLE)))),
        digest: KeyDigest::of(secret(number).as_bytes()),
        previous: None,
        prefix: None,
        scopes: vec!["write".to_owned()],
        projects: ProjectSet::only([format!("project{}", number % 50)]),
        created_at: None,
        not_before: None,
        expires_at: Some(Timestamp::MAX),
        addresses: Vec::new(),
        revoked: None,
    }
}

fn snapshot(records: &[KeyRecord], people: &[Person]) -> KeySnapshot {
    let scopes = Scopes::default();
    let caps = RoleCaps::new(|_| scopes.all());
    let policy = KeyPolicy { scopes: &scopes, role_caps: &caps, brand: &Brand::default() };
    name(KeySnapshot::build(records, people, &[] as &[Organization], &policy))
}

fn keys(criterion: &mut Criterion) {
    let now = Timestamp::now();
    let client = IpAddr::from([192, 0, 2, 1]);
    let people: Vec<_> = (0..PEOPLE).map(person).collect();
    for (label, count) in [("10k", 10_000), ("1M", 1_000_000)] {
        let records: Vec<_> = (0..count).map(|number| record(number, now)).collect();
        let snapshot = snapshot(&records, &people);
        let bytes = snapshot.table().memory_bytes();
        #[expect(clippy::print_stderr, reason = "a result of this bench")]
        {
            eprintln!("{label}: {} bytes per key", bytes.div_ceil(count));
        }
        // In an order that no prefetcher guesses, so that the large table is met with cold caches.
        let secrets: Vec<_> = (0..100_000).map(|step| secret(step * 7_919 % count)).collect();
        let mut turn = secrets.iter().cycle();
        criterion.bench_function(&format!("authenticate/{label}"), |bencher| {
            bencher.iter(|| {
                let secret = turn.next().map_or("", String::as_str);
                black_box(snapshot.authenticate(secret.as_bytes(), now, client)).is_ok()
            });
        });
        criterion.bench_function(&format!("refuse unknown/{label}"), |bencher| {
            bencher.iter(|| black_box(snapshot.authenticate(b"kg_live_unknown", now, client)).is_ok());
        });
        let mut turn = secrets.iter().cycle();
        criterion.bench_function(&format!("revoke one/{label}"), |bencher| {
            bencher.iter(|| {
                let digest = KeyDigest::of(turn.next().map_or("", String::as_str).as_bytes());
                snapshot.with_revoked([(digest, now)]).is_ok()
            });
        });
        let mut group = criterion.benchmark_group("build");
        group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
        group.bench_function(label, |bencher| bencher.iter(|| self::snapshot(&records, &people)));
        group.finish();
    }
}

criterion_group!(benches, keys);
criterion_main!(benches);
