//! Takes over keys that exist already, by digest or by secret, or a whole key file with its organizations and people.
//! All of a list or none of it, as one change.

mod csv;
mod listed;
mod row_key;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use self::listed::Listed;
use super::{
    actor::Acting,
    administration::{AdminError, Administration, Changed, Work},
    key_admin::{granted, place},
    record_check::{contradictions, excesses_of, owners},
};
use crate::{
    keys::{
        digest::KeyDigest,
        record::{KeyId, KeyRecord, Name, Organization, Person, PersonId},
        rules::KeyRules,
    },
    policy::project::ProjectSet,
    store::contract::{Committed, RevokedBefore, Taken},
};

pub use rows::{BYTES_MAX, Format};

/// How many keys are put at once.
const SLICE: usize = 5000;

/// What is taken where a row does not say it. A key file says everything itself.
#[derive(Debug, Clone, Default)]
pub struct ImportDefaults {
    /// The scopes; a row without any is refused.
    pub scopes: Option<Vec<String>>,
    /// The projects; a row without any is refused.
    pub projects: Option<ProjectSet>,
    /// The expiry, as [`term::expiry`](super::term::expiry) reads it; a row without any is refused.
    pub expires: Option<String>,
    /// The owner.
    pub owner: Option<PersonId>,
}

impl ImportDefaults {
    fn is_empty(&self) -> bool {
        let Self { scopes, projects, expires, owner } = self;
        scopes.is_none() && projects.is_none() && expires.is_none() && owner.is_none()
    }
}

/// How a list is taken over.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// What rows leave out.
    pub defaults: ImportDefaults,
    /// Passes over keys that are there already, with the same id and digest.
    pub skip_existing: bool,
    /// Checks everything and changes nothing.
    pub dry_run: bool,
}

/// A key of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// Where it is listed: `line 3`.
    pub at: String,
    /// Its id.
    pub id: KeyId,
    /// Its name.
    pub name: Option<Name>,
}

/// What was imported, or would be.
#[derive(Debug)]
pub struct Imported {
    /// The keys.
    pub keys: Vec<ListedKey>,
    /// Those that were there already.
    pub skipped: Vec<ListedKey>,
    /// How many organizations came along.
    pub organizations: usize,
    /// How many people came along.
    pub people: usize,
    /// What is taken, but should not stay so.
    pub warnings: Vec<String>,
    /// What became of the change; `None`: nothing should be changed.
    pub committed: Option<Committed>,
}

/// What speaks against a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// Where it is listed; empty where the reason names a record.
    pub at: String,
    /// Why; never with a secret or digest.
    pub reason: String,
}

/// Why nothing was imported.
#[derive(Debug)]
pub enum NotImported {
    /// Every row that is refused.
    Rows(Vec<RefusedRow>),
    /// Something else.
    Other(AdminError),
}

impl<E: Into<AdminError>> From<E> for NotImported {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Adds the keys that `text` lists; of a key file also its organizations and people, and tombstones and rotations as
/// they are. `progress` is told how many keys of how many are written. Other changes of the store wait meanwhile.
/// Cost: at least 10,000 keys a second.
///
/// # Errors
/// Every row that is refused, with the reasons; then no key is added. No reason shows a secret or digest.
pub async fn import(
    administration: &Administration,
    text: &[u8],
    format: Format,
    options: &ImportOptions,
    now: Timestamp,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Imported, NotImported> {
    let listed = Listed::read(text, format, &options.defaults, now)?;
    let work = administration.change().await?;
    let mut import = Import::new(work, listed);
    import.put_organizations().await?;
    import.put_people().await?;
    let skipped = if options.skip_existing { import.set_aside_existing().await? } else { Vec::new() };
    import.check().await?;
    if !import.listed.refused.is_empty() {
        return Err(NotImported::Rows(import.listed.refused));
    }
    import.finish(skipped, options.dry_run, progress).await
}

/// An import under way.
struct Import<'a> {
    work: Work<'a>,
    rules: KeyRules,
    listed: Listed,
    changes: Vec<Changed>,
}

impl<'a> Import<'a> {
    fn new(work: Work<'a>, listed: Listed) -> Self {
        // What a key file grants was granted where it comes from.
        let granted: &[KeyRecord] = if listed.is_key_file { &listed.keys } else { &[] };
        let rules = work.administration.rules_for(granted);
        Self { work, rules, listed, changes: Vec::new() }
    }

    async fn put_organizations(&mut self) -> Result<(), AdminError> {
        if self.listed.is_key_file
            && let Acting::Person(person, _) = &self.work.acting
        {
            let reason = format!("{} may not import a key file; operators may, without --as", person.id);
            return Err(AdminError::Forbidden(reason));
        }
        for organization in std::mem::take(&mut self.listed.organizations) {
            match self.work.organizations.iter().find(|known| known.id == organization.id) {
                Some(known) if *known == organization => {}
                Some(_) => self.refuse_record("organization", &organization.id),
                None => self.put_organization(organization).await?,
            }
        }
        Ok(())
    }

    async fn put_organization(&mut self, organization: Organization) -> Result<(), AdminError> {
        self.work.transaction.put_organization(&organization).await?;
        self.changes.push(Changed::new("organization", &organization.id, "created"));
        self.work.organizations.push(organization);
        Ok(())
    }

    async fn put_people(&mut self) -> Result<(), AdminError> {
        let mut people = std::mem::take(&mut self.listed.people);
        for person in &mut people {
            match self.work.organization_for_new(person.organization.as_ref()).await {
                Ok(organization) => {
                    person.organization = self.work.named(person.organization.take(), &organization);
                }
                // Told with everything else that is wrong with them.
                Err(AdminError::Refused(_)) => continue,
                Err(error) => return Err(error),
            }
            match self.work.transaction.person(&person.id).await? {
                Some(known) if known == *person => {}
                Some(_) => self.refuse_record("person", &person.id),
                None => {
                    self.work.transaction.put_person(person).await?;
                    let what = format!("created: role={}", person.role.as_str());
                    self.changes.push(Changed::new("person", &person.id, what));
                }
            }
        }
        self.listed.people = people;
        Ok(())
    }

    fn refuse_record(&mut self, kind: &str, id: &dyn std::fmt::Display) {
        let reason = format!("{kind} {id} is there already and differs; make both the same, or rename one");
        self.listed.refused.push(RefusedRow { at: String::new(), reason });
    }

    /// Takes out of the list what is there already. What the list has revoked is revoked there too.
    async fn set_aside_existing(&mut self) -> Result<Vec<ListedKey>, AdminError> {
        let ids: Vec<_> = self.listed.keys.iter().map(|key| key.id).collect();
        let digests: Vec<_> = self.listed.keys.iter().map(|key| key.digest).collect();
        let Taken { digests, .. } = self.work.transaction.taken(&ids, &digests).await?;
        let holders: HashMap<KeyDigest, KeyId> = digests.into_iter().collect();
        let existing = |key: &KeyRecord, listed: &Listed| {
            let holder = *holders.get(&key.digest)?;
            (holder == key.id || listed.without_id.contains(&key.id)).then_some(holder)
        };
        let mut skipped = Vec::new();
        let (keys, places) = (std::mem::take(&mut self.listed.keys), std::mem::take(&mut self.listed.places));
        for (key, at) in keys.into_iter().zip(places) {
            let Some(id) = existing(&key, &self.listed) else {
                self.listed.keys.push(key);
                self.listed.places.push(at);
                continue;
            };
            if let Some(revocation) = &key.revoked
                && let Some(RevokedBefore(None)) = self.work.transaction.revoke_key(&id, revocation).await?
            {
                self.changes.push(Changed::new("key", id, "revoked"));
                self.listed
                    .warnings
                    .push(format!("{at}: key {id} was there and is revoked now, as in the list"));
            }
            skipped.push(ListedKey { at, id, name: key.name });
        }
        Ok(skipped)
    }

    /// Keeps everything that speaks against the keys.
    async fn check(&mut self) -> Result<(), AdminError> {
        // What a person brings without an owner is their own, so that it never exceeds them.
        if let Some(creator) = self.work.acting.person() {
            for key in self.listed.keys.iter_mut().filter(|key| key.owner.is_none()) {
                key.owner = Some(creator.id.clone());
            }
        }
        let known: BTreeSet<PersonId> = self.listed.people.iter().map(|person| person.id.clone()).collect();
        let named = self.listed.keys.iter().filter_map(|key| key.owner.as_ref());
        let wanted: BTreeSet<&PersonId> = named.filter(|id| !known.contains(*id)).collect();
        // Those of the list first, so that a problem names them by their place in it.
        let mut people = self.listed.people.clone();
        people.extend(
            owners(&mut self.work, &wanted).await?.into_iter().filter(|one| !known.contains(&one.id)),
        );
        let by_id: BTreeMap<&PersonId, &Person> = people.iter().map(|person| (&person.id, person)).collect();
        let mut found = Vec::new();
        for (at, key) in self.listed.keys.iter_mut().enumerate() {
            let owner = key.owner.as_ref().and_then(|id| by_id.get(id).copied());
            place(&mut self.work, key, owner).await?;
            if !self.listed.is_key_file {
                let excesses = excesses_of(&self.work, &self.rules, owner, key);
                found.extend(excesses.into_iter().map(|refusal| (Some(at), refusal.reason)));
            }
        }
        let Listed { keys, places, .. } = &self.listed;
        let contradictions = contradictions(&mut self.work, &self.rules, keys, &people, places).await?;
        found.extend(contradictions.into_iter().map(|(at, refusal)| (at, refusal.reason)));
        let refused = found.into_iter().map(|(at, reason)| self.listed.refused(at, reason));
        let refused: Vec<_> = refused.collect();
        self.listed.refused.extend(refused);
        self.listed.refused.sort_by_key(|row| listed::number(&row.at));
        Ok(())
    }

    async fn finish(
        mut self,
        skipped: Vec<ListedKey>,
        dry_run: bool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Imported, NotImported> {
        let count = |changes: &[Changed], kind| changes.iter().filter(|change| change.record == kind).count();
        let organizations = count(&self.changes, "organization");
        let people = count(&self.changes, "person");
        let Listed { keys, places, warnings, .. } = self.listed;
        let committed = if dry_run {
            None
        } else {
            let mut written = 0;
            for slice in keys.chunks(SLICE) {
                self.work.transaction.insert_keys(slice).await?;
                written += slice.len();
                progress(written, keys.len());
            }
            self.changes.extend(keys.iter().map(|key| Changed::new("key", key.id, told(key))));
            Some(self.work.commit("keys import", &self.changes).await?)
        };
        let keys = places.into_iter().zip(keys);
        let keys = keys.map(|(at, KeyRecord { id, name, .. })| ListedKey { at, id, name }).collect();
        Ok(Imported { keys, skipped, organizations, people, warnings, committed })
    }
}

/// What the audit log says of a key that came from elsewhere.
fn told(key: &KeyRecord) -> String {
    let revoked = if key.revoked.is_some() { "; revoked" } else { "" };
    granted(key) + revoked
}

/// Keys whose id the list did not say.
type WithoutId = HashSet<KeyId>;
