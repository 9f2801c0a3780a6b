//! From records to a snapshot: everything that records say about one another is checked here, once, so that a
//! request never meets a key whose owner, organization, scope or project does not exist.

use std::{
    borrow::Borrow,
    collections::{HashMap, hash_map},
    hash::Hash,
};

use super::{
    caps::RoleCaps,
    digest::KeyDigest,
    editor::SnapshotEditor,
    problem::{BuildProblem, Fault, Problems, RecordField, Subject},
    record::{KeyRecord, Organization, Person},
    register::Register,
    secret::Brand,
    snapshot::KeySnapshot,
    table::{TableBuilder, TableFull},
};
use crate::policy::{plan::Plans, scope::Scopes};

/// What the config says about keys.
#[derive(Debug, Clone, Copy)]
pub struct KeyPolicy<'p> {
    /// The scopes there are.
    pub scopes: &'p Scopes,
    /// What a role allows at most.
    pub role_caps: &'p RoleCaps,
    /// The brand of secrets made here.
    pub brand: &'p Brand,
    /// The plans there are.
    pub plans: &'p Plans,
}

/// Makes a snapshot of the records of a database as they come: organizations, then people, then keys one by one. No
/// record is kept. A wrong one does no harm to others: what it names and is not there counts for nothing, and a key of
/// which nobody can say to whom it belongs is as good as unknown.
#[derive(Debug)]
pub struct SnapshotBuilder {
    register: Register,
    table: TableBuilder,
    problems: Problems,
    people: usize,
    keys: usize,
    is_full: bool,
}

impl SnapshotBuilder {
    /// Of no records yet, and about `keys` keys to come; another number costs a little time.
    pub fn new(policy: &KeyPolicy<'_>, keys: usize) -> Self {
        Self::telling(policy, keys, Problems::first())
    }

    fn telling(policy: &KeyPolicy<'_>, keys: usize, problems: Problems) -> Self {
        let mut builder = Self {
            register: Register::new(policy),
            table: TableBuilder::new(keys),
            problems,
            people: 0,
            keys: 0,
            is_full: false,
        };
        builder.set_organizations([].into_iter());
        builder
    }

    /// All organizations there are; without any, everything belongs to one called `default`.
    pub fn organizations(&mut self, organizations: &[Organization]) {
        self.set_organizations(organizations.iter());
    }

    fn set_organizations<'r>(&mut self, organizations: impl ExactSizeIterator<Item = &'r Organization>) {
        let done = self.register.set_organizations(organizations, &mut self.problems);
        self.is_full |= done.is_err();
    }

    /// More people.
    pub fn people(&mut self, people: &[Person]) {
        for person in people {
            self.person(person);
        }
    }

    fn person(&mut self, person: &Person) {
        let facts = self.register.facts(self.people, person, &mut self.problems);
        let done = facts.and_then(|facts| self.register.put_person(&person.id, facts));
        self.is_full |= done.is_err();
        self.people += 1;
    }

    /// One more key. Cost: about a microsecond.
    pub fn key(&mut self, key: &KeyRecord) {
        let entries = self.register.entries(self.keys, key, &mut self.problems);
        let done = entries.and_then(|entries| entries.iter().try_for_each(|entry| self.table.push(entry)));
        self.is_full |= done.is_err();
        self.keys += 1;
    }

    /// The snapshot, ready to be changed, and what is wrong with the records.
    ///
    /// # Errors
    /// [`TableFull`].
    pub fn finish(self) -> Result<(SnapshotEditor, Problems), TableFull> {
        if self.is_full {
            return Err(TableFull);
        }
        Ok((SnapshotEditor::new(self.register, self.table.finish()?), self.problems))
    }
}

/// See [`KeySnapshot::build`].
pub(super) fn build<K: Borrow<KeyRecord>, P: Borrow<Person>, O: Borrow<Organization>>(
    keys: &[K],
    people: &[P],
    organizations: &[O],
    policy: &KeyPolicy<'_>,
) -> Result<KeySnapshot, Vec<BuildProblem>> {
    let mut builder = SnapshotBuilder::telling(policy, keys.len(), Problems::all());
    builder.set_organizations(organizations.iter().map(Borrow::borrow));
    let mut person_at = HashMap::with_capacity(people.len());
    for (at, person) in people.iter().map(Borrow::borrow).enumerate() {
        match claim(&mut person_at, &person.id, at) {
            Ok(()) => builder.person(person),
            Err(first) => builder.person_again(person, first),
        }
    }
    let mut taken = Taken::with_capacity(keys.len());
    for (at, key) in keys.iter().map(Borrow::borrow).enumerate() {
        taken.claim(at, key, &mut builder);
        builder.key(key);
    }
    let too_many = || BuildProblem {
        subject: Subject::AllKeys,
        field: RecordField::Id,
        element: None,
        fault: Fault::TooManyKeys,
    };
    match builder.finish() {
        Ok((editor, problems)) if problems.count == 0 => Ok(editor.snapshot().clone()),
        Ok((_, problems)) => Err(problems.first),
        Err(TableFull) => Err(vec![too_many()]),
    }
}

impl SnapshotBuilder {
    /// Tells what is wrong with a person whose id is taken, and keeps the `first`.
    fn person_again(&mut self, person: &Person, first: usize) {
        let subject = Subject::Person(self.people, person.id.clone());
        self.tell(subject, RecordField::Id, Fault::DuplicateId { first });
        self.is_full |= self.register.facts(self.people, person, &mut self.problems).is_err();
        self.people += 1;
    }

    fn tell(&mut self, subject: Subject, field: RecordField, fault: Fault) {
        self.problems.add(BuildProblem { subject, field, element: None, fault });
    }
}

/// The ids and digests of the keys so far.
struct Taken<'r> {
    ids: HashMap<&'r str, usize>,
    digests: HashMap<KeyDigest, (usize, &'r KeyRecord)>,
}

impl<'r> Taken<'r> {
    fn with_capacity(keys: usize) -> Self {
        Self { ids: HashMap::with_capacity(keys), digests: HashMap::with_capacity(keys) }
    }

    fn claim(&mut self, at: usize, key: &'r KeyRecord, builder: &mut SnapshotBuilder) {
        let subject = || Subject::Key(at, key.id);
        if let Err(first) = claim(&mut self.ids, key.id.as_str(), at) {
            builder.tell(subject(), RecordField::Id, Fault::DuplicateId { first });
        }
        let previous = key.previous.as_ref().map(|previous| (previous.digest, RecordField::PreviousDigest));
        for (digest, field) in [(key.digest, RecordField::Digest)].into_iter().chain(previous) {
            if let Err((first, other)) = claim(&mut self.digests, digest, (at, key)) {
                builder.tell(subject(), field, Fault::DuplicateDigest { first, id: other.id });
            }
        }
    }
}

/// Puts `value` under `name`, or gives the value that is there already.
fn claim<K: Eq + Hash, V: Copy>(known: &mut HashMap<K, V>, name: K, value: V) -> Result<(), V> {
    match known.entry(name) {
        hash_map::Entry::Occupied(taken) => Err(*taken.get()),
        hash_map::Entry::Vacant(free) => {
            free.insert(value);
            Ok(())
        }
    }
}
