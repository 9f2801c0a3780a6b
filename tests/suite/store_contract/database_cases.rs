//! What a database promises those who follow it (`store::contract::Database`).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use keygate::{
    keys::{
        build::KeyPolicy,
        caps::RoleCaps,
        checksum::KeySums,
        record::{KeyId, KeyRecord, Organization, Person},
        secret::Brand,
        snapshot::KeySnapshot,
    },
    limit::share::{Claim, Share},
    policy::{plan::Plans, scope::Scopes},
    store::contract::{
        Access, Acknowledgement, Changes, Committed, Database, Feed, FleetLimits, Head, Heard, Heartbeat,
        Intake, LimitClaim, Remembered, ScopeUse, Since, Submission, UsageRow, WhenStale,
    },
    telemetry::usage::{LastUse, UseCounts},
};
use uuid::Uuid;

use super::{
    Case,
    records::{
        ada, audit, digest, full_key, instant, key, key_id, organization, revocation, rotated, submission,
    },
    store_cases::write,
};
use crate::harness::GUARD;

/// Every case, with its name. Each is given a database that holds nothing.
pub(super) const CASES: &[(&str, Case<dyn Database>)] = &[
    ("commits are serial and heard in order", |database| Box::pin(commits_are_serial(database))),
    ("an import is one revision", |database| Box::pin(an_import_is_one_revision(database))),
    ("the feed gives records as they stand", |database| {
        Box::pin(the_feed_gives_records_as_they_stand(database))
    }),
    ("a rotation drops digests", |database| Box::pin(a_rotation_drops_digests(database))),
    ("what is not known is a gap", |database| Box::pin(what_is_not_known_is_a_gap(database))),
    ("a revision of another history is a gap", |database| {
        Box::pin(a_revision_of_another_history_is_a_gap(database))
    }),
    ("checksums are those of the records", |database| Box::pin(checksums_are_those_of_the_records(database))),
    ("replicas come and go", |database| Box::pin(replicas_come_and_go(database))),
    ("limits are divided in turns", |database| Box::pin(limits_are_divided_in_turns(database))),
    ("acknowledgements are told", |database| Box::pin(acknowledgements_are_told(database))),
    ("what was submitted is made once", |database| Box::pin(what_was_submitted_is_made_once(database))),
    ("usage adds up", |database| Box::pin(usage_adds_up(database))),
    ("usage is summed up by secret", |database| Box::pin(usage_is_summed_up_by_secret(database))),
    ("scopes that were needed are kept", |database| Box::pin(needed_scopes_are_kept(database))),
    ("commits are heard", |database| Box::pin(commits_are_heard(database))),
];

/// What was loaded.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Loaded {
    organizations: Vec<Organization>,
    people: Vec<Person>,
    pub(super) keys: BTreeMap<KeyId, KeyRecord>,
}

impl Intake for Loaded {
    fn organizations(&mut self, organizations: Vec<Organization>) {
        self.organizations = organizations;
    }

    fn people(&mut self, people: Vec<Person>) {
        self.people = people;
    }

    fn key(&mut self, key: KeyRecord) {
        self.keys.insert(key.id, key);
    }

    fn nonsense(&mut self, what: String) {
        panic!("{what}");
    }
}

pub(super) async fn load(database: &dyn Database) -> (Head, Loaded) {
    let mut loaded = Loaded::default();
    let head = database.load(&mut loaded).await.unwrap();
    (head, loaded)
}

/// Puts these keys and gives the revision.
pub(super) async fn insert(database: &dyn Database, keys: &[KeyRecord]) -> u64 {
    let mut change = write(database).await;
    change.insert_keys(keys).await.unwrap();
    revision(change.commit(&[audit("keys", "made")]).await.unwrap())
}

async fn update(database: &dyn Database, key: &KeyRecord) -> u64 {
    let mut change = write(database).await;
    change.update_key(key).await.unwrap();
    revision(change.commit(&[]).await.unwrap())
}

pub(super) fn revision(committed: Committed) -> u64 {
    match committed {
        Committed::Revision(revision) => revision,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn changes(database: &dyn Database, instance: Uuid, revision: u64) -> Changes {
    match database.changes_since(Since { instance, revision, committed_at: None }).await.unwrap() {
        Feed::Changes(changes) => changes,
        Feed::Gap(head) => panic!("a gap after {revision}: {head:?}"),
    }
}

async fn commits_are_serial(database: Arc<dyn Database>) {
    const WRITERS: usize = 6;
    const COMMITS: usize = 10;
    const TOTAL: u64 = (WRITERS * COMMITS) as u64;
    let instance = database.head().await.unwrap().instance;
    let follower = tokio::spawn(follow(Arc::clone(&database), instance, TOTAL));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let database = Arc::clone(&database);
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                for commit in 0..COMMITS {
                    revisions.push(insert(&*database, &[key(writer * 100 + commit)]).await);
                }
                revisions
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for writer in writers {
        let mine = writer.await.unwrap();
        assert!(mine.is_sorted());
        revisions.extend(mine);
    }
    revisions.sort_unstable();
    assert!(revisions.into_iter().eq(1..=TOTAL), "every revision once");
    let heard = tokio::time::timeout(GUARD, follower).await.unwrap().unwrap();
    assert_eq!(heard, load(&*database).await.1.keys);
}

/// Follows the feed to `last`. Every commit adds one key: whoever misses one has fewer keys than revisions.
async fn follow(database: Arc<dyn Database>, instance: Uuid, last: u64) -> BTreeMap<KeyId, KeyRecord> {
    let mut keys = BTreeMap::new();
    let mut reached = 0;
    while reached < last {
        let changes = changes(&*database, instance, reached).await;
        assert!(changes.head.revision >= reached);
        reached = changes.head.revision;
        keys.extend(changes.keys.into_iter().map(|key| (key.id, key)));
        assert_eq!(keys.len() as u64, reached);
    }
    keys
}

async fn an_import_is_one_revision(database: Arc<dyn Database>) {
    let keys: Vec<_> = (0..5000).map(key).collect();
    assert_eq!(insert(&*database, &keys).await, 1);
    let (head, loaded) = load(&*database).await;
    assert_eq!((head.revision, loaded.keys.len()), (1, 5000));
    assert_eq!(changes(&*database, head.instance, 0).await.keys.len(), 5000);
}

async fn the_feed_gives_records_as_they_stand(database: Arc<dyn Database>) {
    insert(&*database, &[key(1), key(2)]).await;
    let mut change = write(&*database).await;
    change.put_organization(&organization()).await.unwrap();
    change.put_person(&ada()).await.unwrap();
    change.insert_keys(&[full_key(3)]).await.unwrap();
    assert_eq!(revision(change.commit(&[]).await.unwrap()), 2);
    let mut change = write(&*database).await;
    change.revoke_key(&key_id(1), &revocation(5)).await.unwrap();
    let third = revision(change.commit(&[]).await.unwrap());

    let head = database.head().await.unwrap();
    let all = changes(&*database, head.instance, 0).await;
    assert_eq!((all.head.revision, all.keys.len(), all.people.len()), (third, 3, 1));
    let last = changes(&*database, head.instance, 2).await;
    assert_eq!(last.keys, [KeyRecord { revoked: Some(revocation(5)), ..key(1) }]);
    assert!(last.people.is_empty() && last.organizations.is_none() && last.dropped.is_empty());
    assert!(last.head.committed_at <= last.head.now);
    let second = changes(&*database, head.instance, 1).await;
    assert_eq!(second.organizations, Some(vec![organization()]));
    assert_eq!(second.people, [ada()]);
    let none = changes(&*database, head.instance, third).await;
    assert!(none.keys.is_empty() && none.people.is_empty() && none.organizations.is_none());
    let (loaded_head, loaded) = load(&*database).await;
    assert_eq!((loaded_head.instance, loaded_head.revision), (head.instance, third));
    assert_eq!((loaded.organizations, loaded.people), (vec![organization()], vec![ada()]));
    assert_eq!(loaded.keys[&key_id(3)], full_key(3));
}

async fn a_rotation_drops_digests(database: Arc<dyn Database>) {
    insert(&*database, &[key(1)]).await;
    let instance = database.head().await.unwrap().instance;
    let once = rotated(&key(1), "second");
    let first = update(&*database, &once).await;
    assert!(changes(&*database, instance, first - 1).await.dropped.is_empty(), "both are good");
    let twice = rotated(&once, "third");
    let second = update(&*database, &twice).await;
    assert_eq!(changes(&*database, instance, second - 1).await.dropped, [key(1).digest]);
    let third = update(&*database, &KeyRecord { previous: None, ..twice }).await;
    assert_eq!(changes(&*database, instance, third - 1).await.dropped, [digest("second")]);
    // What came back to a key is not dropped.
    insert(&*database, &[KeyRecord { digest: digest("second"), ..key(2) }]).await;
    assert_eq!(changes(&*database, instance, second - 1).await.dropped, [key(1).digest]);
}

async fn what_is_not_known_is_a_gap(database: Arc<dyn Database>) {
    insert(&*database, &[key(1)]).await;
    let head = database.head().await.unwrap();
    for (instance, revision) in
        [(Uuid::nil(), 0), (Uuid::nil(), 1), (head.instance, 2), (head.instance, u64::MAX)]
    {
        match database.changes_since(Since { instance, revision, committed_at: None }).await.unwrap() {
            Feed::Gap(found) => assert_eq!((found.instance, found.revision), (head.instance, 1)),
            Feed::Changes(changes) => panic!("{changes:?}"),
        }
    }
}

/// A restored backup gives the numbers of lost revisions out anew.
async fn a_revision_of_another_history_is_a_gap(database: Arc<dyn Database>) {
    insert(&*database, &[key(1)]).await;
    let Head { instance, revision, committed_at, .. } = database.head().await.unwrap();
    insert(&*database, &[key(2)]).await;
    let since = |committed_at| Since { instance, revision, committed_at: Some(committed_at) };
    let other = committed_at - jiff::SignedDuration::from_secs(1);
    assert!(matches!(database.changes_since(since(other)).await.unwrap(), Feed::Gap(_)));
    match database.changes_since(since(committed_at)).await.unwrap() {
        Feed::Changes(changes) => assert_eq!(changes.keys.len(), 1),
        Feed::Gap(head) => panic!("{head:?}"),
    }
}

async fn checksums_are_those_of_the_records(database: Arc<dyn Database>) {
    let nanoseconds = |key: KeyRecord| KeyRecord {
        not_before: Some("2026-01-01T00:00:00.0000001Z".parse().unwrap()),
        expires_at: Some("2027-01-01T00:00:00.9999999Z".parse().unwrap()),
        ..key
    };
    let before_1970 = KeyRecord {
        not_before: Some("1969-12-31T23:59:59.9995Z".parse().unwrap()),
        expires_at: Some("9999-12-30T22:00:00Z".parse().unwrap()),
        ..key(4)
    };
    let empty = database.checksum().await.unwrap();
    assert_eq!((empty.revision, empty.entries, empty.sum), (0, 0, 0));
    let keys = [key(1), full_key(2), nanoseconds(full_key(3)), before_1970];
    insert(&*database, &keys).await;
    let mut change = write(&*database).await;
    change.revoke_key(&key_id(2), &revocation(7)).await.unwrap();
    let revision = revision(change.commit(&[]).await.unwrap());
    let (_, loaded) = load(&*database).await;
    let mut sums = KeySums::default();
    for key in &keys {
        let revoked = (key.id == key_id(2)).then(|| revocation(7));
        sums.add_record(&KeyRecord { revoked, ..key.clone() });
    }
    assert_eq!(snapshot(&loaded.keys.into_values().collect::<Vec<_>>()).checksum(), sums);
    let found = database.checksum().await.unwrap();
    assert_eq!((found.revision, found.entries, found.sum), (revision, sums.entries, sums.sum));
}

/// The snapshot that serves these keys.
fn snapshot(keys: &[KeyRecord]) -> KeySnapshot {
    let scopes = Scopes::default();
    let role_caps = RoleCaps::defaults(&scopes).unwrap();
    let policy = KeyPolicy {
        scopes: &scopes,
        role_caps: &role_caps,
        brand: &Brand::default(),
        plans: &Plans::unknown(),
    };
    KeySnapshot::build(keys, &[ada()], &[organization()], &policy).unwrap()
}

fn beat(replica: &str, revision: u64) -> Heartbeat {
    Heartbeat {
        replica: replica.to_owned(),
        address: "gate-1".to_owned(),
        version: "0.1.0".to_owned(),
        revision,
        lease: Duration::from_millis(1500),
        when_stale: WhenStale::Reject,
    }
}

async fn replicas_come_and_go(database: Arc<dyn Database>) {
    let head = database.heartbeat(&beat("b", 0)).await.unwrap();
    assert_eq!(head.revision, 0);
    database.heartbeat(&beat("a", 0)).await.unwrap();
    let [a, b] = database.replicas().await.unwrap().try_into().unwrap();
    assert_eq!((&a.beat, &b.beat), (&beat("a", 0), &beat("b", 0)));
    assert!(a.silent < GUARD && a.started_at <= a.beat_at);
    database.heartbeat(&beat("a", 3)).await.unwrap();
    let again = database.replicas().await.unwrap().remove(0);
    assert_eq!((again.beat.revision, again.started_at), (3, a.started_at));

    assert!(database.forget("a").await.unwrap());
    assert!(!database.forget("a").await.unwrap());
    assert_eq!(database.replicas().await.unwrap().len(), 1);
    database.heartbeat(&beat("a", 4)).await.unwrap();
    assert_eq!(database.replicas().await.unwrap().len(), 2, "one that was forgotten and lives is back");
}

async fn limits_are_divided_in_turns(database: Arc<dyn Database>) {
    let claim = |replica: &str, number, parts| LimitClaim {
        replica: replica.to_owned(),
        key: key_id(number),
        rate: Claim { demand: 2_000_000, share: Share::from_parts(parts) },
        concurrent: Claim { demand: 0, share: Share::WHOLE },
    };
    let turn = async |replica: &str, own: Vec<LimitClaim>| {
        let mut seen = FleetLimits::default();
        let mut divide = |fleet: &FleetLimits| {
            seen.clone_from(fleet);
            own.clone()
        };
        database.share_limits(replica, &mut divide).await.unwrap();
        seen
    };
    for replica in ["a", "b"] {
        database.heartbeat(&beat(replica, 0)).await.unwrap();
    }
    let seen = turn("a", vec![claim("a", 1, 500), claim("a", 2, 1)]).await;
    assert_eq!(seen, FleetLimits { replicas: vec!["a".into(), "b".into()], claims: vec![] });
    let seen = turn("b", vec![claim("b", 1, 7)]).await;
    assert_eq!(seen.claims, [claim("a", 1, 500), claim("a", 2, 1)]);
    let mut claims = turn("a", vec![]).await.claims;
    claims.sort_by(|one, other| (&one.replica, one.key).cmp(&(&other.replica, other.key)));
    assert_eq!(claims, [claim("a", 1, 500), claim("a", 2, 1), claim("b", 1, 7)]);
    assert_eq!(turn("a", vec![]).await.claims, [claim("b", 1, 7)], "its turn before took its own away");
    // Who goes takes theirs with them.
    database.forget("b").await.unwrap();
    assert_eq!(turn("a", vec![]).await, FleetLimits { replicas: vec!["a".into()], claims: vec![] });
    // Two turns at once are one after the other.
    let both = async |replica: &'static str| {
        for _ in 0..20 {
            let mut divide = |fleet: &FleetLimits| {
                let of_others = fleet.claims.iter().filter(|claim| claim.replica != replica);
                let taken: u32 = of_others.map(|claim| claim.rate.share.parts()).sum();
                assert!(taken <= 600, "{fleet:?}");
                vec![claim(replica, 1, if taken > 300 { 1 } else { 600 })]
            };
            database.share_limits(replica, &mut divide).await.unwrap();
        }
    };
    database.heartbeat(&beat("b", 0)).await.unwrap();
    tokio::join!(both("a"), both("b"));
    let shares: u32 = turn("a", vec![]).await.claims.iter().map(|claim| claim.rate.share.parts()).sum();
    assert!(shares <= 601, "{shares}");
}

async fn acknowledgements_are_told(database: Arc<dyn Database>) {
    database.heartbeat(&beat("a", 0)).await.unwrap();
    for number in 1..=3 {
        insert(&*database, &[key(number)]).await;
    }
    let acknowledge = async |replica: &str, revision, streams_closed| {
        let after = Duration::from_hours(1);
        let replica = replica.to_owned();
        let given = Acknowledgement { replica, revision, after, streams_closed };
        database.acknowledge(&given).await.unwrap();
    };
    acknowledge("a", 1, 0).await;
    acknowledge("a", 3, 2).await;
    acknowledge("a", 3, 9).await;
    acknowledge("b", 2, 1).await;
    let told = async |revision| -> Vec<(String, u64, u64)> {
        let given = database.acknowledgements(revision).await.unwrap();
        assert!(given.iter().all(|one| one.after < GUARD), "the time is the database's own");
        given.into_iter().map(|one| (one.replica, one.revision, one.streams_closed)).collect()
    };
    let (a, b) = ("a".to_owned(), "b".to_owned());
    assert_eq!(told(1).await, [(a.clone(), 1, 0), (b.clone(), 2, 1)]);
    assert_eq!(told(2).await, [(a.clone(), 3, 2), (b, 2, 1)]);
    assert_eq!(told(3).await, [(a, 3, 2)]);
    assert_eq!(told(4).await, []);
    assert_eq!(database.replicas().await.unwrap()[0].beat.revision, 3);
}

async fn what_was_submitted_is_made_once(database: Arc<dyn Database>) {
    let known = async |actor: &str, name: &str| {
        let mut look = database.begin(Access::Read).await.unwrap();
        look.remembered(&submission(actor, name)).await.unwrap()
    };
    let make = async |actor: &str, number: usize, name: &str, commit: bool| {
        let mut change = write(&*database).await;
        change.insert_keys(&[key(number)]).await.unwrap();
        change.remember(&submission(actor, name), "key", key_id(number).as_str()).await.unwrap();
        if commit {
            revision(change.commit(&[audit(key_id(number).as_str(), "made")]).await.unwrap());
        }
    };
    make("ada", 1, "first", false).await;
    assert_eq!(known("ada", "first").await, None, "it was not committed");
    make("ada", 1, "first", true).await;
    make("ada", 2, "second", true).await;
    make("bob", 3, "first", true).await;
    let found = |number: usize, revision| {
        Some(Remembered {
            request: [7; 32],
            record: "key".to_owned(),
            id: key_id(number).to_string(),
            revision,
        })
    };
    assert_eq!(known("ada", "first").await, found(1, 1));
    assert_eq!(known("ada", "second").await, found(2, 2));
    assert_eq!(known("bob", "first").await, found(3, 3));
    assert_eq!((known("ada", "FIRST").await, known("eve", "first").await), (None, None));
    // What is asked for is not what it is found by: whoever asks compares.
    let other = Submission { request: [8; 32], ..submission("ada", "first") };
    let mut change = write(&*database).await;
    assert_eq!(change.remembered(&other).await.unwrap().unwrap().request, [7; 32]);
    // Without a change there is no revision to remember.
    change.remember(&submission("ada", "nothing"), "key", "key_000001").await.unwrap();
    assert!(matches!(change.commit(&[]).await.unwrap(), Committed::Unchanged));
    assert_eq!(known("ada", "nothing").await, None);
    let mut look = database.begin(Access::Read).await.unwrap();
    assert!(look.remember(&submission("ada", "look"), "key", "key_000001").await.is_err());
}

async fn usage_adds_up(database: Arc<dyn Database>) {
    let row = |number, hour: i64, used: Option<i64>| UsageRow {
        key: key_id(number),
        secret: "mark".to_owned(),
        hour: instant(hour * 3600),
        counts: UseCounts { ok: 1, client_error: 2, server_error: 3, refused: 4, aborted: 5 },
        last_used: used.map(|at| LastUse { at: instant(at), client: "192.0.2.1".parse().unwrap() }),
        last_refused: used.map(instant),
    };
    let mut writers = Vec::new();
    for writer in 0..8_i64 {
        let database = Arc::clone(&database);
        writers.push(tokio::spawn(async move {
            for _ in 0..5 {
                // In another order each, and one row twice.
                let mut rows =
                    vec![row(1, 0, Some(writer)), row(2, 0, None), row(1, 1, None), row(1, 0, None)];
                let places = rows.len();
                rows.rotate_left(usize::try_from(writer).unwrap() % places);
                database.add_usage(&rows).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let found = database.usage(&[]).await.unwrap();
    let counted: Vec<_> =
        found.iter().map(|row| (row.key, row.hour, row.counts.ok, row.counts.aborted)).collect();
    let expected = [(1, 1, 40, 200), (1, 0, 80, 400), (2, 0, 40, 200)];
    let expected = expected.map(|(key, hour, ok, aborted)| (key_id(key), instant(hour * 3600), ok, aborted));
    assert_eq!(counted, expected);
    let last = LastUse { at: instant(7), client: "192.0.2.1".parse().unwrap() };
    assert_eq!((found[1].last_used, found[1].last_refused), (Some(last), Some(instant(7))));
    assert_eq!((found[0].last_used, found[0].last_refused), (None, None));
    assert_eq!(database.usage(&[key_id(2)]).await.unwrap(), found[2..]);
    assert_eq!(database.usage(&[key_id(3)]).await.unwrap(), []);
}

async fn usage_is_summed_up_by_secret(database: Arc<dyn Database>) {
    let row = |number, secret: &str, hour: i64, used: Option<(i64, &str)>, refused: Option<i64>| UsageRow {
        key: key_id(number),
        secret: secret.to_owned(),
        hour: instant(hour * 3600),
        counts: UseCounts { ok: 1, client_error: 2, server_error: 3, refused: 4, aborted: 5 },
        last_used: used.map(|(at, client)| LastUse { at: instant(at), client: client.parse().unwrap() }),
        last_refused: refused.map(instant),
    };
    let rows = [
        row(1, "new", 5, Some((18_001, "192.0.2.5")), None),
        row(1, "new", 6, None, Some(21_602)),
        row(1, "new", 7, Some((25_201, "2001:db8::7")), Some(25_202)),
        row(1, "old", 4, Some((14_401, "192.0.2.4")), None),
        row(2, "only", 9, None, None),
        row(3, "other", 9, None, None),
    ];
    database.add_usage(&rows).await.unwrap();

    let thrice = UseCounts { ok: 3, client_error: 6, server_error: 9, refused: 12, aborted: 15 };
    let total = UsageRow { hour: instant(5 * 3600), counts: thrice, ..rows[2].clone() };
    let totals = database.usage_totals(&[key_id(2), key_id(1), key_id(4)]).await.unwrap();
    assert_eq!(totals, [total, rows[3].clone(), rows[4].clone()]);
    assert_eq!(database.usage_totals(&[]).await.unwrap(), []);

    let since = database.usage_since(&key_id(1), instant(5 * 3600)).await.unwrap();
    assert_eq!(since, [rows[2].clone(), rows[1].clone(), rows[0].clone()]);
    assert_eq!(database.usage_since(&key_id(1), instant(8 * 3600)).await.unwrap(), []);
}

async fn needed_scopes_are_kept(database: Arc<dyn Database>) {
    let need = |number, scope: &str, at| ScopeUse {
        key: key_id(number),
        scope: scope.to_owned(),
        last_used: instant(at),
    };
    database.add_scope_uses(&[]).await.unwrap();
    database.add_scope_uses(&[need(2, "read", 1), need(1, "write", 5), need(1, "read", 3)]).await.unwrap();
    // Later, earlier, and twice at once.
    let more = [need(1, "write", 4), need(1, "read", 9), need(1, "read", 7), need(1, "admin", 2)];
    database.add_scope_uses(&more).await.unwrap();
    database.add_scope_uses(&more).await.unwrap();
    let expected = [need(1, "admin", 2), need(1, "read", 9), need(1, "write", 5)];
    assert_eq!(database.scopes_used(&[key_id(1), key_id(3)]).await.unwrap(), expected);
    assert_eq!(database.scopes_used(&[key_id(2)]).await.unwrap(), [need(2, "read", 1)]);
    assert_eq!(database.scopes_used(&[]).await.unwrap(), []);
}

async fn commits_are_heard(database: Arc<dyn Database>) {
    let mut signals = database.signals().await.unwrap();
    for number in 1..=3 {
        let revision = insert(&*database, &[key(number)]).await;
        // It may speak without a commit, but not be silent after one.
        let heard = tokio::time::timeout(GUARD, signals.next()).await.unwrap();
        assert_eq!(heard, Heard::Commit, "{revision}");
    }
    drop(database.begin(Access::Write).await.unwrap());
}
