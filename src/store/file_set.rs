//! Files that make up one source together, like a certificate and its key: told apart by content alone.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    key_files::{Look, SETTLING},
    read::{Fingerprint, open},
};

/// The largest file whose content is compared; one that is larger is as one that cannot be read.
const BYTES_MAX: u64 = 64 << 20;

/// Some files, and what was in them when they were taken last.
#[derive(Debug, Default)]
pub struct FileSet {
    paths: Vec<PathBuf>,
    taken: Option<Contents>,
    pending: Option<(Contents, Instant)>,
}

/// Of each file its content; `None` for one that cannot be read.
type Contents = Vec<Option<Fingerprint>>;

impl FileSet {
    /// The files at `paths`, none of them looked at yet.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, ..Self::default() }
    }

    /// The files.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Whether a content differs from the one that was taken and stood still for [`SETTLING`]; then it is taken.
    pub fn look(&mut self, now: Instant) -> Look {
        let contents = self.contents();
        if self.taken.as_ref() == Some(&contents) {
            self.pending = None;
            return Look { changed: false, again_in: None };
        }
        let since = match &self.pending {
            Some((pending, since)) if *pending == contents => *since,
            _ => now,
        };
        let stood = now.saturating_duration_since(since);
        if stood >= SETTLING {
            (self.taken, self.pending) = (Some(contents), None);
            return Look { changed: true, again_in: None };
        }
        self.pending = Some((contents, since));
        Look { changed: false, again_in: Some(SETTLING.saturating_sub(stood)) }
    }

    /// Takes the contents as they are now.
    pub fn take(&mut self) {
        (self.taken, self.pending) = (Some(self.contents()), None);
    }

    /// Follows `paths` from now on. Those that are new count as taken with the content they have.
    pub fn follow(&mut self, paths: Vec<PathBuf>) {
        let known = |path: &PathBuf| self.paths.iter().position(|known| known == path);
        let taken = paths.iter().map(|path| match (known(path), &self.taken) {
            (Some(at), Some(taken)) => taken[at],
            (None, _) | (_, None) => fingerprint(path),
        });
        self.taken = Some(taken.collect());
        self.paths = paths;
    }

    fn contents(&self) -> Contents {
        self.paths.iter().map(|path| fingerprint(path)).collect()
    }
}

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let file = open(path).ok()?;
    let metadata =
        file.metadata().ok().filter(|metadata| metadata.is_file() && metadata.len() <= BYTES_MAX)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).ok()? + 1);
    file.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(Fingerprint::of(&bytes))
}
