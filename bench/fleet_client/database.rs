//! The records, through the same store that the gateway uses.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use keygate::keys::build::{KeyPolicy, SnapshotBuilder};
use keygate::keys::caps::RoleCaps;
use keygate::keys::digest::KeyDigest;
use keygate::keys::editor::Update;
use keygate::keys::record::{KeyId, KeyRecord, Name, Organization, Person, Revocation};
use keygate::keys::secret::{Brand, Environment, KeySecret};
use keygate::policy::plan::Plans;
use keygate::policy::project::ProjectSet;
use keygate::policy::scope::Scopes;
use keygate::store::contract::{Access, AuditRecord, Committed, Database, Intake};
use keygate::store::database_url::DatabaseUrl;
use keygate::store::sql;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::Outcome;

const KEYS_PER_CHANGE: usize = 10_000;

pub(crate) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

pub(crate) async fn open(url: &str) -> Result<Arc<dyn Database>, Box<dyn Error>> {
    Ok(sql::open(&DatabaseUrl::parse(url)?, None).await?)
}

/// Makes tables and keys.
pub(crate) fn seed(url: &str, count: usize, file: &str) -> Outcome {
    let brand = brand()?;
    let mut lines = String::new();
    let mut keys = Vec::with_capacity(count);
    for number in 0..count {
        let secret = KeySecret::generate(&brand, Environment::Live)?;
        let key = record(&format!("bench-{number:07}"), secret.expose())?;
        writeln!(lines, "{} {}", key.id, secret.expose())?;
        keys.push(key);
    }
    fs::write(file, lines)?;
    let begun = Instant::now();
    runtime()?.block_on(async {
        sql::migrate(&DatabaseUrl::parse(url)?, false).await?;
        let database = open(url).await?;
        for part in keys.chunks(KEYS_PER_CHANGE) {
            let mut transaction = database.begin(Access::Write).await?;
            transaction.insert_keys(part).await?;
            let _ = transaction.commit(&[audit("bench seed")]).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    Ok(json!({"keys": count, "seconds": begun.elapsed().as_secs_f64()}))
}

/// Revokes a key and gives the revision that the store returned.
pub(crate) async fn revoke(database: &dyn Database, id: &str) -> Result<u64, Box<dyn Error>> {
    let id = KeyId::parse(id).map_err(|error| error.to_string())?;
    let revocation = Revocation { at: Timestamp::now(), by: None, reason: None };
    let mut transaction = database.begin(Access::Write).await?;
    transaction.revoke_key(&id, &revocation).await?;
    match transaction.commit(&[audit("bench revoke")]).await? {
        Committed::Revision(revision) => Ok(revision),
        other => Err(format!("{id}: {other:?}").into()),
    }
}

/// Loads everything, then puts changes of single keys in force.
pub(crate) fn load(url: &str) -> Outcome {
    let scopes = Scopes::default();
    let role_caps = RoleCaps::defaults(&scopes).ok_or("no caps")?;
    let brand = brand()?;
    let policy =
        KeyPolicy { scopes: &scopes, role_caps: &role_caps, brand: &brand, plans: &Plans::default() };
    let before = resident_bytes();
    let begun = Instant::now();
    let mut loading = Loading(SnapshotBuilder::new(&policy, 0));
    runtime()?
        .block_on(async { open(url).await?.load(&mut loading).await.map_err(Box::<dyn Error>::from) })?;
    let (mut editor, _) = loading.0.finish().map_err(|_| "too many keys")?;
    let seconds = begun.elapsed().as_secs_f64();
    let keys = editor.snapshot().table().len();
    let bytes = resident_bytes().saturating_sub(before);
    let mut micros = Vec::new();
    for number in 0..1_000 {
        let key =
            record(&format!("bench-{:07}", number * 7), &format!("changed-{number}-0123456789abcdefghijkl"))?;
        let begun = Instant::now();
        editor
            .apply(&Update { organizations: None, people: &[], keys: &[key], dropped: &[] })
            .map_err(|_| "too many")?;
        let published = Arc::new(editor.snapshot().clone());
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
        drop(published);
    }
    Ok(
        json!({"keys": keys, "load_seconds": seconds, "bytes_per_key": bytes / keys.max(1), "change_us": micros}),
    )
}

fn brand() -> Result<Brand, String> {
    Brand::parse("kg").map_err(|error| error.to_string())
}

struct Loading(SnapshotBuilder);

impl Intake for Loading {
    fn organizations(&mut self, organizations: Vec<Organization>) {
        self.0.organizations(&organizations);
    }

    fn people(&mut self, people: Vec<Person>) {
        self.0.people(&people);
    }

    fn key(&mut self, key: KeyRecord) {
        self.0.key(&key);
    }

    fn nonsense(&mut self, _: String) {}
}

fn record(id: &str, secret: &str) -> Result<KeyRecord, Box<dyn Error>> {
    Ok(KeyRecord {
        name: Some(Name::parse(&format!("name of the key {id}")).map_err(|error| error.to_string())?),
        scopes: vec!["admin".to_owned()],
        projects: ProjectSet::All,
        ..KeyRecord::new(
            KeyId::parse(id).map_err(|error| error.to_string())?,
            KeyDigest::of(secret.as_bytes()),
        )
    })
}

fn audit(command: &str) -> AuditRecord {
    AuditRecord {
        at: Timestamp::UNIX_EPOCH,
        revision: None,
        actor: "bench".to_owned(),
        address: None,
        organization: None,
        command: command.to_owned(),
        record: "key".to_owned(),
        id: "many".to_owned(),
        what: "as a benchmark".to_owned(),
    }
}

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or_default() * rustix::param::page_size()
}
