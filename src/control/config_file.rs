//! The config as a source: its file and everything that was read for it.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use crate::{
    config::{
        Config, Loaded, Surroundings, load,
        model::{ListenerConfig, Serves},
    },
    store::{file_set::FileSet, key_files::Look},
};

/// `keygate.yaml` and the files that it names by `${file:…}`.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    via: String,
    files: FileSet,
}

impl ConfigFile {
    /// The config at `path`, of a process that goes by `via` in `Via`; nothing is read yet.
    pub fn new(path: PathBuf, via: String) -> Self {
        Self { files: FileSet::new(vec![path.clone()]), path, via }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it as it is now. What is written while it is read is found by the next look.
    pub fn load(&mut self) -> Loaded {
        self.files.take();
        self.read()
    }

    /// Every file that was read for it.
    pub(super) fn paths(&self) -> &[PathBuf] {
        self.files.paths()
    }

    /// Whether it changed, so that it has to be read again.
    pub(super) fn look(&mut self, now: Instant) -> Look {
        self.files.look(now)
    }

    /// Reads it after a look found a change.
    pub(super) fn read(&mut self) -> Loaded {
        let loaded = load(&self.path, &Surroundings::of_process(&self.via));
        let mut paths = vec![self.path.clone()];
        paths.extend(loaded.included.iter().cloned());
        self.files.follow(paths);
        loaded
    }
}

/// Puts back into `next` what only a restart can change from what is in force, and names it.
pub(super) fn keep_what_needs_a_restart(next: &mut Config, in_force: &Config) -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut keep = |name, differs: bool| {
        if differs {
            names.push(name);
        }
        differs
    };
    let listeners = |config: &Config, doors: bool| -> Vec<ListenerConfig> {
        let wanted = config.listeners.iter().filter(|one| (one.serves != Serves::Gateway) == doors);
        wanted.map(|listener| ListenerConfig::clone(listener)).collect()
    };
    let differs = |next: &Config, doors| listeners(next, doors) != listeners(in_force, doors);
    let listen = keep("listen", differs(next, false));
    let doors = keep("doors", differs(next, true));
    if listen || doors {
        next.listeners.clone_from(&in_force.listeners);
    }
    if keep("health", next.health != in_force.health) {
        next.health = in_force.health;
    }
    if keep("admin", next.admin != in_force.admin) {
        next.admin.clone_from(&in_force.admin);
    }
    if keep("revocation_by_possession", next.possession != in_force.possession) {
        next.possession.clone_from(&in_force.possession);
    }
    if keep("workers", next.workers != in_force.workers) {
        next.workers = in_force.workers;
    }
    if keep("keys", next.keys != in_force.keys) {
        next.keys.clone_from(&in_force.keys);
    }
    if keep("state", next.state != in_force.state) {
        next.state.clone_from(&in_force.state);
    }
    if keep("access_log", next.access_log != in_force.access_log) {
        next.access_log.clone_from(&in_force.access_log);
    }
    names
}
