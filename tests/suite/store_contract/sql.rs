//! What only real databases can go through: their tables missing or newer, rights withheld, power cut, disk full, nobody
//! there.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use keygate::{
    keys::record::PersonId,
    store::{
        accounts::PasswordHash,
        contract::{
            Access, Acknowledgement, AuditFilter, Committed, Database, Feed, Heard, Heartbeat, ScopeUse,
            Since, StoreError, WhenStale,
        },
        database_url::DatabaseUrl,
        sql::{migrate, open},
    },
};

use sqlx::{ConnectOptions as _, Connection as _, Row as _, sqlite::SqliteConnectOptions};

use super::{
    database_cases::{changes, insert, load, revision},
    made_at,
    records::{audit, full_key, instant, key, key_id, revocation, rotated, submission},
    store_cases::write,
};
use crate::harness::{GUARD, Postgres, run::keygate};

/// Where [`a_writer_for_another_test`] writes.
const WRITE_TO: &str = "KEYGATE_TEST_WRITE_TO";

/// All there are, in their order.
const MIGRATIONS: [&str; 3] = ["0001_tables", "0002_console", "0003_limits"];

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn url(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(text).unwrap()
}

fn sqlite(folder: &Path) -> DatabaseUrl {
    DatabaseUrl::Sqlite(folder.join("keygate.db"))
}

/// The first column of the first row, read behind Keygate's back.
async fn sqlite_answer(url: &DatabaseUrl, statement: &'static str) -> String {
    let DatabaseUrl::Sqlite(path) = url else { panic!("{url}") };
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let row = sqlx::query(statement).fetch_optional(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    row.map_or_else(String::new, |row| {
        row.try_get_unchecked::<String, _>(0)
            .or_else(|_| row.try_get_unchecked::<i64, _>(0).map(|n| n.to_string()))
            .unwrap()
    })
}

fn beat(replica: &str) -> Heartbeat {
    Heartbeat {
        replica: replica.to_owned(),
        address: "gate-1".to_owned(),
        version: "0.1.0".to_owned(),
        revision: 0,
        lease: Duration::from_secs(15),
        when_stale: WhenStale::Serve,
    }
}

#[test]
fn sqlite_is_sound_private_and_synced() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path());
    block_on(async {
        let database = made_at(&url).await;
        insert(&*database, &[key(1)]).await;
        // Before 3.51.3, a checkpoint at the wrong moment could lose commits.
        let version = sqlite_answer(&url, "SELECT sqlite_version()").await;
        let number: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
        assert!(number >= vec![3, 51, 3], "{version}");
        assert_eq!(sqlite_answer(&url, "PRAGMA journal_mode").await, "wal");
        for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", entry.path().display());
        }
    });
}

#[test]
fn tables_that_are_missing_or_newer_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path());
    block_on(async {
        let told = |opened: Result<Arc<dyn Database>, StoreError>, word: &str| match opened {
            Err(StoreError::WrongSchema(what)) => assert!(what.contains(word), "{what}"),
            other => panic!("{other:?}"),
        };
        told(open(&url, None).await, "keygate migrate");
        let planned = migrate(&url, true).await.unwrap();
        assert_eq!((planned.pending, planned.applied), (MIGRATIONS.to_vec(), vec![]));
        told(open(&url, None).await, "keygate migrate");
        assert_eq!(migrate(&url, false).await.unwrap().applied, MIGRATIONS);
        assert_eq!(migrate(&url, false).await.unwrap().present, MIGRATIONS);
        open(&url, None).await.unwrap();
        sqlite_answer(&url, "INSERT INTO schema_version VALUES (99, 'later')").await;
        told(open(&url, None).await, "99");
        assert!(matches!(migrate(&url, false).await, Err(StoreError::WrongSchema(_))));
    });
}

#[test]
fn a_changed_row_that_makes_no_sense_is_told_with_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path());
    block_on(async {
        let database = made_at(&url).await;
        insert(&*database, &[key(1)]).await;
        sqlite_answer(&url, "UPDATE keys SET scopes = 'read'").await;
        let found = database.begin(Access::Read).await.unwrap().key(&key_id(1)).await;
        match found {
            Err(StoreError::Failed(what)) => assert!(what.contains("key_000001"), "{what}"),
            other => panic!("{other:?}"),
        }
        // Who follows loads everything, and is told of it then.
        let instance = database.head().await.unwrap().instance;
        assert!(matches!(
            database.changes_since(Since { instance, revision: 0, committed_at: None }).await.unwrap(),
            Feed::Gap(_)
        ));
    });
}

#[test]
fn what_was_submitted_is_forgotten_after_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path());
    block_on(async {
        let database = made_at(&url).await;
        let make = async |number: usize| {
            let mut change = write(&*database).await;
            let known = change.remembered(&submission("ada", "first")).await.unwrap();
            change.insert_keys(&[key(number)]).await.unwrap();
            change.remember(&submission("ada", "first"), "key", key_id(number).as_str()).await.unwrap();
            (known, change.commit(&[audit(key_id(number).as_str(), "made")]).await)
        };
        let (known, committed) = make(1).await;
        assert_eq!((known, revision(committed.unwrap())), (None, 1));
        let (known, committed) = make(2).await;
        assert!(known.is_some() && matches!(committed, Err(StoreError::Refused(_))), "{committed:?}");
        sqlite_answer(&url, "UPDATE submissions SET committed_at = committed_at - 86400000000").await;
        let (known, committed) = make(2).await;
        assert_eq!((known, revision(committed.unwrap())), (None, 2));
        assert_eq!(sqlite_answer(&url, "SELECT count(*) FROM submissions").await, "1");
    });
}

#[test]
fn many_changes_and_forgotten_ones_are_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path());
    block_on(async {
        let database = made_at(&url).await;
        let keys: Vec<_> = (0..50_001).map(key).collect();
        insert(&*database, &keys).await;
        for number in 0..2 {
            insert(&*database, &[key(60_000 + number)]).await;
        }
        let instance = database.head().await.unwrap().instance;
        assert!(matches!(
            database.changes_since(Since { instance, revision: 0, committed_at: None }).await.unwrap(),
            Feed::Gap(_)
        ));
        assert_eq!(changes(&*database, instance, 1).await.keys.len(), 2);
        sqlite_answer(&url, "DELETE FROM commits WHERE revision <= 2").await;
        assert!(matches!(
            database.changes_since(Since { instance, revision: 1, committed_at: None }).await.unwrap(),
            Feed::Gap(_)
        ));
        assert_eq!(changes(&*database, instance, 2).await.keys.len(), 1);
        assert_eq!(load(&*database).await.1.keys.len(), 50_003);
    });
}

#[test]
fn commits_of_another_process_are_heard() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path());
    block_on(async {
        let (ours, theirs) = (made_at(&url).await, open(&url, None).await.unwrap());
        let mut signals = ours.signals().await.unwrap();
        insert(&*theirs, &[key(1)]).await;
        let heard = tokio::time::timeout(GUARD, signals.next()).await.unwrap();
        assert_eq!(heard, Heard::Commit);
    });
}

#[test]
fn a_file_that_was_replaced_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (url, backup) = (sqlite(folder.path()), DatabaseUrl::Sqlite(folder.path().join("backup.db")));
    block_on(async {
        let ours = made_at(&url).await;
        insert(&*ours, &[key(1)]).await;
        assert!(load(&*ours).await.1.keys.into_keys().eq([key_id(1)]));
        insert(&*made_at(&backup).await, &[key(2), key(3)]).await;
        assert_eq!(sqlite_answer(&backup, "PRAGMA wal_checkpoint(TRUNCATE)").await, "0");
        for suffix in ["-wal", "-shm"] {
            fs::remove_file(folder.path().join(format!("keygate.db{suffix}"))).unwrap();
        }
        fs::rename(folder.path().join("backup.db"), folder.path().join("keygate.db")).unwrap();
        assert!(load(&*ours).await.1.keys.into_keys().eq([key_id(2), key_id(3)]));
    });
}

/// Not a test by itself: writes until it is killed, where another test asks it to.
#[test]
fn a_writer_for_another_test() {
    let Some(path) = std::env::var_os(WRITE_TO) else { return };
    block_on(async {
        let database = open(&DatabaseUrl::Sqlite(path.into()), None).await.unwrap();
        loop {
            let number = usize::try_from(database.head().await.unwrap().revision).unwrap();
            let mut change = write(&*database).await;
            change.insert_keys(&[key(number)]).await.unwrap();
            if number > 0 {
                change.revoke_key(&key_id(number - 1), &revocation(0)).await.unwrap();
            }
            let committed = change.commit(&[audit(key_id(number).as_str(), "made")]).await.unwrap();
            println!("{}", revision(committed));
        }
    });
}

#[test]
fn sqlite_outlives_a_writer_that_is_killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path());
    let DatabaseUrl::Sqlite(path) = &url else { unreachable!() };
    block_on(made_at(&url));
    for round in 0..12_u32 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store_contract::sql::a_writer_for_another_test", "--nocapture"])
            .env(WRITE_TO, path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The moments are spread by how much was written and by a spin that differs from round to round.
        let told = wait_for_lines(writer.stdout.take().unwrap(), 3 + round % 5);
        for spin in 0..u64::from(round) * 40_000 {
            std::hint::black_box(spin);
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        block_on(assert_whole(&url, told));
    }
}

/// Reads so many revisions and gives the last.
fn wait_for_lines(stdout: std::process::ChildStdout, lines: u32) -> u64 {
    use std::io::BufRead as _;
    let revisions = std::io::BufReader::new(stdout).lines().map_while(Result::ok);
    revisions.filter_map(|line| line.parse().ok()).take(lines as usize).last().unwrap()
}

/// That what was told is there, and every commit is there whole.
async fn assert_whole(url: &DatabaseUrl, told: u64) {
    assert_eq!(sqlite_answer(url, "PRAGMA integrity_check").await, "ok");
    let database = open(url, None).await.unwrap();
    let (head, loaded) = load(&*database).await;
    assert!(head.revision >= told, "revision {} was confirmed, {} is there", told, head.revision);
    assert_eq!(loaded.keys.len() as u64, head.revision);
    assert_eq!(loaded.keys.values().filter(|key| key.revoked.is_none()).count(), 1, "all but the last");
    let audited =
        database.audit(&AuditFilter { limit: u64::MAX, ..AuditFilter::default() }).await.unwrap().records;
    assert!(audited.iter().rev().filter_map(|record| record.revision).eq(1..=head.revision));
    assert_eq!(changes(&*database, head.instance, 0).await.keys.len() as u64, head.revision);
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mounted_at(folder.path()) else { return };
    let url = sqlite(folder.path());
    block_on(async {
        let database = made_at(&url).await;
        insert(&*database, &[key(0)]).await;
        let mut change = write(&*database).await;
        let keys: Vec<_> = (1..20_000).map(full_key).collect();
        let done = match change.insert_keys(&keys).await {
            Ok(()) => change.commit(&[]).await.map(drop),
            Err(error) => {
                drop(change);
                Err(error)
            }
        };
        match done {
            Err(StoreError::Unavailable(what)) => assert!(what.contains("disk"), "{what}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(load(&*database).await.1.keys.len(), 1);
        assert_eq!(insert(&*database, &[key(1)]).await, 2);
    });
    drop(disk);
}

/// A disk of four megabytes.
struct SmallDisk<'p>(&'p Path);

impl<'p> SmallDisk<'p> {
    /// `None` where this process may not mount one.
    fn mounted_at(path: &'p Path) -> Option<Self> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "keygate-test"]).arg(path).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(path))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn postgres_is_migrated_once_by_many() {
    let server = Postgres::start();
    let url = url(&server.create_database());
    block_on(async {
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let url = url.clone();
                tokio::spawn(async move { migrate(&url, false).await.unwrap().applied.len() })
            })
            .collect();
        let mut applied = 0;
        for task in tasks {
            applied += task.await.unwrap();
        }
        assert_eq!(applied, MIGRATIONS.len());
        insert(&*open(&url, None).await.unwrap(), &[key(1)]).await;
    });
}

#[test]
fn roles_permit_what_their_work_needs_and_nothing_else() {
    let server = Postgres::start();
    let name = server.create_named_database();
    let roles = include_str!("../../../deploy/postgres/roles.sql");
    server.psql(&name, roles);
    let by = |role: &str| url(&server.url_as(role, &name));
    block_on(async {
        migrate(&by("keygate_owner"), false).await.unwrap();
        server.psql(&name, roles);
        let admin = open(&by("keygate_admin"), None).await.unwrap();
        insert(&*admin, &[key(1), key(2)]).await;
        let mut change = write(&*admin).await;
        change.update_key(&rotated(&key(1), "new")).await.unwrap();
        change.revoke_key(&key_id(2), &revocation(0)).await.unwrap();
        assert_eq!(revision(change.commit(&[audit("key_000001", "rotated")]).await.unwrap()), 2);

        let gateway = open(&by("keygate_gateway"), None).await.unwrap();
        let (head, loaded) = load(&*gateway).await;
        assert_eq!(loaded.keys.len(), 2);
        assert_eq!(changes(&*gateway, head.instance, 1).await.keys.len(), 2);
        gateway.heartbeat(&beat("a")).await.unwrap();
        let after = Duration::ZERO;
        let acknowledgement =
            Acknowledgement { replica: "a".to_owned(), revision: 2, after, streams_closed: 0 };
        gateway.acknowledge(&acknowledgement).await.unwrap();
        gateway.add_usage(&[]).await.unwrap();
        let need = ScopeUse { key: key_id(1), scope: "read".to_owned(), last_used: instant(1) };
        gateway.add_scope_uses(std::slice::from_ref(&need)).await.unwrap();
        assert_eq!(admin.scopes_used(&[key_id(1)]).await.unwrap(), [need]);
        gateway.checksum().await.unwrap();
        gateway.signals().await.unwrap();
        assert!(gateway.forget("a").await.unwrap());
        let refused = gateway.begin(Access::Write).await;
        assert!(matches!(refused, Err(StoreError::NotPermitted(_))), "{refused:?}");
        let refused = migrate(&by("keygate_gateway"), false).await.map(drop);
        assert!(refused.is_ok(), "there is nothing to do: {refused:?}");
    });
    block_on(async {
        let person = PersonId::parse("ada").unwrap();
        let password = PasswordHash { phc: "$argon2id$1".to_owned(), set_at: Timestamp::UNIX_EPOCH };
        let gateway = open(&by("keygate_gateway"), None).await.unwrap();
        for refused in [
            gateway.accounts().set_password(&person, &password).await,
            gateway.accounts().password(&person).await.map(drop),
        ] {
            assert!(matches!(refused, Err(StoreError::NotPermitted(_))), "{refused:?}");
        }
        let console = open(&by("keygate_console"), None).await.unwrap();
        super::accounts::all_of_it(&*console.accounts()).await;
        console.heartbeat(&beat("b")).await.unwrap();
        let mut change = write(&*console).await;
        change.insert_keys(&[key(3)]).await.unwrap();
        change.remember(&submission("ada", "1"), "key", "key_000003").await.unwrap();
        assert_eq!(revision(change.commit(&[audit("key_000003", "made")]).await.unwrap()), 3);
    });
    for (role, forbidden) in [
        ("keygate_gateway", "SELECT * FROM passwords"),
        ("keygate_gateway", "SELECT * FROM sessions"),
        ("keygate_gateway", "INSERT INTO links VALUES ('', 'first owner', '', '', 0)"),
        ("keygate_console", "DELETE FROM keys"),
        ("keygate_console", "DELETE FROM audit"),
        ("keygate_gateway", "UPDATE keys SET revoked_at = NULL"),
        ("keygate_gateway", "UPDATE head SET revision = 0"),
        ("keygate_gateway", "SELECT * FROM audit"),
        ("keygate_gateway", "DELETE FROM audit"),
        ("keygate_gateway", "INSERT INTO changes VALUES (9, 'key', 'x', NULL)"),
        ("keygate_gateway", "CREATE TABLE mine (n INT)"),
        ("keygate_admin", "DELETE FROM audit"),
        ("keygate_admin", "UPDATE audit SET actor = 'bob'"),
        ("keygate_admin", "DELETE FROM keys"),
        ("keygate_admin", "DROP TABLE keys"),
    ] {
        let script = format!(
            "SET ROLE {role}; DO $$ BEGIN {}; RAISE 'permitted'; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$",
            forbidden.replace("SELECT *", "PERFORM *")
        );
        server.psql(&name, &script);
    }
}

#[test]
fn a_change_that_cannot_be_audited_is_not_made() {
    let server = Postgres::start();
    let name = server.create_named_database();
    block_on(async {
        let database = made_at(&url(&server.url_as("postgres", &name))).await;
        server.psql(
            &name,
            "CREATE FUNCTION no() RETURNS trigger AS 'BEGIN RAISE EXCEPTION ''no''; END' LANGUAGE plpgsql",
        );
        server.psql(&name, "CREATE TRIGGER no BEFORE INSERT ON audit EXECUTE FUNCTION no()");
        let mut change = write(&*database).await;
        change.insert_keys(&[key(1)]).await.unwrap();
        assert!(change.commit(&[audit("key_000001", "made")]).await.is_err());
        let (head, loaded) = load(&*database).await;
        assert_eq!((head.revision, loaded.keys.len()), (0, 0));
        assert_eq!(server.psql(&name, "SELECT count(*) FROM changes"), "0");
        server.psql(&name, "DROP TRIGGER no ON audit");
        assert_eq!(insert(&*database, &[key(1)]).await, 1);
    });
}

#[test]
fn signs_of_life_do_not_wait_for_a_writer() {
    let server = Postgres::start();
    let url = url(&server.create_database());
    block_on(async {
        let database = made_at(&url).await;
        let mut change = write(&*database).await;
        change.insert_keys(&[key(1)]).await.unwrap();
        // Each would run into its time limit if it waited for the lock.
        database.heartbeat(&beat("a")).await.unwrap();
        database
            .acknowledge(&Acknowledgement {
                replica: "a".to_owned(),
                revision: 0,
                after: Duration::ZERO,
                streams_closed: 0,
            })
            .await
            .unwrap();
        database.forget("a").await.unwrap();
        assert!(matches!(change.commit(&[]).await.unwrap(), Committed::Revision(1)));
    });
}

#[test]
fn a_postgres_that_is_not_there_is_told_and_found_again() {
    let mut server = Postgres::start();
    let name = server.create_named_database();
    let url = url(&server.url_as("postgres", &name).replace("postgres@", "postgres:s3cret@"));
    block_on(async {
        let database = made_at(&url).await;
        let mut signals = database.signals().await.unwrap();
        insert(&*database, &[key(1)]).await;
        assert_eq!(signals.next().await, Heard::Commit);
        server.kill();
        for error in [database.head().await.map(drop), open(&url, None).await.map(drop)] {
            match error {
                Err(StoreError::Unavailable(what)) => assert!(!what.contains("s3cret"), "{what}"),
                other => panic!("{other:?}"),
            }
        }
        let lost = tokio::spawn(async move { (signals.next().await, signals) });
        server.start_again();
        let (heard, mut signals) = tokio::time::timeout(GUARD, lost).await.unwrap().unwrap();
        assert_eq!(heard, Heard::Lost);
        assert_eq!(insert(&*database, &[key(2)]).await, 2);
        assert_eq!(tokio::time::timeout(GUARD, signals.next()).await.unwrap(), Heard::Commit);
        assert_eq!(load(&*database).await.1.keys.len(), 2);
    });
}

#[test]
fn a_postgres_that_does_not_answer_keeps_nobody_waiting() {
    let server = Postgres::start();
    let url = url(&server.create_database());
    block_on(async {
        let database = made_at(&url).await;
        database.heartbeat(&beat("a")).await.unwrap();
        server.pause();
        let silent = tokio::time::timeout(GUARD, database.heartbeat(&beat("a"))).await;
        let unopened = tokio::time::timeout(GUARD, open(&url, None)).await;
        server.resume();
        assert!(matches!(silent, Ok(Err(StoreError::Unavailable(_)))), "{silent:?}");
        assert!(matches!(unopened, Ok(Err(StoreError::Unavailable(_)))), "{unopened:?}");
        database.heartbeat(&beat("a")).await.unwrap();
    });
}

#[test]
fn migrate_says_what_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let config = "version: 1\nlisten: {address: '127.0.0.1:0'}\nupstreams: {api: {url: 'http://127.0.0.1:9'}}\n\
         keys: {database: 'sqlite:keygate.db'}\nroutes: [{path: /, methods: {GET: read}}]\n";
    fs::write(folder.path().join("keygate.yaml"), config).unwrap();
    let said = |arguments: &[&str]| keygate(folder.path(), arguments, "").expect_success();
    assert!(said(&["migrate", "--dry-run"]).stderr.contains("would apply 0003_limits"));
    assert!(!folder.path().join("keygate.db").exists());
    assert!(said(&["migrate"]).stderr.contains("applied 0003_limits"));
    assert!(said(&["migrate"]).stderr.contains("nothing to do"));
    let answer = said(&["migrate", "--output", "json"]).stdout;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["present"], serde_json::json!(MIGRATIONS));
}
