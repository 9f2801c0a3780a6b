//! One replica over a database in memory: what is committed comes into force, is acknowledged, and follows the config.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use keygate::clock::SystemClock;
use keygate::control::{
    config_file::ConfigFile,
    reload::{Reloader, ReloaderParts},
    replica::{Replica, ReplicaParts},
};
use keygate::keys::{
    digest::KeyDigest,
    record::{Email, KeyId, KeyRecord, Organization, Person, PersonId, Revocation},
};
use keygate::live::Live;
use keygate::policy::{principal::Role, project::ProjectSet};
use keygate::store::contract::{Access, AuditRecord, Committed, Database, Store, Transaction};
use keygate::store::{database_url::DatabaseUrl, memory::MemoryDatabase, sql};
use keygate::telemetry::{
    audit::AuditLog,
    metrics::{BuildInfo, Metrics},
};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tokio::sync::oneshot;

use crate::harness::GUARD;

/// What a key may do, in words: the code of its refusal, or its scopes.
fn permission(live: &Live, secret: &str) -> String {
    let published = live.current();
    let Some(keys) = &published.keys else { return "no keys".into() };
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    match keys.authenticate(secret.as_bytes(), Timestamp::now(), client) {
        Ok(found) => {
            published.config.policy.scopes.names(found.principal.scopes).collect::<Vec<_>>().join(" ")
        }
        Err(refused) => refused.reason.code().to_owned(),
    }
}

/// The secret of the key `id` is its id.
fn key(id: &str, owner: Option<&str>) -> KeyRecord {
    KeyRecord {
        owner: owner.map(|owner| PersonId::parse(owner).unwrap()),
        scopes: vec!["admin".to_owned()],
        projects: ProjectSet::All,
        ..KeyRecord::new(KeyId::parse(id).unwrap(), KeyDigest::of(id.as_bytes()))
    }
}

fn person(id: &str, role: Role) -> Person {
    Person {
        id: PersonId::parse(id).unwrap(),
        email: Email::parse("ada@example.com").unwrap(),
        name: None,
        organization: None,
        role,
        projects: ProjectSet::All,
        disabled: false,
    }
}

fn audit() -> Vec<AuditRecord> {
    vec![AuditRecord {
        at: Timestamp::now(),
        revision: None,
        actor: "test".into(),
        address: None,
        organization: None,
        command: "test".into(),
        record: "key".into(),
        id: "any".into(),
        what: "changed".into(),
    }]
}

async fn commit(database: &MemoryDatabase, change: impl AsyncFnOnce(&mut dyn Transaction)) -> u64 {
    let mut transaction = database.begin(Access::Write).await.unwrap();
    change(&mut *transaction).await;
    match transaction.commit(&audit()).await.unwrap() {
        Committed::Revision(revision) => revision,
        other => panic!("{other:?}"),
    }
}

fn config(more: &str) -> String {
    format!(
        "version: 1\nlisten: {{address: 127.0.0.1:0}}\nhealth: null\nadmin: null\nupstreams: {{api: {{url: 'http://127.0.0.1:9'}}}}\n\
         keys: {{database: 'sqlite:never-opened.db'}}\nroutes:\n  - {{path: '/{{*rest}}', methods: {{'*': read}}}}\n{more}"
    )
}

fn metrics() -> Metrics {
    let build = BuildInfo { version: "0", revision: "0", target: "test" };
    Metrics::new(build, Timestamp::now())
}

fn reloader(folder: &Path) -> Reloader {
    let mut config_file = ConfigFile::new(folder.join("keygate.yaml"), "keygate-test".into());
    let config = config_file.load().result.unwrap();
    let metrics = metrics();
    let audit = Arc::new(AuditLog::to_file(&folder.join("audit.jsonl")).unwrap());
    let clock = Box::new(SystemClock);
    let parts = ReloaderParts { config_file, config, certificates: Vec::new(), metrics, audit, clock };
    Reloader::start(parts).unwrap().0
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < GUARD, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Runs `test` beside a replica that follows `database`.
fn beside_a_replica(test: impl AsyncFnOnce(&MemoryDatabase, &mut Reloader, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keygate.yaml"), config("")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let database = MemoryDatabase::default();
        commit(&database, async |write| {
            write.put_organization(&Organization::default()).await.unwrap();
            write.put_person(&person("ada", Role::Admin)).await.unwrap();
            write.insert_keys(&[key("hers", Some("ada")), key("nobodys", None)]).await.unwrap();
        })
        .await;
        let mut reloader = reloader(folder.path());
        let keys = reloader.database_keys().unwrap().clone();
        let replica = Replica::new(ReplicaParts {
            database: Arc::new(database.clone()),
            keys,
            live: reloader.live().clone(),
            metrics: metrics(),
            cold_start: None,
            address: "here:8080 boot net".into(),
        })
        .unwrap();
        replica.begin(GUARD).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = replica.run(async {
            let _ = stopped.await;
        });
        let testing = async {
            test(&database, &mut reloader, folder.path()).await;
            drop(stop);
        };
        tokio::join!(running, testing);
        assert_eq!(database.replicas().await.unwrap(), [], "it took its leave");
    });
}

#[test]
fn a_commit_comes_into_force_and_is_acknowledged() {
    beside_a_replica(async |database, reloader, _| {
        let live = reloader.live().clone();
        assert_eq!(permission(&live, "hers"), "read write admin");
        let replicas = database.replicas().await.unwrap();
        assert_eq!((replicas.len(), replicas[0].beat.revision), (1, 1));
        let revocation = Revocation { at: Timestamp::now(), by: None, reason: None };
        let revision = commit(database, async |write| {
            write.revoke_key(&KeyId::parse("hers").unwrap(), &revocation).await.unwrap();
        })
        .await;
        until("it is revoked", || permission(&live, "hers") == "key_revoked").await;
        assert_eq!(
            (live.current().revision, permission(&live, "nobodys").as_str()),
            (revision, "read write admin")
        );
        let started = Instant::now();
        while database.acknowledgements(revision).await.unwrap().is_empty() {
            assert!(started.elapsed() < GUARD);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_person_and_the_config_change_what_keys_may_do() {
    beside_a_replica(async |database, reloader, folder| {
        let live = reloader.live().clone();
        commit(database, async |write| write.put_person(&person("ada", Role::Viewer)).await.unwrap()).await;
        until("she is a viewer", || permission(&live, "hers") == "read").await;
        fs::write(folder.join("keygate.yaml"), config("role_caps: {viewer: [write]}\n")).unwrap();
        assert!(reloader.reload_now().is_new);
        assert_eq!(permission(&live, "hers"), "read write");
        commit(database, async |write| write.put_person(&person("ada", Role::Admin)).await.unwrap()).await;
        until("she is an admin again", || permission(&live, "hers") == "read write admin").await;
    });
}

#[test]
fn a_record_that_makes_no_sense_does_no_harm_to_others() {
    beside_a_replica(async |database, reloader, _| {
        let live = reloader.live().clone();
        let mut odd = key("odd", None);
        odd.scopes = vec!["unheard-of".to_owned()];
        commit(database, async |write| write.insert_keys(&[odd, key("even", None)]).await.unwrap()).await;
        until("the others are there", || permission(&live, "even") == "read write admin").await;
        assert_eq!(permission(&live, "odd"), "", "a scope that nobody knows counts for nothing");
    });
}

/// A replica over an SQLite file with the keys `known` and `other`, and a connection for edits by hand.
async fn over_a_file(folder: &Path) -> (Arc<dyn Database>, Reloader, Replica, SqliteConnection) {
    fs::write(folder.join("keygate.yaml"), config("")).unwrap();
    let path = folder.join("edited.db");
    let url = DatabaseUrl::Sqlite(path.clone());
    sql::migrate(&url, false).await.unwrap();
    let database = sql::open(&url, None).await.unwrap();
    let mut transaction = database.begin(Access::Write).await.unwrap();
    transaction.insert_keys(&[key("known", None), key("other", None)]).await.unwrap();
    let committed = transaction.commit(&audit()).await.unwrap();
    assert!(matches!(committed, Committed::Revision(1)));
    let reloader = reloader(folder);
    let replica = Replica::new(ReplicaParts {
        database: Arc::clone(&database),
        keys: reloader.database_keys().unwrap().clone(),
        live: reloader.live().clone(),
        metrics: metrics(),
        cold_start: None,
        address: "here:8080 boot net".into(),
    })
    .unwrap();
    replica.begin(GUARD).await.unwrap();
    let hand = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    (database, reloader, replica, hand)
}

#[test]
fn an_edit_by_hand_is_found_when_sums_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_, reloader, replica, mut hand) = over_a_file(folder.path()).await;
        let live = reloader.live().clone();
        hand.execute("UPDATE keys SET revoked_at = 1700000000000000 WHERE id = 'known'").await.unwrap();
        replica.reconcile().await.unwrap();
        assert_eq!(
            (permission(&live, "known").as_str(), permission(&live, "other").as_str()),
            ("key_revoked", "read write admin")
        );
        hand.execute("UPDATE keys SET digest = x'00' WHERE id = 'other'").await.unwrap();
        assert!(replica.reconcile().await.is_err(), "sums of nonsense are none");
    });
}

#[test]
fn streams_closed_are_told_although_an_acknowledgement_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (database, reloader, replica, mut hand) = over_a_file(folder.path()).await;
        let mut worker = reloader.live().enforcer();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = replica.run(async {
            let _ = stopped.await;
        });
        let testing = async {
            let reload = reloader.live().enforce();
            assert_eq!(worker.next().await, reload);
            worker.done(reload, 5);
            let lost = "CREATE TRIGGER lost BEFORE INSERT ON acknowledgements BEGIN SELECT RAISE(ABORT, 'lost'); END";
            hand.execute(lost).await.unwrap();
            let mut transaction = database.begin(Access::Write).await.unwrap();
            let revocation = Revocation { at: Timestamp::now(), by: None, reason: None };
            transaction.revoke_key(&KeyId::parse("known").unwrap(), &revocation).await.unwrap();
            let committed = transaction.commit(&audit()).await.unwrap();
            assert!(matches!(committed, Committed::Revision(2)));
            let publication = worker.next().await;
            worker.done(publication, 2);
            // That it asks again shows that the acknowledgement got lost.
            let again = worker.next().await;
            hand.execute("DROP TRIGGER lost").await.unwrap();
            worker.done(again, 0);
            let started = Instant::now();
            let given = loop {
                let given = database.acknowledgements(2).await.unwrap();
                if let [one] = given.as_slice() {
                    break one.streams_closed;
                }
                assert!(started.elapsed() < GUARD);
                tokio::select! {
                    publication = worker.next() => worker.done(publication, 0),
                    () = tokio::time::sleep(Duration::from_millis(1)) => {}
                }
            };
            assert_eq!(given, 2, "those of the reload before are not counted");
            drop(stop);
        };
        tokio::join!(running, testing);
    });
}
