//! Wakes the reloader when something happens to a source. What happened is of no interest: contents are compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use arc_swap::ArcSwap;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};

use crate::store::directory::is_key_file;

/// As many links as one path may lead through.
const LINKS_MAX: usize = 40;

/// Watches folders, never files: a file that is replaced takes its watch with it.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeMap<Identity, PathBuf>,
    names: Arc<ArcSwap<Names>>,
}

/// The names on the way to a source: its own, those of folders and links, and those that links lead to. Whatever else
/// happens in a watched folder, as to a log or a file that is yet to be renamed, changes nothing that is found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Names(BTreeSet<OsString>);

/// Where a change could change what is found.
#[derive(Debug, Default)]
struct Surroundings {
    folders: BTreeSet<PathBuf>,
    names: Names,
}

/// Device, inode and, where it is known, birth: another folder under the same name needs a new watch, one folder under
/// two names must not have two, and inodes are used again.
type Identity = (u64, u64, Option<SystemTime>);

impl Watch {
    /// Calls `wake` after every event that may concern a source. Where the system has no watches left, the poll has to do.
    pub(super) fn new(wake: impl Fn() + Send + 'static) -> Self {
        let names = Arc::new(ArcSwap::from_pointee(Names::default()));
        let known = Arc::clone(&names);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_change(event.kind) && known.load().are_met(&event)) {
                wake();
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "no file watcher; sources are only polled"))
            .ok();
        Self { watcher, folders: BTreeMap::new(), names }
    }

    /// Watches every folder in which a change could change what is found at `paths`: those they stand in, and those of
    /// links on the way. True if a folder or a name is new, so that what happened to it before is not known.
    pub(super) fn follow<'p>(&mut self, paths: impl IntoIterator<Item = &'p Path>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let Surroundings { folders, names } = Surroundings::of(paths);
        let wanted = identified(folders);
        let has_new_names = !names.0.is_subset(&self.names.load().0);
        // Before the watches, so that nothing of theirs is missed.
        self.names.store(Arc::new(names));
        let old = std::mem::take(&mut self.folders);
        for (identity, folder) in &old {
            if wanted.get(identity) != Some(folder) {
                // It may be gone already.
                let _ = watcher.unwatch(folder);
            }
        }
        let mut is_new = has_new_names;
        for (identity, folder) in wanted {
            // Also what is watched already: a watch may have ended unseen.
            if watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                is_new |= old.get(&identity) != Some(&folder);
                self.folders.insert(identity, folder);
            }
        }
        is_new
    }
}

/// Not what reading does, or the reloader would wake itself.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

impl Names {
    /// Whether `event` is of one of these names, or says that others were lost.
    fn are_met(&self, event: &Event) -> bool {
        event.need_rescan()
            || event.paths.is_empty()
            || event.paths.iter().any(|path| path.file_name().is_none_or(|name| self.has(name)))
    }

    /// `*` stands for every key file of a folder.
    fn has(&self, name: &OsStr) -> bool {
        self.0.contains(name) || self.0.contains(OsStr::new("*")) && is_key_file(name)
    }

    fn add(&mut self, path: &Path) {
        self.0.extend(path.components().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
        }));
    }
}

/// The folders as the watcher has to know them: each once, by its own path.
fn identified(folders: BTreeSet<PathBuf>) -> BTreeMap<Identity, PathBuf> {
    let identified = folders.into_iter().filter_map(|folder| {
        let metadata = std::fs::metadata(&folder).ok().filter(std::fs::Metadata::is_dir)?;
        Some(((metadata.dev(), metadata.ino(), metadata.created().ok()), folder))
    });
    identified.collect()
}

impl Surroundings {
    fn of<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        let mut found = Self::default();
        for path in paths {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            found.add(&path, LINKS_MAX);
        }
        found.folders = found.folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        // A folder tells of itself by the name it is watched under.
        for folder in &found.folders {
            found.names.add(folder);
        }
        found
    }

    fn add(&mut self, path: &Path, links_left: usize) {
        self.names.add(path);
        // The folder, and the one above, in which it may be replaced; above that, whatever is left of them.
        let mut above = path.ancestors().skip(1);
        self.folders.extend(above.next().map(Path::to_owned));
        for folder in above {
            self.folders.insert(folder.to_owned());
            if folder.is_dir() {
                break;
            }
        }
        let Some(links_left) = links_left.checked_sub(1) else { return };
        for part in path.ancestors() {
            if let (Ok(target), Some(parent)) = (std::fs::read_link(part), part.parent()) {
                self.folders.insert(parent.to_owned());
                let rest = path.strip_prefix(part).unwrap_or(Path::new(""));
                let target = parent.join(target);
                let led = if rest.as_os_str().is_empty() { target } else { target.join(rest) };
                self.add(&led, links_left);
                // What stands before this link is looked at where it leads.
                return;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::os::unix::fs::symlink;

    use notify::event::{CreateKind, DataChange, Flag, ModifyKind, RenameMode};

    use super::*;

    #[test]
    fn only_what_stands_on_the_way_to_a_source_wakes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("mnt/..2026_1")).unwrap();
        std::fs::create_dir_all(at("keys.d")).unwrap();
        std::fs::create_dir_all(at("real")).unwrap();
        symlink("..2026_1", at("mnt/..data")).unwrap();
        symlink("..data/tls.pem", at("mnt/tls.pem")).unwrap();
        symlink("real/config.yaml", at("keygate.yaml")).unwrap();
        let sources = [at("keygate.yaml"), at("mnt/tls.pem"), at("keys.d/*"), at("gone/deep/ca.pem")];
        let names = Surroundings::of(sources.iter().map(PathBuf::as_path)).names;
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::Both));
        let created = EventKind::Create(CreateKind::Any);
        for (kind, paths, wakes) in [
            (written, &["keygate.yaml"][..], true),
            (written, &["real/config.yaml"], true),
            (renamed, &["mnt/..data_tmp", "mnt/..data"], true),
            (written, &["mnt/..2026_1/tls.pem"], true),
            (renamed, &["keys.d"], true),
            (created, &["keys.d/new.yaml"], true),
            (created, &["gone"], true),
            (created, &["gone/deep"], true),
            (created, &["mnt/..data_tmp"], false),
            (written, &["audit.log"], false),
            (renamed, &["state/usage.json.new", "state/usage.json"], false),
            (created, &["keys.d/.a.yaml.swp"], false),
            (created, &["keys.d/.keygate.lock"], false),
        ] {
            let event = paths.iter().fold(Event::new(kind), |event, path| event.add_path(at(path)));
            assert_eq!(names.are_met(&event), wakes, "{paths:?}");
        }
        let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(names.are_met(&lost), "lost events may be of anything");
    }
}
