//! The records of key files that are in force: handed over by whoever reads the files, so that others can look at them
//! without reading a file.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;

use super::{
    contract::Taken,
    file::{FileProblem, KeyFile},
    scan::Scan,
};
use crate::keys::{
    digest::KeyDigest,
    record::{KeyId, KeyRecord, Organization, Person, PersonId, Revocation},
    rules::KeyRules,
};

/// The records in force now; cheap to clone, all clones show the same.
#[derive(Debug, Clone)]
pub struct RecordsInForce(Arc<ArcSwap<Records>>);

impl RecordsInForce {
    /// Until something else is put in force: no record, by these rules.
    pub fn none(rules: KeyRules) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Records::new(Vec::new(), &HashMap::new(), Vec::new(), rules))))
    }

    /// From now on `records` are in force.
    pub fn put(&self, records: Records) {
        self.0.store(Arc::new(records));
    }

    /// The records in force.
    pub fn now(&self) -> Arc<Records> {
        self.0.load_full()
    }
}

/// Records that are in force together.
#[derive(Debug)]
pub struct Records {
    files: Vec<Arc<KeyFile>>,
    /// File and position of each key, by id.
    places: Vec<(usize, usize)>,
    organizations: Vec<Organization>,
    people: Vec<Person>,
    /// Keys that are refused although their files do not say so, as they are in force: revoked.
    refused: HashMap<KeyId, KeyRecord>,
    wrong: Vec<FileProblem>,
    rules: KeyRules,
}

impl Records {
    /// The records of `files`, of which the keys in `refused` are revoked although they do not say so. `wrong` is what
    /// is wrong with newer contents of them, `rules` are those of the config in force. Cost: that of sorting the keys.
    pub fn new(
        files: Vec<Arc<KeyFile>>,
        refused: &HashMap<KeyId, Revocation>,
        wrong: Vec<FileProblem>,
        rules: KeyRules,
    ) -> Self {
        let in_file = |(file, keys): (usize, &Arc<KeyFile>)| (0..keys.keys.len()).map(move |at| (file, at));
        let mut places: Vec<_> = files.iter().enumerate().flat_map(in_file).collect();
        places.sort_by_key(|(file, at)| files[*file].keys[*at].id);
        let mut organizations: Vec<_> = files.iter().flat_map(|file| &file.organizations).cloned().collect();
        organizations.sort_by(|a, b| a.id.cmp(&b.id));
        let mut people: Vec<_> = files.iter().flat_map(|file| &file.people).cloned().collect();
        people.sort_by(|a, b| a.id.cmp(&b.id));
        let overlaid = |key: &KeyRecord| {
            let revocation = refused.get(&key.id)?;
            Some((key.id, KeyRecord { revoked: Some(revocation.clone()), ..key.clone() }))
        };
        let unmarked = files.iter().flat_map(|file| &file.keys).filter(|key| key.revoked.is_none());
        let refused =
            if refused.is_empty() { HashMap::new() } else { unmarked.filter_map(overlaid).collect() };
        Self { files, places, organizations, people, refused, wrong, rules }
    }

    /// By which rules they are in force.
    pub fn rules(&self) -> &KeyRules {
        &self.rules
    }

    /// What is wrong with files, so that an older content of them is in force.
    pub fn wrong(&self) -> &[FileProblem] {
        &self.wrong
    }

    /// Every organization, by id.
    pub fn organizations(&self) -> &[Organization] {
        &self.organizations
    }

    /// Every person, by id.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// The person `id`.
    pub fn person(&self, id: &PersonId) -> Option<&Person> {
        self.people.binary_search_by(|person| person.id.cmp(id)).ok().and_then(|at| self.people.get(at))
    }

    /// How many keys there are.
    pub fn key_count(&self) -> usize {
        self.places.len()
    }

    /// Every key, by id.
    pub fn keys(&self) -> impl Iterator<Item = &KeyRecord> {
        self.places.iter().map(|place| self.at(*place))
    }

    /// At most `limit` keys by id, those after `after`.
    pub fn keys_after(&self, after: Option<&KeyId>, limit: usize) -> impl Iterator<Item = &KeyRecord> {
        let start =
            after.map_or(0, |after| self.places.partition_point(|place| self.at(*place).id <= *after));
        self.places.iter().skip(start).take(limit).map(|place| self.at(*place))
    }

    /// The key `id`.
    pub fn key(&self, id: &KeyId) -> Option<&KeyRecord> {
        let found = self.places.binary_search_by(|place| self.at(*place).id.cmp(id)).ok()?;
        self.places.get(found).map(|place| self.at(*place))
    }

    /// The keys that are revoked although their files do not say so.
    pub(super) fn refused(&self) -> impl Iterator<Item = &KeyRecord> {
        self.refused.values()
    }

    /// For questions.
    pub(super) fn scan(&self) -> Scan<'_> {
        Scan::new(&self.organizations, &self.people, self.keys())
    }

    /// Which of these ids and digests belong to a key. Cost: a look at every key.
    pub fn taken(&self, ids: &[KeyId], digests: &[KeyDigest]) -> Taken {
        let holds = |key: &KeyRecord, digest: &KeyDigest| {
            key.digest == *digest || key.previous.as_ref().is_some_and(|previous| previous.digest == *digest)
        };
        let held = |digest: &KeyDigest| {
            let holder = self.keys().find(|key| holds(key, digest))?;
            Some((*digest, holder.id))
        };
        Taken {
            ids: ids.iter().filter(|id| self.key(id).is_some()).copied().collect(),
            digests: digests.iter().filter_map(held).collect(),
        }
    }

    fn at(&self, (file, at): (usize, usize)) -> &KeyRecord {
        let key = &self.files[file].keys[at];
        self.refused.get(&key.id).unwrap_or(key)
    }
}
