//! What is found among the records of key files.

use std::{collections::HashSet, path::Path, sync::Arc};

use crate::{
    keys::{
        digest::KeyDigest,
        record::{KeyId, KeyRecord, Person, PersonId, Revocation},
    },
    store::{
        contract::Taken,
        editable::EditableFiles,
        file::{FileProblem, KeyFile},
        state::{SeenRevocation, SeenRevocations, StateFolder},
    },
};

pub(super) fn right(files: &EditableFiles) -> impl Iterator<Item = &KeyFile> {
    files.files().iter().filter_map(|file| file.records.as_ref().ok())
}

pub(super) fn wrong_files(files: &EditableFiles) -> Vec<FileProblem> {
    let wrong = files.files().iter().filter_map(|file| file.records.as_ref().err());
    wrong.flat_map(|wrong| wrong.problems.iter().cloned()).collect()
}

pub(super) fn sorted<'r, R: Clone + 'r, I: Ord>(
    records: impl Iterator<Item = &'r R>,
    id: impl Fn(&R) -> &I,
) -> Vec<R> {
    let mut sorted: Vec<R> = records.cloned().collect();
    sorted.sort_by(|a, b| id(a).cmp(id(b)));
    sorted
}

pub(super) fn find_person<'p>(people: &'p [Person], id: &PersonId) -> Option<&'p Person> {
    people.binary_search_by(|person| person.id.cmp(id)).ok().and_then(|at| people.get(at))
}

/// Marks those of `keys` that a gateway keeps as revoked in its `state:` folder: that is in force there before the files say it. Their
/// ids; what is wrong with the folder goes to `wrong`.
pub(super) fn recall(
    folder: Option<&Path>,
    keys: &mut [KeyRecord],
    wrong: &mut Vec<FileProblem>,
) -> HashSet<KeyId> {
    let Some(folder) = folder else { return HashSet::new() };
    let seen = StateFolder::to_read(folder).read_revocations().unwrap_or_else(|error| {
        let path = Arc::from(error.path.as_path());
        wrong.push(FileProblem::of_file(&path, error.message, error.remedy));
        SeenRevocations::new()
    });
    let mark = |key: &mut KeyRecord| {
        let SeenRevocation { at, .. } = *seen.get(&key.digest)?;
        key.revoked = Some(Revocation { at, by: None, reason: None });
        Some(key.id)
    };
    keys.iter_mut().filter(|key| key.revoked.is_none()).filter_map(mark).collect()
}

/// The digests of a key: one, or two in rotation.
pub(super) fn digests(key: &KeyRecord) -> impl Iterator<Item = KeyDigest> {
    [Some(key.digest), key.previous.as_ref().map(|previous| previous.digest)].into_iter().flatten()
}

pub(super) fn told(taken: &Taken) -> Vec<String> {
    let ids = taken.ids.iter().map(|id| format!("key {id}: this id is taken already; ids are unique"));
    let digests = taken
        .digests
        .iter()
        .map(|(_, owner)| format!("the key {owner} has the same digest; every secret belongs to one key"));
    ids.chain(digests).collect()
}
