//! Revoked once is revoked for good: what was ever seen revoked stays refused, whatever the key files say later.

use std::{
    collections::{HashSet, hash_map::Entry},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;

use crate::{
    keys::{digest::KeyDigest, record::KeyId, snapshot::KeySnapshot, table::TableFull},
    policy::principal::KeyIdText,
    store::{
        key_files::{Resolution, SourceRevocation},
        state::{SeenRevocation, SeenRevocations, StateError, StateFolder},
    },
};

/// The revocations that were seen, and where they are kept.
#[derive(Debug)]
pub(super) struct Revocations {
    seen: SeenRevocations,
    /// Those that could not be written yet.
    unsaved: SeenRevocations,
    folder: Option<StateFolder>,
}

/// A snapshot with revocations on top.
#[derive(Debug)]
pub(super) struct Overlaid {
    pub(super) snapshot: Option<KeySnapshot>,
    /// Keys that only the entries of a wrong file revoke, by file.
    pub(super) marked: Vec<(String, Vec<KeyIdText>)>,
    /// Keys that a right file lists as good although they were seen revoked, by file.
    pub(super) undone: Vec<(String, Vec<KeyIdText>)>,
    /// All keys that are refused although the records in force do not say so.
    pub(super) refused: HashSet<KeyIdText>,
}

impl Revocations {
    /// Those kept in `folder`; without it, they are kept for the life of the process.
    pub(super) fn load(folder: Option<StateFolder>) -> Result<Self, StateError> {
        let seen =
            folder.as_ref().map_or_else(|| Ok(SeenRevocations::new()), StateFolder::load_revocations)?;
        Ok(Self { seen, unsaved: SeenRevocations::new(), folder })
    }

    /// What `resolution` says with everything on top that is or was revoked.
    pub(super) fn overlay(&self, resolution: &Resolution) -> Result<Overlaid, TableFull> {
        let Some(snapshot) = &resolution.snapshot else {
            return Ok(Overlaid {
                snapshot: None,
                marked: Vec::new(),
                undone: Vec::new(),
                refused: HashSet::new(),
            });
        };
        let marks = resolution.revocations.iter().map(|mark| (mark.revocation.digest, mark.revocation.at));
        let (snapshot, marked) = snapshot.with_revoked(marks)?;
        let seen = self.seen.iter().map(|(digest, seen)| (*digest, seen.at));
        let (snapshot, again) = snapshot.with_revoked(seen)?;
        let refused = marked.iter().chain(&again).copied().collect();
        let undone = undone(resolution, &again);
        let marked = marked_by_file(&resolution.revocations, &marked);
        Ok(Overlaid { snapshot: Some(snapshot), marked, undone, refused })
    }

    /// Those entries that were seen revoked and that `snapshot` has as good. Cost: a look-up for each that was seen.
    pub(super) fn undone_by(&self, snapshot: &KeySnapshot) -> Vec<(KeyDigest, Timestamp)> {
        let seen = self.seen.iter().map(|(digest, seen)| (*digest, seen.at));
        seen.filter(|(digest, _)| is_good(snapshot, digest)).collect()
    }

    /// As [`Revocations::undone_by`], of these entries alone.
    pub(super) fn undone_among<'d>(
        &self,
        digests: impl IntoIterator<Item = &'d KeyDigest>,
        snapshot: &KeySnapshot,
    ) -> Vec<(KeyDigest, Timestamp)> {
        let seen = digests.into_iter().filter_map(|digest| Some((*digest, self.seen.get(digest)?.at)));
        seen.filter(|(digest, _)| is_good(snapshot, digest)).collect()
    }

    /// Remembers what is revoked; for after it was published.
    ///
    /// # Errors
    /// Where it cannot be written. It is remembered nonetheless, and written with the next.
    pub(super) fn remember(
        &mut self,
        revoked: impl IntoIterator<Item = (KeyDigest, SeenRevocation)>,
    ) -> Result<(), StateError> {
        for (digest, seen) in revoked {
            if let Entry::Vacant(unseen) = self.seen.entry(digest) {
                unseen.insert(seen);
                self.unsaved.insert(digest, seen);
            }
        }
        self.save()
    }

    /// Whether there is a folder that they are kept in.
    pub(super) fn are_kept(&self) -> bool {
        self.folder.is_some()
    }

    /// Writes what could not be written before.
    pub(super) fn save(&mut self) -> Result<(), StateError> {
        if let Some(folder) = self.folder.as_ref().filter(|_| !self.unsaved.is_empty()) {
            folder.append_revocations(&self.unsaved)?;
        }
        self.unsaved.clear();
        Ok(())
    }
}

fn is_good(snapshot: &KeySnapshot, digest: &KeyDigest) -> bool {
    snapshot.table().find(digest).is_some_and(|key| key.details.revoked_ms().is_none())
}

/// Every entry of `snapshot` that is revoked. Cost: a scan of all keys.
pub(super) fn revoked_in(snapshot: &KeySnapshot) -> impl Iterator<Item = (KeyDigest, SeenRevocation)> + '_ {
    snapshot.table().iter().filter_map(|view| {
        let at = Timestamp::from_millisecond(view.details.revoked_ms()?).ok()?;
        let key_id = KeyId::parse(&view.details.id()).ok();
        Some((view.digest, SeenRevocation { at, key_id }))
    })
}

/// Of the keys that are refused again, those whose file is right, so that it is the file that takes the mark back.
fn undone(resolution: &Resolution, again: &[KeyIdText]) -> Vec<(String, Vec<KeyIdText>)> {
    if again.is_empty() {
        return Vec::new();
    }
    let again: HashSet<_> = again.iter().collect();
    let is_right = |path: &Arc<Path>| !resolution.wrong.iter().any(|wrong| wrong.path == *path);
    let by_file = resolution.files.iter().filter(|file| is_right(&file.path)).map(|file| {
        let ids = file.keys.iter().map(|key| key.id.text()).filter(|id| again.contains(id)).collect();
        (file.path.display().to_string(), ids)
    });
    by_file.filter(|(_, ids): &(_, Vec<_>)| !ids.is_empty()).collect()
}

fn marked_by_file(marks: &[SourceRevocation], marked: &[KeyIdText]) -> Vec<(String, Vec<KeyIdText>)> {
    let mut by_file: Vec<(String, Vec<KeyIdText>)> = Vec::new();
    for mark in marks {
        let Some(id) = mark.revocation.key_id.map(|id| id.text()).filter(|id| marked.contains(id)) else {
            continue;
        };
        let path = mark.path.display().to_string();
        match by_file.iter_mut().find(|(known, _)| *known == path) {
            Some((_, ids)) if ids.contains(&id) => {}
            Some((_, ids)) => ids.push(id),
            None => by_file.push((path, vec![id])),
        }
    }
    by_file
}
