//! Wakes the reloader when something happens near a source. What happened is of no interest: contents are compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};

/// As many links as one path may lead through.
const LINKS_MAX: usize = 40;

/// Watches folders, never files: a file that is replaced takes its watch with it.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeMap<Identity, PathBuf>,
}

/// Device, inode and, where it is known, birth: another folder under the same name needs a new watch, one folder under
/// two names must not have two, and inodes are used again.
type Identity = (u64, u64, Option<SystemTime>);

impl Watch {
    /// Calls `wake` after every event. Where the system has no watches left, the poll has to do.
    pub(super) fn new(wake: impl Fn() + Send + 'static) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| is_change(event.kind)) {
                wake();
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "no file watcher; sources are only polled"))
            .ok();
        Self { watcher, folders: BTreeMap::new() }
    }

    /// Watches every folder in which a change could change what is found at `paths`: those they stand in, and those of
    /// links on the way. True if a folder is new, so that what happened in it before is not known.
    pub(super) fn follow<'p>(&mut self, paths: impl IntoIterator<Item = &'p Path>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let wanted = folders_of(paths);
        let old = std::mem::take(&mut self.folders);
        for (identity, folder) in &old {
            if wanted.get(identity) != Some(folder) {
                // It may be gone already.
                let _ = watcher.unwatch(folder);
            }
        }
        let mut is_new = false;
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

fn folders_of<'p>(paths: impl IntoIterator<Item = &'p Path>) -> BTreeMap<Identity, PathBuf> {
    let mut folders = BTreeSet::new();
    for path in paths {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        add_folders(&path, &mut folders, LINKS_MAX);
    }
    let identified = folders.into_iter().filter_map(|folder| {
        let folder = folder.canonicalize().ok()?;
        let metadata = std::fs::metadata(&folder).ok().filter(std::fs::Metadata::is_dir)?;
        Some(((metadata.dev(), metadata.ino(), metadata.created().ok()), folder))
    });
    identified.collect()
}

fn add_folders(path: &Path, folders: &mut BTreeSet<PathBuf>, links_left: usize) {
    // The folder, and the one above, in which it may be replaced; above that, whatever is left of them.
    let mut above = path.ancestors().skip(1);
    folders.extend(above.next().map(Path::to_owned));
    for folder in above {
        folders.insert(folder.to_owned());
        if folder.is_dir() {
            break;
        }
    }
    let Some(links_left) = links_left.checked_sub(1) else { return };
    for part in path.ancestors() {
        if let (Ok(target), Some(parent)) = (std::fs::read_link(part), part.parent()) {
            folders.insert(parent.to_owned());
            let rest = path.strip_prefix(part).unwrap_or(Path::new(""));
            let target = parent.join(target);
            let led = if rest.as_os_str().is_empty() { target } else { target.join(rest) };
            add_folders(&led, folders, links_left);
            // What stands before this link is looked at where it leads.
            return;
        }
    }
}
