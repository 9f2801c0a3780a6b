//! The keys of a database, in force: the one place where what was loaded, what changed since, and the config become
//! what the data path sees. Whoever follows the database and whoever reloads the config take turns here.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::revocations::{Revocations, revoked_in};
use crate::{
    config::Config,
    keys::{
        digest::KeyDigest,
        editor::{Applied, SnapshotEditor, Update},
        problem::Problems,
        record::KeyRecord,
        snapshot::KeySnapshot,
        table::TableFull,
        tally::KeyTally,
    },
    live::{Live, Publication, Published},
    policy::principal::KeyIdText,
    store::{
        contract::{Changes, Head},
        state::{SeenRevocation, StateError, StateFolder},
    },
    telemetry::metrics::Metrics,
};

/// The keys of a database; cheap to clone.
#[derive(Debug, Clone)]
pub struct DatabaseKeys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    live: Live,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    editor: Option<SnapshotEditor>,
    position: Option<Position>,
    revocations: Revocations,
    /// Seen revoked, and yet the database says that they are good.
    undone: Vec<(KeyDigest, Timestamp)>,
    tally: KeyTally,
}

/// How far a database was followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which database.
    pub instance: Uuid,
    /// The revision in force.
    pub revision: u64,
    /// When it was committed; `None` of what was kept on disk.
    pub committed_at: Option<Timestamp>,
}

impl Position {
    /// Where a database stands.
    pub fn of(head: Head) -> Self {
        Self { instance: head.instance, revision: head.revision, committed_at: Some(head.committed_at) }
    }
}

/// What came into force.
#[derive(Debug)]
pub struct InForce {
    /// To be waited for until requests under way are judged by it too.
    pub publication: Publication,
    /// How many streams had been closed before it, for other reasons.
    pub closed_before: u64,
    /// What is wrong with records; it counts for nothing.
    pub problems: Problems,
    /// Keys that the database says are good although they were revoked; they stay refused.
    pub undone: Vec<KeyIdText>,
}

impl DatabaseKeys {
    pub(super) fn new(live: Live, metrics: Metrics, folder: Option<StateFolder>) -> Result<Self, StateError> {
        let state = State {
            editor: None,
            position: None,
            revocations: Revocations::load(folder)?,
            undone: Vec::new(),
            tally: KeyTally::default(),
        };
        Ok(Self(Arc::new(Shared { live, metrics, state: Mutex::new(state) })))
    }

    /// How far the database was followed; `None`: nothing was loaded yet.
    pub fn position(&self) -> Option<Position> {
        self.state().position
    }

    /// Puts `config` in force, with the keys as it sees them.
    pub(super) fn take_config(&self, config: Arc<Config>) -> Publication {
        let mut state = self.state();
        if let Some(editor) = &mut state.editor {
            editor.with_policy(&config.key_policy());
        }
        self.publish(&state, config)
    }

    /// Puts everything in force that was loaded as `config` sees it, as of `head`.
    pub fn take_load(
        &self,
        (mut editor, problems): (SnapshotEditor, Problems),
        config: &Arc<Config>,
        head: Head,
    ) -> InForce {
        let mut state = self.state();
        let current = Arc::clone(&self.0.live.current().config);
        if !Arc::ptr_eq(config, &current) {
            editor.with_policy(&current.key_policy());
        }
        let snapshot = editor.snapshot().clone();
        state.undone = state.revocations.undone_by(&snapshot);
        let saved = state.revocations.remember(revoked_in(&snapshot));
        tell_unsaved(saved);
        state.editor = Some(editor);
        self.in_force(state, Position::of(head), problems)
    }

    /// Puts in force what was kept on disk as `position`.
    pub(super) fn take_image(&self, editor: SnapshotEditor, position: Position) {
        let mut state = self.state();
        state.undone = state.revocations.undone_by(editor.snapshot());
        state.editor = Some(editor);
        self.in_force(state, position, Problems::default());
    }

    /// Puts what changed in force. `None`: nothing was loaded yet.
    ///
    /// # Errors
    /// [`TableFull`]; then what was in force stays.
    pub fn take_changes(&self, changes: &Changes) -> Result<Option<InForce>, TableFull> {
        let mut state = self.state();
        let Some(editor) = state.editor.as_mut() else { return Ok(None) };
        let Applied { problems, .. } = editor.apply(&Update {
            organizations: changes.organizations.as_deref(),
            people: &changes.people,
            keys: &changes.keys,
            dropped: &changes.dropped,
        })?;
        state.follow_undone(&changes.keys);
        let saved = state.revocations.remember(changes.keys.iter().flat_map(revoked));
        tell_unsaved(saved);
        Ok(Some(self.in_force(state, Position::of(changes.head), problems)))
    }

    /// What is in force, to be kept on disk.
    pub fn image(&self) -> Option<(KeySnapshot, Position)> {
        let state = self.state();
        let snapshot = self.0.live.current().keys.clone()?;
        Some((snapshot, state.position?))
    }

    /// How many keys there are in force, those of secrets before a rotation too.
    pub(super) fn count(&self) -> u64 {
        self.state().editor.as_ref().map_or(0, |editor| editor.snapshot().table().len() as u64)
    }

    /// How many keys there are of each status. Cost: a scan of all keys.
    pub(super) fn tally(&self, now: Timestamp) -> KeyTally {
        let keys = self.0.live.current().keys.clone();
        let tally = keys.map_or_else(KeyTally::default, |keys| tally(&keys, now));
        self.state().tally = tally;
        tally
    }

    fn in_force(&self, mut state: MutexGuard<'_, State>, position: Position, problems: Problems) -> InForce {
        state.position = Some(position);
        let config = Arc::clone(&self.0.live.current().config);
        let undone = state.undone_ids();
        self.0.metrics.set_revocations_undone(undone.len() as u64);
        self.0.metrics.set_revision(position.revision, state.tally);
        let closed_before = self.0.live.closed();
        InForce { publication: self.publish(&state, config), closed_before, problems, undone }
    }

    fn publish(&self, state: &State, config: Arc<Config>) -> Publication {
        let keys = state.editor.as_ref().map(|editor| {
            let snapshot = editor.snapshot();
            match snapshot.with_revoked(state.undone.iter().copied()) {
                Ok((overlaid, _)) if !state.undone.is_empty() => overlaid,
                Ok(_) | Err(_) => snapshot.clone(),
            }
        });
        let revision = state.position.map_or(0, |position| position.revision);
        self.0.live.publish(Published { revision, config, keys })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Looks at `keys`, which changed: one may be good again that was seen revoked, another be revoked again.
    fn follow_undone(&mut self, keys: &[KeyRecord]) {
        let Some(editor) = &self.editor else { return };
        let changed: HashSet<KeyDigest> = keys.iter().flat_map(digests).collect();
        self.undone.retain(|(digest, _)| !changed.contains(digest));
        self.undone.extend(self.revocations.undone_among(&changed, editor.snapshot()));
    }

    fn undone_ids(&self) -> Vec<KeyIdText> {
        let Some(editor) = &self.editor else { return Vec::new() };
        let table = editor.snapshot().table();
        self.undone.iter().filter_map(|(digest, _)| Some(table.find(digest)?.details.id())).collect()
    }
}

/// The digests of `key`, if it is revoked.
fn revoked(key: &KeyRecord) -> Vec<(KeyDigest, SeenRevocation)> {
    let Some(revocation) = &key.revoked else { return Vec::new() };
    let seen = SeenRevocation { at: revocation.at, key_id: Some(key.id) };
    digests(key).map(|digest| (digest, seen)).collect()
}

/// Those of its secret and of the one before.
fn digests(key: &KeyRecord) -> impl Iterator<Item = KeyDigest> + use<> {
    let previous = key.previous.as_ref().map(|previous| previous.digest);
    [Some(key.digest), previous].into_iter().flatten()
}

fn tell_unsaved(saved: Result<(), StateError>) {
    if let Err(error) = saved {
        tracing::warn!("revocations are in force, but would be forgotten by a restart: {error}");
    }
}

fn tally(keys: &KeySnapshot, now: Timestamp) -> KeyTally {
    let mut tally = KeyTally::default();
    keys.statuses(now).for_each(|status| tally.count(status));
    tally
}
