//! The keys of key files: what is in force of them, what is wrong with them, and what stays revoked whatever they say.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    changes::{FileChange, file_changes, tally},
    local_revocation::{Keeping, LocalRevocation},
    record::Recorder,
    report::Report,
    revocations::{Overlaid, Revocations, revoked_in},
};
use crate::{
    config::Config,
    keys::{
        digest::KeyDigest,
        record::{KeyId, KeyRecord, Revocation},
        snapshot::KeySnapshot,
        tally::KeyTally,
    },
    live::Published,
    policy::principal::KeyIdText,
    store::{
        file::{FileProblem, KeyFile, MarkedRevocation},
        key_files::{KeyFiles, Location, Look, Moment, Resolution, WrongSource},
        read::{Exposure, ReadOptions},
        records_in_force::Records,
        state::{SeenRevocation, StateError, StateFolder},
    },
    telemetry::audit::AuditEvent,
};

/// The keys of the files at one location.
#[derive(Debug)]
pub(super) struct FileKeys {
    files: KeyFiles,
    problems: Vec<WrongSource>,
    in_force: Vec<Arc<KeyFile>>,
    refused: HashSet<KeyIdText>,
    revocations: Revocations,
    /// Who revoked keys in this process, and why.
    revoked_here: HashMap<KeyId, Revocation>,
    told: Told,
}

/// What was said already, so that it is said once.
#[derive(Debug, Default)]
struct Told {
    undone: Vec<(String, Vec<KeyIdText>)>,
    marked: Vec<(String, Vec<KeyIdText>)>,
    exposures: BTreeSet<String>,
    unsaved: Option<String>,
}

/// What the files and a config come to together.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The config, if it is not the one in force.
    pub(super) config: Option<Config>,
    resolution: Resolution,
}

/// What is to be put in force.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) snapshot: Option<KeySnapshot>,
    pub(super) changes: Vec<FileChange>,
    /// Whether it differs from what is in force.
    pub(super) is_new: bool,
    marked: Vec<(String, Vec<KeyIdText>)>,
    undone: Vec<(String, Vec<KeyIdText>)>,
    resolution: Resolution,
}

impl FileKeys {
    /// The files at `location`; nothing is read yet. Revocations are kept in `folder`.
    pub(super) fn new(
        location: Location,
        config: &Config,
        folder: Option<StateFolder>,
    ) -> Result<Self, StateError> {
        Ok(Self {
            files: KeyFiles::new(location, read_options(config)),
            problems: Vec::new(),
            in_force: Vec::new(),
            refused: HashSet::new(),
            revocations: Revocations::load(folder)?,
            revoked_here: HashMap::new(),
            told: Told::default(),
        })
    }

    pub(super) fn look(&mut self, now: Moment) -> Look {
        self.files.look(now)
    }

    /// The keys with the newest config they are right with. `None` if they are right with none, so that everything
    /// stays; then `candidate` keeps what is wrong only with the keys, and `problems` says so.
    pub(super) fn resolve(
        &mut self,
        current: &Published,
        candidate: &mut Option<Config>,
        problems: &mut Vec<String>,
        config_path: &Path,
    ) -> Option<Resolved> {
        let with_current = |keys: &KeyFiles| keys.resolve(&current.config.key_policy());
        let Some(config) = candidate.take() else {
            return with_current(&self.files).ok().map(|resolution| Resolved { config: None, resolution });
        };
        let wrong: Vec<FileProblem> = match self.files.resolve(&config.key_policy()) {
            Ok(resolution) if resolution.wrong.is_empty() => {
                return Some(Resolved { config: Some(config), resolution });
            }
            Ok(resolution) => match with_current(&self.files) {
                // Files that are wrong with either config are no reason to refuse the new one.
                Ok(old) if !is_covered(&resolution.wrong, &old.wrong) => {
                    resolution.wrong.into_iter().flat_map(|wrong| wrong.problems).collect()
                }
                Ok(_) | Err(_) => return Some(Resolved { config: Some(config), resolution }),
            },
            Err(wrong) => wrong,
        };
        *candidate = Some(config);
        *problems = vec![format!(
            "{}: with this configuration the keys would be wrong; keep what they name, or change the keys first",
            config_path.display()
        )];
        problems.extend(wrong.iter().map(ToString::to_string));
        with_current(&self.files).ok().map(|resolution| Resolved { config: None, resolution })
    }

    /// What was resolved, with every revocation on top. `None`: there are more keys than a table can hold.
    pub(super) fn overlay(&mut self, resolved: Resolved, current: &Published) -> Option<Next> {
        let Resolved { resolution, .. } = resolved;
        let Overlaid { snapshot, marked, undone, refused } = self.revocations.overlay(&resolution).ok()?;
        let changes = file_changes(&self.in_force, &resolution.files);
        let is_new =
            !changes.is_empty() || refused != self.refused || current.revision == 0 && snapshot.is_some();
        self.files.accept(&resolution);
        self.refused = refused;
        self.in_force.clone_from(&resolution.files);
        Some(Next { snapshot, changes, is_new, marked, undone, resolution })
    }

    /// `next` is in force: remembers what it revokes, and tells what is wrong.
    pub(super) fn follow(&mut self, next: Next, revision: u64, recorder: &Recorder, report: &mut Report) {
        let marks = next.resolution.revocations.iter().map(|mark| {
            let MarkedRevocation { digest, at, key_id } = mark.revocation;
            (digest, SeenRevocation { at, key_id })
        });
        let revoked = next.snapshot.iter().flat_map(revoked_in);
        if let Err(error) = self.revocations.remember(revoked.chain(marks)) {
            self.tell_unsaved(&error, report);
        }
        self.problems = next.resolution.wrong;
        self.tell_revocations(next.marked, next.undone, revision, recorder, report);
        self.tell_exposures(report);
    }

    /// The key `id` of a file in force, and the file.
    pub(super) fn find(&self, id: &KeyId) -> Option<(&KeyRecord, &Path)> {
        self.in_force.iter().find_map(|file| {
            let key = file.keys.iter().find(|key| key.id == *id)?;
            Some((key, &*file.path))
        })
    }

    /// From now on these digests of a key are revoked; the next [`FileKeys::overlay`] says so. First they are kept, so
    /// that a crash after this forgets nothing.
    pub(super) fn revoke(
        &mut self,
        digests: &[KeyDigest],
        asked: &LocalRevocation,
        report: &mut Report,
    ) -> Keeping {
        self.revoked_here.entry(asked.key).or_insert_with(|| asked.revocation.clone());
        let seen = SeenRevocation { at: asked.revocation.at, key_id: Some(asked.key) };
        match self.revocations.remember(digests.iter().map(|digest| (*digest, seen))) {
            Ok(()) if self.revocations.are_kept() => Keeping::State,
            Ok(()) => Keeping::Process,
            Err(error) => {
                self.tell_unsaved(&error, report);
                Keeping::Unwritten
            }
        }
    }

    /// What `current` has in force of the files, to be looked at.
    pub(super) fn records(&self, current: &Published) -> Records {
        let refused = self.in_force.iter().flat_map(|file| &file.keys);
        let refused = refused.filter(|key| self.refused.contains(&key.id.text()));
        let refused = refused.filter_map(|key| {
            let at = current.keys.as_ref()?.revoked_at(&key.digest)?;
            let unknown = Revocation { at, by: None, reason: None };
            Some((key.id, self.revoked_here.get(&key.id).cloned().unwrap_or(unknown)))
        });
        let wrong = self.problems.iter().flat_map(|source| source.problems.iter().cloned());
        Records::new(self.in_force.clone(), &refused.collect(), wrong.collect(), current.config.key_rules())
    }

    /// From now on reads as `config` says.
    pub(super) fn set_config(&mut self, config: &Config) {
        self.files.set_options(read_options(config));
    }

    /// Each wrong file with what is wrong.
    pub(super) fn problems(&self) -> impl Iterator<Item = (String, Vec<String>)> {
        self.problems.iter().map(|file| {
            let problems = file.problems.iter().map(ToString::to_string).collect();
            (file.path.display().to_string(), problems)
        })
    }

    pub(super) fn keys(&self) -> u64 {
        self.in_force.iter().map(|file| file.keys.len() as u64).sum()
    }

    pub(super) fn tally(&self, now: Moment) -> KeyTally {
        tally(&self.in_force, &self.refused, now.wall)
    }

    /// Keys that a right file lists as good although they were seen revoked.
    pub(super) fn undone(&self) -> Vec<String> {
        texts(&self.told.undone)
    }

    /// Keys that only wrong files revoke.
    pub(super) fn marked(&self) -> Vec<String> {
        texts(&self.told.marked)
    }

    pub(super) fn is_source(&self, name: &str) -> bool {
        let is_named = |path: &Path| path.display().to_string() == name;
        is_named(self.files.location().path()) || self.files.paths().any(|path| is_named(path))
    }

    /// Every file whose change matters.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let mut paths: Vec<_> = self.files.paths().map(|path| path.to_path_buf()).collect();
        if let Location::Directory(folder) = self.files.location() {
            // Any name in it stands for those to come.
            paths.push(folder.join("*"));
        }
        paths
    }

    /// Writes revocations that could not be written before.
    pub(super) fn save_revocations(&mut self, report: &mut Report) {
        match self.revocations.save() {
            Ok(()) => self.told.unsaved = None,
            Err(error) => self.tell_unsaved(&error, report),
        }
    }

    fn tell_revocations(
        &mut self,
        marked: Vec<(String, Vec<KeyIdText>)>,
        undone: Vec<(String, Vec<KeyIdText>)>,
        revision: u64,
        recorder: &Recorder,
        report: &mut Report,
    ) {
        for (source, ids) in marked.iter().filter(|entry| !self.told.marked.contains(entry)) {
            let key_ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
            recorder.record(&AuditEvent::RevocationsApplied { source, revision, key_ids: &key_ids });
            report.warn(format!(
                "{source} is wrong, but what it marks revoked is in force: {}",
                key_ids.join(", ")
            ));
        }
        for (source, ids) in undone.iter().filter(|entry| !self.told.undone.contains(entry)) {
            let key_ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
            recorder.record(&AuditEvent::RevocationsUndoneRefused { source, revision, key_ids: &key_ids });
            let ids = key_ids.join(", ");
            report.warn(format!(
                "{source} lists revoked keys as good; they stay refused, mark them revoked or make new ones: {ids}"
            ));
        }
        let count: usize = undone.iter().map(|(_, ids)| ids.len()).sum();
        recorder.metrics.set_revocations_undone(count as u64);
        (self.told.marked, self.told.undone) = (marked, undone);
    }

    fn tell_exposures(&mut self, report: &mut Report) {
        let exposures: BTreeSet<String> = self
            .files
            .exposures()
            .filter(|(_, exposure)| *exposure != Exposure::WorldReadable)
            .map(|(path, exposure)| format!("{}: {exposure}", path.display()))
            .collect();
        for exposure in exposures.difference(&self.told.exposures) {
            report.warn(exposure.clone());
        }
        self.told.exposures = exposures;
    }

    fn tell_unsaved(&mut self, error: &StateError, report: &mut Report) {
        let error = error.to_string();
        if self.told.unsaved.as_ref() != Some(&error) {
            report.warn(format!("revocations are in force, but would be forgotten by a restart: {error}"));
            self.told.unsaved = Some(error);
        }
    }
}

fn read_options(config: &Config) -> ReadOptions {
    ReadOptions { strict_permissions: config.strict_permissions, ..ReadOptions::default() }
}

fn texts(by_file: &[(String, Vec<KeyIdText>)]) -> Vec<String> {
    by_file.iter().flat_map(|(_, ids)| ids.iter().map(ToString::to_string)).collect()
}

fn is_covered(wrong: &[WrongSource], by: &[WrongSource]) -> bool {
    wrong.iter().all(|source| by.iter().any(|other| other.path == source.path))
}
