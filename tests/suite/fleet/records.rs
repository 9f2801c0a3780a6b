//! The records of a fleet, written by the same store that commands write with.

use std::sync::Arc;

use jiff::Timestamp;
use keygate::keys::digest::KeyDigest;
use keygate::keys::record::{Email, KeyId, KeyRecord, Name, Person, PersonId, Revocation};
use keygate::policy::principal::Role;
use keygate::policy::project::ProjectSet;
use keygate::store::contract::{
    Access, Acknowledgement, AuditFilter, AuditRecord, Committed, Database, Replica, StoreError, Transaction,
};
use keygate::store::database_url::DatabaseUrl;
use tokio::runtime::{Builder, Runtime};

/// A database with its tables.
pub(super) struct Records {
    runtime: Runtime,
    database: Arc<dyn Database>,
}

impl Records {
    /// Makes the tables where they are missing.
    pub(super) fn of(url: &str) -> Self {
        runtime().block_on(keygate::store::sql::migrate(&DatabaseUrl::parse(url).unwrap(), false)).unwrap();
        Self::open(url).unwrap()
    }

    /// The database as it is.
    pub(super) fn open(url: &str) -> Result<Self, StoreError> {
        let runtime = runtime();
        let database =
            runtime.block_on(keygate::store::sql::open(&DatabaseUrl::parse(url).unwrap(), None))?;
        Ok(Self { runtime, database })
    }

    /// Adds keys and gives the revision.
    pub(super) fn add(&self, keys: &[KeyRecord]) -> u64 {
        self.change(async |transaction| transaction.insert_keys(keys).await).unwrap()
    }

    pub(super) fn put_person(&self, person: &Person) -> u64 {
        self.change(async |transaction| transaction.put_person(person).await).unwrap()
    }

    /// Revokes a key and gives the revision, without waiting for anybody.
    pub(super) fn revoke(&self, id: &str) -> Result<u64, StoreError> {
        let revocation = Revocation { at: Timestamp::now(), by: None, reason: None };
        self.change(async |transaction| {
            transaction.revoke_key(&KeyId::parse(id).unwrap(), &revocation).await.map(drop)
        })
    }

    /// The newest revision. Connections that a fault has broken are found out.
    pub(super) fn head(&self) -> u64 {
        let head = || self.runtime.block_on(self.database.head());
        (0..20).find_map(|_| head().ok()).expect("the database does not answer").revision
    }

    pub(super) fn replicas(&self) -> Vec<Replica> {
        self.runtime.block_on(self.database.replicas()).unwrap()
    }

    pub(super) fn acknowledgements(&self, revision: u64) -> Vec<Acknowledgement> {
        self.runtime.block_on(self.database.acknowledgements(revision)).unwrap()
    }

    /// How many changes were recorded.
    pub(super) fn audits(&self) -> u64 {
        let all = AuditFilter { limit: 100_000, ..AuditFilter::default() };
        self.runtime.block_on(self.database.audit(&all)).unwrap().records.len() as u64
    }

    /// The key as it is stored.
    pub(super) fn key(&self, id: &str) -> Option<KeyRecord> {
        let id = KeyId::parse(id).unwrap();
        self.runtime.block_on(async {
            let mut transaction = self.database.begin(Access::Read).await.unwrap();
            transaction.key(&id).await.unwrap()
        })
    }

    fn change(
        &self,
        change: impl AsyncFnOnce(&mut dyn Transaction) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        self.runtime.block_on(async {
            let mut transaction = self.database.begin(Access::Write).await?;
            change(&mut *transaction).await?;
            match transaction.commit(&[audit()]).await? {
                Committed::Revision(revision) => Ok(revision),
                other => panic!("no revision: {other:?}"),
            }
        })
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn audit() -> AuditRecord {
    AuditRecord {
        at: Timestamp::UNIX_EPOCH,
        revision: None,
        actor: "the test".into(),
        address: None,
        organization: None,
        command: "test".into(),
        record: "key".into(),
        id: "any".into(),
        what: "something".into(),
    }
}

/// A key that may do everything and belongs to nobody.
pub(super) fn record((id, secret): (&str, &str)) -> KeyRecord {
    KeyRecord {
        name: Some(Name::parse(id).unwrap()),
        scopes: vec!["admin".to_owned()],
        projects: ProjectSet::All,
        ..KeyRecord::new(KeyId::parse(id).unwrap(), KeyDigest::of(secret.as_bytes()))
    }
}

/// Somebody who may see every project.
pub(super) fn person(id: &str, role: Role) -> Person {
    Person {
        id: PersonId::parse(id).unwrap(),
        email: Email::parse(&format!("{id}@example.com")).unwrap(),
        name: None,
        organization: None,
        role,
        projects: ProjectSet::All,
        disabled: false,
    }
}
