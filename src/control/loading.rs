//! From what a store gives to a snapshot.

use crate::{
    keys::{
        build::{KeyPolicy, SnapshotBuilder},
        editor::SnapshotEditor,
        problem::Problems,
        record::{KeyRecord, Organization, Person},
        table::TableFull,
    },
    store::contract::Intake,
};

/// Records on their way into a snapshot. What makes no sense is told, and what stands on it is denied.
#[derive(Debug)]
pub struct Loading {
    builder: SnapshotBuilder,
}

impl Loading {
    /// Of about so many keys, by `policy`.
    pub fn new(policy: &KeyPolicy<'_>, keys: usize) -> Self {
        Self { builder: SnapshotBuilder::new(policy, keys) }
    }

    /// The snapshot, ready to be changed, and what is wrong with the records.
    ///
    /// # Errors
    /// [`TableFull`].
    pub fn finish(self) -> Result<(SnapshotEditor, Problems), TableFull> {
        self.builder.finish()
    }
}

impl Intake for Loading {
    fn organizations(&mut self, organizations: Vec<Organization>) {
        self.builder.organizations(&organizations);
    }

    fn people(&mut self, people: Vec<Person>) {
        self.builder.people(&people);
    }

    fn key(&mut self, key: KeyRecord) {
        self.builder.key(&key);
    }

    fn nonsense(&mut self, what: String) {
        tracing::error!("a record makes no sense, and what stands on it is denied: {what}");
    }
}
