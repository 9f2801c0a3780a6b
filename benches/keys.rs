//! What a request pays to learn whose secret it carries, and what a change costs, at 10 thousand and a million keys.

use std::{collections::BTreeMap, hint::black_box, io, net::IpAddr, time::Duration};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use jiff::Timestamp;
use keygate::{
    keys::{
        build::{KeyPolicy, SnapshotBuilder},
        caps::RoleCaps,
        digest::KeyDigest,
        editor::{SnapshotEditor, Update},
        image::{self, ImageOf},
        record::{Email, KeyId, KeyRecord, Name, Organization, Person, PersonId, Revocation},
        secret::Brand,
        snapshot::KeySnapshot,
    },
    policy::{plan::Plans, principal::Role, project::ProjectSet, scope::Scopes},
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
        plan: None,
        revoked: None,
    }
}

fn with_policy<T>(then: impl FnOnce(&KeyPolicy<'_>) -> T) -> T {
    let scopes = Scopes::default();
    let caps = RoleCaps::new(|_| scopes.all());
    then(&KeyPolicy { scopes: &scopes, role_caps: &caps, brand: &Brand::default(), plans: &Plans::default() })
}

fn snapshot(records: &[KeyRecord], people: &[Person]) -> KeySnapshot {
    with_policy(|policy| name(KeySnapshot::build(records, people, &[] as &[Organization], policy)))
}

/// As from a database: records come one by one, and nobody knows how many.
fn loaded(records: &[KeyRecord], people: &[Person]) -> SnapshotEditor {
    let mut builder = with_policy(|policy| SnapshotBuilder::new(policy, 0));
    builder.people(people);
    for record in records {
        builder.key(record);
    }
    name(builder.finish()).0
}

/// What following a database costs: one change of a key or a person, and the snapshot on disk.
fn follow(criterion: &mut Criterion, label: &str, records: &[KeyRecord], now: Timestamp) {
    let many_people: Vec<_> = (0..100_000).map(person).collect();
    let mut editor = loaded(records, &many_people);
    let revoked: Vec<_> = (0..10_000)
        .map(|step| KeyRecord {
            revoked: Some(Revocation { at: now, by: None, reason: None }),
            ..records[step * 7_919 % records.len()].clone()
        })
        .collect();
    let mut turn = revoked.chunks(1).cycle();
    criterion.bench_function(&format!("apply one key/{label}"), |bencher| {
        bencher
            .iter(|| editor.apply(&Update { keys: turn.next().unwrap_or(&[]), ..Update::default() }).is_ok());
    });
    let mut turn = many_people.chunks(1).cycle().step_by(7_919);
    criterion.bench_function(&format!("apply one person/{label}"), |bencher| {
        bencher.iter(|| {
            editor.apply(&Update { people: turn.next().unwrap_or(&[]), ..Update::default() }).is_ok()
        });
    });
    let of = ImageOf { instance: uuid::Uuid::nil(), revision: 1 };
    let mut bytes = Vec::new();
    name(image::write(of, now, editor.snapshot(), &mut bytes));
    let mut group = criterion.benchmark_group("whole");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
    group.bench_function(format!("write image/{label}"), |bencher| {
        bencher.iter(|| image::write(of, now, editor.snapshot(), &mut io::sink()).is_ok());
    });
    group.bench_function(format!("read image/{label}"), |bencher| {
        bencher.iter(|| with_policy(|policy| image::read(&bytes, policy).is_ok()));
    });
    group
        .bench_function(format!("checksum/{label}"), |bencher| bencher.iter(|| editor.snapshot().checksum()));
    group.bench_function(format!("load/{label}"), |bencher| bencher.iter(|| loaded(records, &many_people)));
    group.finish();
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
        follow(criterion, label, &records, now);
    }
}

criterion_group!(benches, keys);
criterion_main!(benches);
