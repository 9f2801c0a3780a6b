//! A database in memory: the contract at its shortest, to read and to test against. It is gone with the process.

mod limits;
mod signals;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{OwnedMutexGuard, watch};
use uuid::Uuid;

use self::signals::MemorySignals;
use super::{
    accounts::Accounts,
    contract::{
        Access, Acknowledgement, AuditCursor, AuditFilter, AuditFrom, AuditPage, AuditRecord, Changes,
        Checksum, Committed, Database, Feed, FleetLimits, Head, Heartbeat, Intake, KeyQuery, KeyTally,
        LimitClaim, OwnedKey, PersonQuery, Remembered, Replica, RevokedBefore, Right, ScopeUse, Signals,
        Since, Store, StoreError, Submission, Taken, Task, Transaction, UsageRow,
    },
    memory_accounts::MemoryAccounts,
    query::Membership,
    scan::Scan,
    usage_rows::KeptUsage,
};
use crate::keys::{
    checksum::KeySums,
    digest::KeyDigest,
    record::{KeyId, KeyRecord, Organization, OrganizationId, Person, PersonId, Revocation},
};

/// How long what a submission made is remembered.
const REMEMBERED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// See the module.
#[derive(Debug, Clone)]
pub struct MemoryDatabase(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    records: Mutex<Arc<Records>>,
    followers: Mutex<Followers>,
    accounts: Arc<MemoryAccounts>,
    writer: Arc<tokio::sync::Mutex<()>>,
    committed: watch::Sender<u64>,
}

/// Everything as of one revision.
#[derive(Debug, Clone)]
struct Records {
    instance: Uuid,
    organizations: BTreeMap<OrganizationId, Organization>,
    people: BTreeMap<PersonId, Person>,
    keys: BTreeMap<KeyId, KeyRecord>,
    holders: HashMap<KeyDigest, KeyId>,
    /// When the revisions were committed; the first is the beginning, revision 0.
    commits: Vec<Timestamp>,
    changes: Vec<(u64, Change)>,
    audit: Vec<AuditRecord>,
    /// What submissions made, by who asked and how they called it, with when.
    remembered: HashMap<(String, String), (Remembered, Timestamp)>,
}

#[derive(Debug, Clone)]
enum Change {
    Organizations,
    Person(PersonId),
    Key(KeyId),
    Dropped(KeyDigest),
}

/// What replicas tell of themselves.
#[derive(Debug, Default)]
struct Followers {
    replicas: BTreeMap<String, Replica>,
    acknowledgements: BTreeMap<(String, u64), Acknowledgement>,
    limits: Vec<LimitClaim>,
    usage: KeptUsage,
}

impl Default for MemoryDatabase {
    fn default() -> Self {
        let mut random = [0; 16];
        // Without randomness it is one database like another, which does no harm within one process.
        let _ = getrandom::fill(&mut random);
        let records = Records {
            instance: uuid::Builder::from_random_bytes(random).into_uuid(),
            organizations: BTreeMap::new(),
            people: BTreeMap::new(),
            keys: BTreeMap::new(),
            holders: HashMap::new(),
            commits: vec![Timestamp::now()],
            changes: Vec::new(),
            audit: Vec::new(),
            remembered: HashMap::new(),
        };
        Self(Arc::new(Shared {
            records: Mutex::new(Arc::new(records)),
            followers: Mutex::default(),
            accounts: Arc::default(),
            writer: Arc::default(),
            committed: watch::Sender::new(0),
        }))
    }
}

impl MemoryDatabase {
    fn records(&self) -> Arc<Records> {
        Arc::clone(&self.0.records.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn followers<R>(&self, act: impl FnOnce(&mut Followers) -> R) -> R {
        act(&mut self.0.followers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn done<'a, T: Send + 'a>(value: T) -> Task<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Records {
    fn revision(&self) -> u64 {
        self.commits.len() as u64 - 1
    }

    fn head(&self) -> Head {
        let revision = self.revision();
        let committed_at = self.committed_at(revision);
        Head { instance: self.instance, revision, now: Timestamp::now(), committed_at }
    }

    fn committed_at(&self, revision: u64) -> Timestamp {
        usize::try_from(revision).ok().and_then(|at| self.commits.get(at)).copied().unwrap_or_default()
    }

    fn scan(&self) -> Scan<'_> {
        Scan::new(self.organizations.values(), self.people.values(), self.keys.values())
    }

    fn taken(&self, ids: &[KeyId], digests: &[KeyDigest]) -> Taken {
        Taken {
            ids: ids.iter().filter(|id| self.keys.contains_key(id)).copied().collect(),
            digests: digests
                .iter()
                .filter_map(|digest| Some((*digest, *self.holders.get(digest)?)))
                .collect(),
        }
    }

    fn changes_since(&self, revision: u64) -> Changes {
        let changes: Vec<_> =
            self.changes.iter().filter(|(at, _)| *at > revision).map(|(_, change)| change).collect();
        let mut people = BTreeMap::new();
        let mut keys = BTreeMap::new();
        let mut dropped = Vec::new();
        let mut organizations = None;
        for change in changes {
            match change {
                Change::Organizations => organizations = Some(self.organizations.values().cloned().collect()),
                Change::Person(id) => people.extend(self.people.get_key_value(id)),
                Change::Key(id) => keys.extend(self.keys.get_key_value(id)),
                Change::Dropped(digest) if self.holders.contains_key(digest) => {}
                Change::Dropped(digest) => dropped.push(*digest),
            }
        }
        Changes {
            head: self.head(),
            organizations,
            people: people.into_values().cloned().collect(),
            keys: keys.into_values().cloned().collect(),
            dropped,
        }
    }
}

impl Store for MemoryDatabase {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn begin(&self, access: Access) -> Task<'_, Box<dyn Transaction>> {
        Box::pin(async move {
            let writer = match access {
                Access::Read => None,
                Access::Write => Some(Arc::clone(&self.0.writer).lock_owned().await),
            };
            let records = Records::clone(&self.records());
            let transaction: Box<dyn Transaction> = Box::new(MemoryTransaction {
                database: self.clone(),
                writer,
                records,
                changed: Vec::new(),
                made: Vec::new(),
            });
            Ok(transaction)
        })
    }

    fn audit<'a>(&'a self, filter: &'a AuditFilter) -> Task<'a, AuditPage> {
        let records = self.records();
        let all = (1..).zip(&records.audit).map(|(position, record)| {
            (AuditCursor { revision: record.revision.unwrap_or(0), position }, record)
        });
        let organizations: Vec<_> = records.organizations.values().cloned().collect();
        let membership = Membership::new(filter.organization.as_ref(), &organizations);
        let is_asked_for =
            |record: &AuditRecord| membership.admits(record.organization.as_ref()) && filter.admits(record);
        let asked_for: Vec<_> = all.filter(|(_, record)| is_asked_for(record)).collect();
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let page: Vec<_> = match filter.from {
            AuditFrom::Before(cursor) => {
                let newest_first = asked_for.into_iter().rev();
                newest_first.filter(|(at, _)| cursor.is_none_or(|cursor| *at < cursor)).take(limit).collect()
            }
            AuditFrom::After(cursor) => {
                let later = |(at, _): &(AuditCursor, _)| cursor.is_none_or(|cursor| *at > cursor);
                asked_for.into_iter().filter(later).take(limit).collect()
            }
        };
        let (first, last) = (page.first().map(|(at, _)| *at), page.last().map(|(at, _)| *at));
        let records = page.into_iter().map(|(_, record)| record.clone()).collect();
        done(AuditPage { records, first, end: last.or(filter.from.cursor()) })
    }
}

#[derive(Debug)]
struct MemoryTransaction {
    database: MemoryDatabase,
    /// `None`: it may only look.
    writer: Option<OwnedMutexGuard<()>>,
    records: Records,
    changed: Vec<Change>,
    /// What is remembered once this is committed; its revision is given then.
    made: Vec<((String, String), Remembered)>,
}

impl MemoryTransaction {
    fn writable(&self) -> Result<(), StoreError> {
        if self.writer.is_some() { Ok(()) } else { Err(refused("this transaction is for looking only")) }
    }

    fn put_key(&mut self, key: &KeyRecord) {
        let old = self.records.keys.insert(key.id, key.clone());
        for digest in old.iter().flat_map(digests) {
            self.records.holders.remove(&digest);
            self.changed.push(Change::Dropped(digest));
        }
        self.records.holders.extend(digests(key).into_iter().map(|digest| (digest, key.id)));
        self.changed.push(Change::Key(key.id));
    }

    fn insert(&mut self, keys: &[KeyRecord]) -> Result<(), StoreError> {
        self.writable()?;
        let mut reasons = Vec::new();
        let (mut ids, mut seen) = (HashSet::new(), HashMap::new());
        for key in keys {
            if self.records.keys.contains_key(&key.id) || !ids.insert(key.id) {
                reasons.push(format!("there is a key {} already", key.id));
            }
            for digest in digests(key) {
                let holder = self.records.holders.get(&digest).copied().or(seen.insert(digest, key.id));
                reasons
                    .extend(holder.map(|holder| format!("the secret of {} is that of {holder} too", key.id)));
            }
        }
        if !reasons.is_empty() {
            return Err(StoreError::Refused(reasons));
        }
        for key in keys {
            self.put_key(key);
        }
        Ok(())
    }

    fn update(&mut self, key: &KeyRecord) -> Result<(), StoreError> {
        self.writable()?;
        let Some(old) = self.records.keys.get(&key.id) else {
            return Err(refused(&format!("there is no key {}", key.id)));
        };
        if old.revoked.is_some() {
            return Err(refused(&format!("key {} is revoked, and stays so", key.id)));
        }
        if key.previous.as_ref().is_some_and(|previous| previous.digest == key.digest) {
            return Err(refused(&format!("the secret of {} is that of {} too", key.id, key.id)));
        }
        let holders = digests(key).into_iter().filter_map(|digest| self.records.holders.get(&digest));
        if let Some(holder) = holders.into_iter().find(|holder| **holder != key.id) {
            return Err(refused(&format!("the secret of {} is that of {holder} too", key.id)));
        }
        if old != key {
            self.put_key(key);
        }
        Ok(())
    }

    fn revoke(&mut self, id: &KeyId, revocation: &Revocation) -> Result<Option<RevokedBefore>, StoreError> {
        self.writable()?;
        let Some(key) = self.records.keys.get_mut(id) else { return Ok(None) };
        if let Some(before) = &key.revoked {
            return Ok(Some(RevokedBefore(Some(before.at))));
        }
        key.revoked = Some(revocation.clone());
        self.changed.push(Change::Key(*id));
        Ok(Some(RevokedBefore(None)))
    }

    fn commit_now(mut self, audit: &[AuditRecord]) -> Result<Committed, StoreError> {
        self.writable()?;
        if self.changed.is_empty() {
            return Ok(Committed::Unchanged);
        }
        let at = Timestamp::now().max(self.records.committed_at(self.records.revision()));
        self.records.commits.push(at);
        let revision = self.records.revision();
        self.records.changes.extend(self.changed.into_iter().map(|change| (revision, change)));
        let stamped = |record: &AuditRecord| AuditRecord { at, revision: Some(revision), ..record.clone() };
        self.records.audit.extend(audit.iter().map(stamped));
        self.records.remembered.retain(|_, (_, made_at)| is_remembered(*made_at, at));
        let made = self.made.into_iter().map(|(name, made)| (name, (Remembered { revision, ..made }, at)));
        self.records.remembered.extend(made);
        *self.database.0.records.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(self.records);
        self.database.0.committed.send_replace(revision);
        Ok(Committed::Revision(revision))
    }
}

fn digests(key: &KeyRecord) -> Vec<KeyDigest> {
    [Some(key.digest), key.previous.as_ref().map(|previous| previous.digest)].into_iter().flatten().collect()
}

fn is_remembered(made_at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(made_at) < REMEMBERED_FOR
}

fn refused(reason: &str) -> StoreError {
    StoreError::Refused(vec![reason.to_owned()])
}

impl Transaction for MemoryTransaction {
    fn organizations(&mut self) -> Task<'_, Vec<Organization>> {
        done(self.records.organizations.values().cloned().collect())
    }

    fn person<'a>(&'a mut self, id: &'a PersonId) -> Task<'a, Option<Person>> {
        done(self.records.people.get(id).cloned())
    }

    fn people<'a>(&'a mut self, after: Option<&'a PersonId>, limit: usize) -> Task<'a, Vec<Person>> {
        let later =
            self.records.people.values().filter(|person| after.is_none_or(|after| person.id > *after));
        done(later.take(limit).cloned().collect())
    }

    fn key<'a>(&'a mut self, id: &'a KeyId) -> Task<'a, Option<KeyRecord>> {
        done(self.records.keys.get(id).cloned())
    }

    fn keys<'a>(&'a mut self, after: Option<&'a KeyId>, limit: usize) -> Task<'a, Vec<KeyRecord>> {
        let later = self.records.keys.values().filter(|key| after.is_none_or(|after| key.id > *after));
        done(later.take(limit).cloned().collect())
    }

    fn key_count(&mut self) -> Task<'_, u64> {
        done(self.records.keys.len() as u64)
    }

    fn keys_matching<'a>(&'a mut self, query: &'a KeyQuery) -> Task<'a, Vec<OwnedKey>> {
        done(self.records.scan().keys_matching(query))
    }

    fn count_keys_matching<'a>(&'a mut self, query: &'a KeyQuery, at_most: u64) -> Task<'a, u64> {
        done(self.records.scan().count_keys_matching(query, at_most))
    }

    fn key_tally<'a>(&'a mut self, query: &'a KeyQuery) -> Task<'a, KeyTally> {
        done(self.records.scan().key_tally(query))
    }

    fn people_matching<'a>(&'a mut self, query: &'a PersonQuery) -> Task<'a, Vec<Person>> {
        done(self.records.scan().people_matching(query))
    }

    fn key_counts<'a>(&'a mut self, owners: &'a [PersonId]) -> Task<'a, HashMap<PersonId, u64>> {
        done(self.records.scan().key_counts(owners))
    }

    fn people_with_email<'a>(&'a mut self, email: &'a str) -> Task<'a, Vec<Person>> {
        done(self.records.scan().people_with_email(email))
    }

    fn remembered<'a>(&'a mut self, submission: &'a Submission) -> Task<'a, Option<Remembered>> {
        let known = self.records.remembered.get(&(submission.actor.clone(), submission.key.clone()));
        let now = Timestamp::now();
        done(known.filter(|(_, made_at)| is_remembered(*made_at, now)).map(|(made, _)| made.clone()))
    }

    fn remember<'a>(&'a mut self, submission: &'a Submission, record: &'a str, id: &'a str) -> Task<'a, ()> {
        Box::pin(async move {
            self.writable()?;
            let Submission { actor, key, request } = submission.clone();
            let made = Remembered { request, record: record.to_owned(), id: id.to_owned(), revision: 0 };
            self.made.push(((actor, key), made));
            Ok(())
        })
    }

    fn taken<'a>(&'a mut self, ids: &'a [KeyId], digests: &'a [KeyDigest]) -> Task<'a, Taken> {
        done(self.records.taken(ids, digests))
    }

    fn who_names<'a>(
        &'a mut self,
        organization: &'a OrganizationId,
        project: &'a str,
    ) -> Task<'a, Option<String>> {
        done(self.records.scan().who_names(organization, project))
    }

    fn put_organization<'a>(&'a mut self, organization: &'a Organization) -> Task<'a, ()> {
        Box::pin(async move {
            self.writable()?;
            let old = self.records.organizations.insert(organization.id.clone(), organization.clone());
            if old.as_ref() != Some(organization) {
                self.changed.push(Change::Organizations);
            }
            Ok(())
        })
    }

    fn put_person<'a>(&'a mut self, person: &'a Person) -> Task<'a, ()> {
        Box::pin(async move {
            self.writable()?;
            let old = self.records.people.insert(person.id.clone(), person.clone());
            if old.as_ref() != Some(person) {
                self.changed.push(Change::Person(person.id.clone()));
            }
            Ok(())
        })
    }

    fn insert_keys<'a>(&'a mut self, keys: &'a [KeyRecord]) -> Task<'a, ()> {
        Box::pin(async move { self.insert(keys) })
    }

    fn update_key<'a>(&'a mut self, key: &'a KeyRecord) -> Task<'a, ()> {
        Box::pin(async move { self.update(key) })
    }

    fn revoke_key<'a>(
        &'a mut self,
        id: &'a KeyId,
        revocation: &'a Revocation,
    ) -> Task<'a, Option<RevokedBefore>> {
        Box::pin(async move { self.revoke(id, revocation) })
    }

    fn commit<'a>(self: Box<Self>, audit: &'a [AuditRecord]) -> Task<'a, Committed>
    where
        Self: 'a,
    {
        Box::pin(async move { self.commit_now(audit) })
    }
}

impl Database for MemoryDatabase {
    fn accounts(&self) -> Arc<dyn Accounts> {
        Arc::<MemoryAccounts>::clone(&self.0.accounts)
    }

    fn head(&self) -> Task<'_, Head> {
        done(self.records().head())
    }

    fn demand_right(&self, _: Right) -> Task<'_, ()> {
        done(())
    }

    fn load<'a>(&'a self, intake: &'a mut (dyn Intake + Send)) -> Task<'a, Head> {
        Box::pin(async move {
            let records = self.records();
            intake.organizations(records.organizations.values().cloned().collect());
            intake.people(records.people.values().cloned().collect());
            records.keys.values().cloned().for_each(|key| intake.key(key));
            Ok(records.head())
        })
    }

    fn changes_since(&self, since: Since) -> Task<'_, Feed> {
        let Since { instance, revision, committed_at } = since;
        let records = self.records();
        let is_known = instance == records.instance
            && revision <= records.revision()
            && committed_at.is_none_or(|at| at == records.committed_at(revision));
        done(if is_known {
            Feed::Changes(records.changes_since(revision))
        } else {
            Feed::Gap(records.head())
        })
    }

    fn checksum(&self) -> Task<'_, Checksum> {
        let records = self.records();
        let mut sums = KeySums::default();
        records.keys.values().for_each(|key| sums.add_record(key));
        done(Checksum { revision: records.revision(), entries: sums.entries, sum: sums.sum })
    }

    fn signals(&self) -> Task<'_, Box<dyn Signals>> {
        let signals: Box<dyn Signals> = Box::new(MemorySignals::new(self.0.committed.subscribe()));
        done(signals)
    }

    fn heartbeat<'a>(&'a self, beat: &'a Heartbeat) -> Task<'a, Head> {
        let now = Timestamp::now();
        self.followers(|followers| {
            let started_at = followers.replicas.get(&beat.replica).map_or(now, |known| known.started_at);
            let replica =
                Replica { beat: beat.clone(), started_at, beat_at: now, silent: std::time::Duration::ZERO };
            followers.replicas.insert(beat.replica.clone(), replica);
        });
        done(self.records().head())
    }

    fn acknowledge<'a>(&'a self, acknowledgement: &'a Acknowledgement) -> Task<'a, ()> {
        let committed_at = self.records().committed_at(acknowledgement.revision);
        let after = Timestamp::now().duration_since(committed_at).try_into().unwrap_or_default();
        self.followers(|followers| {
            if let Some(replica) = followers.replicas.get_mut(&acknowledgement.replica) {
                replica.beat.revision = replica.beat.revision.max(acknowledgement.revision);
            }
            let place = (acknowledgement.replica.clone(), acknowledgement.revision);
            followers
                .acknowledgements
                .entry(place)
                .or_insert_with(|| Acknowledgement { after, ..acknowledgement.clone() });
        });
        done(())
    }

    fn forget<'a>(&'a self, replica: &'a str) -> Task<'a, bool> {
        done(self.followers(|followers| followers.replicas.remove(replica).is_some()))
    }

    fn replicas(&self) -> Task<'_, Vec<Replica>> {
        let now = Timestamp::now();
        let silent = |replica: &Replica| now.duration_since(replica.beat_at).try_into().unwrap_or_default();
        let seen_now = |replica: &Replica| Replica { silent: silent(replica), ..replica.clone() };
        done(self.followers(|followers| followers.replicas.values().map(seen_now).collect()))
    }

    fn share_limits<'a>(
        &'a self,
        replica: &'a str,
        divide: &'a mut (dyn FnMut(&FleetLimits) -> Vec<LimitClaim> + Send),
    ) -> Task<'a, ()> {
        self.followers(|followers| limits::share(followers, replica, divide));
        done(())
    }

    fn acknowledgements(&self, revision: u64) -> Task<'_, Vec<Acknowledgement>> {
        done(self.followers(|followers| {
            let mut first: BTreeMap<&str, &Acknowledgement> = BTreeMap::new();
            for ((replica, at), acknowledgement) in &followers.acknowledgements {
                if *at >= revision {
                    first.entry(replica).or_insert(acknowledgement);
                }
            }
            first.into_values().cloned().collect()
        }))
    }

    fn add_usage<'a>(&'a self, rows: &'a [UsageRow]) -> Task<'a, ()> {
        self.followers(|followers| followers.usage.add(rows));
        done(())
    }

    fn usage<'a>(&'a self, keys: &'a [KeyId]) -> Task<'a, Vec<UsageRow>> {
        done(self.followers(|followers| followers.usage.rows(keys)))
    }

    fn usage_totals<'a>(&'a self, keys: &'a [KeyId]) -> Task<'a, Vec<UsageRow>> {
        done(self.followers(|followers| followers.usage.totals(keys)))
    }

    fn usage_since<'a>(&'a self, key: &'a KeyId, since: Timestamp) -> Task<'a, Vec<UsageRow>> {
        done(self.followers(|followers| followers.usage.since(key, since)))
    }

    fn add_scope_uses<'a>(&'a self, uses: &'a [ScopeUse]) -> Task<'a, ()> {
        self.followers(|followers| followers.usage.add_scopes(uses));
        done(())
    }

    fn scopes_used<'a>(&'a self, keys: &'a [KeyId]) -> Task<'a, Vec<ScopeUse>> {
        done(self.followers(|followers| followers.usage.scopes(keys)))
    }
}
