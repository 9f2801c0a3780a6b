//! A snapshot that follows a database: changes of records, and of the config, give the next one at the cost of what they
//! touch.

use std::sync::Arc;

use super::{
    build::KeyPolicy,
    digest::KeyDigest,
    problem::Problems,
    record::{KeyRecord, Organization, Person},
    register::Register,
    snapshot::KeySnapshot,
    table::{Change, KeyTable, TableFull},
};
use crate::policy::principal::KeyIdText;

/// Records that are new or differ, as they stand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Update<'u> {
    /// All organizations there are, if any changed.
    pub organizations: Option<&'u [Organization]>,
    /// People that are new or differ.
    pub people: &'u [Person],
    /// Keys that are new or differ.
    pub keys: &'u [KeyRecord],
    /// Digests that belonged to a key and no longer do.
    pub dropped: &'u [KeyDigest],
}

/// What became of an [`Update`].
#[derive(Debug)]
pub struct Applied {
    /// The snapshot with it.
    pub snapshot: KeySnapshot,
    /// What is wrong with the records of it; positions are those in the update.
    pub problems: Problems,
    /// The keys that were known before and that it revokes, by id.
    pub revoked: Vec<KeyIdText>,
}

/// The current snapshot, and what it takes to change it.
#[derive(Debug)]
pub struct SnapshotEditor {
    register: Register,
    snapshot: KeySnapshot,
}

impl SnapshotEditor {
    pub(super) fn new(register: Register, table: KeyTable) -> Self {
        let snapshot = KeySnapshot { table, directory: Arc::clone(register.directory()) };
        Self { register, snapshot }
    }

    /// The current snapshot.
    pub fn snapshot(&self) -> &KeySnapshot {
        &self.snapshot
    }

    /// Applies `update` as a whole. What of it is wrong does no harm to the rest, as with
    /// [`SnapshotBuilder`](super::build::SnapshotBuilder). Cost: tens of microseconds a key, and as much a person; now
    /// and then, where keys were given ever new sets of projects, a copy of the table.
    ///
    /// # Errors
    /// [`TableFull`]; then the current snapshot stays, and only loading everything anew leads on.
    pub fn apply(&mut self, update: &Update<'_>) -> Result<Applied, TableFull> {
        let mut problems = Problems::first();
        if let Some(organizations) = update.organizations {
            self.register.set_organizations(organizations.iter(), &mut problems)?;
        }
        for (position, person) in update.people.iter().enumerate() {
            let facts = self.register.facts(position, person, &mut problems)?;
            self.register.put_person(&person.id, facts)?;
        }
        let mut changes: Vec<_> = update.dropped.iter().map(|digest| Change::Remove(*digest)).collect();
        for (position, key) in update.keys.iter().enumerate() {
            let entries = self.register.entries(position, key, &mut problems)?;
            changes.extend(entries.into_iter().map(Change::Upsert));
        }
        let revoked = self.newly_revoked(update.keys);
        let table = self.snapshot.table.with_changes(&changes)?;
        let table = self.register.swept(&table)?.unwrap_or(table);
        self.snapshot = KeySnapshot { table, directory: Arc::clone(self.register.directory()) };
        Ok(Applied { snapshot: self.snapshot.clone(), problems, revoked })
    }

    fn newly_revoked(&self, keys: &[KeyRecord]) -> Vec<KeyIdText> {
        let is_news = |key: &&KeyRecord| {
            let digests = [Some(key.digest), key.previous.as_ref().map(|previous| previous.digest)];
            let mut known = digests.iter().flatten().filter_map(|digest| self.snapshot.table.find(digest));
            key.revoked.is_some() && known.any(|view| view.details.revoked_ms().is_none())
        };
        keys.iter().filter(is_news).map(|key| key.id.text()).collect()
    }

    /// Takes scopes, role caps, brand and plans from `policy`. Scopes are known by their names, so that each means what this
    /// config says, and what it does not know counts for nothing until another does. Cost: little; where the names of
    /// old and new together are more than 64, a copy of the table.
    pub fn with_policy(&mut self, policy: &KeyPolicy<'_>) -> &KeySnapshot {
        let directory = self.register.directory_mut();
        directory.brand = policy.brand.clone();
        directory.role_caps = *policy.role_caps;
        let renumbering = directory.scopes.redefine(policy.scopes);
        self.register.set_plans(policy.plans);
        if let Some(renumbering) = renumbering {
            let table = self.snapshot.table.renumbered(|grants| renumbering.of(grants), |projects| projects);
            self.snapshot.table = table;
        }
        self.snapshot.directory = Arc::clone(self.register.directory());
        &self.snapshot
    }

    /// Whether grants of scopes that the config does not know were left out, since a snapshot holds 64 names at most.
    /// After a change of the scopes everything must be loaded anew then, or keys may lack what they were granted.
    pub fn lacks_grants(&self) -> bool {
        self.register.directory().scopes.is_short()
    }
}

#[cfg(test)]
mod tests;
