//! The key files of a deployment: looks at them, keeps of each the last good content, and makes of all one snapshot.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    directory::key_files,
    file::{FileProblem, KeyFile, MarkedRevocation, Parsed, WrongFile, parse_counted},
    merge::{Choices, Merged, merge, revocations_of},
    read::{Exposure, Fingerprint, ReadError, ReadOptions, Reading, Stamp, is_mount_point, read},
};
use crate::{
    keys::{build::KeyPolicy, snapshot::KeySnapshot},
    yaml::Limits,
};

/// How long a content has to stand still before it is taken, unless it shows by itself that it is whole.
pub const SETTLING: Duration = Duration::from_millis(200);

/// From here on the clock of the file system tells two writes apart, so that an equal stamp is an equal content.
const STAMP_TRUSTED_AFTER: Duration = Duration::from_secs(2);

/// Where the key files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// One file. While it is missing or empty, its last good content stays.
    File(PathBuf),
    /// Every `*.yaml` of a folder. A removed file removes its keys; an empty or missing folder is an error.
    Directory(PathBuf),
}

impl Location {
    /// The path of the file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Directory(path) => path,
        }
    }
}

/// The time on both clocks, as the caller read them.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For what stands still.
    pub monotonic: Instant,
    /// To compare with the times of files.
    pub wall: Timestamp,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether anything differs from the last look, so that [`KeyFiles::resolve`] has news.
    pub changed: bool,
    /// When to look again because something is being written.
    pub again_in: Option<Duration>,
}

/// A source whose newest content is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongSource {
    /// The file, or the folder as such.
    pub path: Arc<Path>,
    /// Everything that is wrong; at least one.
    pub problems: Vec<FileProblem>,
}

/// A revocation that a wrong file marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRevocation {
    /// The file.
    pub path: Arc<Path>,
    /// What it marks.
    pub revocation: MarkedRevocation,
}

/// What the key files say, as far as they are right.
#[derive(Debug)]
pub struct Resolution {
    /// The keys; `None` until a file was right for the first time.
    pub snapshot: Option<KeySnapshot>,
    /// The files whose records are in the snapshot, sorted by path.
    pub files: Vec<Arc<KeyFile>>,
    /// The sources whose newest content is not in force.
    pub wrong: Vec<WrongSource>,
    /// Revoked entries of the wrong files, to be put on top of the snapshot.
    pub revocations: Vec<SourceRevocation>,
    chosen: Vec<(Arc<Path>, Option<Arc<KeyFile>>)>,
}

/// The key files of a deployment.
#[derive(Debug)]
pub struct KeyFiles {
    location: Location,
    options: ReadOptions,
    folder_problem: Option<FileProblem>,
    tracked: Vec<Tracked>,
}

impl KeyFiles {
    /// The key files at `location`; nothing is read yet.
    pub fn new(location: Location, options: ReadOptions) -> Self {
        let tracked = match &location {
            Location::File(path) => vec![Tracked::new(Arc::from(path.as_path()))],
            Location::Directory(_) => Vec::new(),
        };
        Self { location, options, folder_problem: None, tracked }
    }

    /// Where they are.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// From now on reads with `options`.
    pub fn set_options(&mut self, options: ReadOptions) {
        if self.options != options {
            self.options = options;
            for file in &mut self.tracked {
                file.quiet = None;
            }
        }
    }

    /// Reads what changed; never waits. A content is taken once it stood still for [`SETTLING`], or at once where
    /// `count:` shows that it is whole.
    pub fn look(&mut self, now: Moment) -> Look {
        self.look_with(now, SETTLING)
    }

    /// Reads everything as it stands: for commands that run once.
    pub fn look_once(&mut self, now: Moment) {
        self.look_with(now, Duration::ZERO);
    }

    fn look_with(&mut self, now: Moment, settling: Duration) -> Look {
        let mut look = Look { changed: self.look_at_folder(), again_in: None };
        for file in &mut self.tracked {
            match file.observe(&self.options, now, settling) {
                Observation::Same => {}
                Observation::Changed => look.changed = true,
                Observation::Settling(wait) => {
                    look.again_in = Some(look.again_in.map_or(wait, |other| other.min(wait)));
                }
            }
        }
        look
    }

    /// Whether the problem of the folder changed; its new files are tracked from here on.
    fn look_at_folder(&mut self) -> bool {
        let Location::Directory(path) = &self.location else { return false };
        let problem = match key_files(&Arc::from(path.as_path())) {
            Ok(paths) => {
                for file in &mut self.tracked {
                    file.listed = paths.binary_search(&file.path).is_ok();
                }
                for path in paths {
                    if let Err(at) = self.tracked.binary_search_by(|file| file.path.cmp(&path)) {
                        self.tracked.insert(at, Tracked::new(path));
                    }
                }
                None
            }
            Err(problem) => {
                // An empty or vanished folder takes nothing away.
                for file in &mut self.tracked {
                    file.listed = false;
                    file.frozen = true;
                }
                Some(problem)
            }
        };
        if problem.is_none() {
            for file in &mut self.tracked {
                file.frozen = false;
            }
        }
        let changed = problem != self.folder_problem;
        self.folder_problem = problem;
        changed
    }

    /// The snapshot of the newest contents that are right, by themselves and together, under `policy`.
    ///
    /// # Errors
    /// All problems, if not even the contents in force are right under `policy`.
    pub fn resolve(&self, policy: &KeyPolicy<'_>) -> Result<Resolution, Vec<FileProblem>> {
        let choices: Vec<_> = self.tracked.iter().map(Tracked::choices).collect();
        let Merged { snapshot, chosen, problems } = merge(&choices, policy)?;
        let mut wrong: Vec<_> = self.folder_problem.iter().map(wrong_folder).collect();
        let mut revocations = Vec::new();
        for (file, merge_problems) in self.tracked.iter().zip(problems) {
            let (problems, marked) = file.wrongs(merge_problems);
            let source = |revocation| SourceRevocation { path: Arc::clone(&file.path), revocation };
            revocations.extend(marked.into_iter().map(source));
            if !problems.is_empty() {
                wrong.push(WrongSource { path: Arc::clone(&file.path), problems });
            }
        }
        let paths = self.tracked.iter().map(|file| Arc::clone(&file.path));
        let files = chosen.iter().flatten().cloned().collect();
        Ok(Resolution { snapshot, files, wrong, revocations, chosen: paths.zip(chosen).collect() })
    }

    /// Makes what `resolution` chose the last good content of each file: it is in force now.
    pub fn accept(&mut self, resolution: &Resolution) {
        for (path, chosen) in &resolution.chosen {
            if let Ok(at) = self.tracked.binary_search_by(|file| file.path.cmp(path)) {
                self.tracked[at].in_force.clone_from(chosen);
            }
        }
        self.tracked.retain(|file| !(matches!(file.latest, Latest::Gone) && file.in_force.is_none()));
    }

    /// What should not stay as it is, by file.
    pub fn exposures(&self) -> impl Iterator<Item = (&Arc<Path>, Exposure)> {
        self.tracked.iter().flat_map(|file| file.exposures.iter().map(|exposure| (&file.path, *exposure)))
    }

    /// The files that are looked at.
    pub fn paths(&self) -> impl Iterator<Item = &Arc<Path>> {
        self.tracked.iter().map(|file| &file.path)
    }
}

fn wrong_folder(problem: &FileProblem) -> WrongSource {
    WrongSource { path: Arc::clone(&problem.path), problems: vec![problem.clone()] }
}

/// One file.
#[derive(Debug)]
struct Tracked {
    path: Arc<Path>,
    /// Whether its folder lists it; a single file always is.
    listed: bool,
    /// Whether its folder cannot be read, so that nothing is known of it.
    frozen: bool,
    /// What [`Tracked::latest`] was made from.
    taken: Option<Content>,
    /// What was seen since.
    pending: Option<Pending>,
    latest: Latest,
    in_force: Option<Arc<KeyFile>>,
    exposures: Vec<Exposure>,
    quiet: Option<Quiet>,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Bytes(Fingerprint),
    Refused(FileProblem),
    Gone,
}

/// A content that is not taken yet.
#[derive(Debug)]
struct Pending {
    content: Content,
    since: Instant,
    /// What it says, if it is bytes.
    parsed: Option<Result<Parsed, WrongFile>>,
}

impl Pending {
    fn is_cut_proof(&self) -> bool {
        matches!(&self.parsed, Some(Ok(parsed)) if parsed.is_cut_proof)
    }
}

/// The newest content that was taken.
#[derive(Debug)]
enum Latest {
    Unread,
    Good(Arc<KeyFile>),
    Wrong(WrongFile),
    Gone,
}

enum Observation {
    Same,
    Changed,
    Settling(Duration),
}

/// A content that was read, so that it need not be read again while its stamp is the same.
#[derive(Debug)]
struct Quiet {
    stamp: Stamp,
    since: Instant,
    /// Whether it was read again after [`STAMP_TRUSTED_AFTER`].
    is_trusted: bool,
}

impl Tracked {
    fn new(path: Arc<Path>) -> Self {
        Self {
            path,
            listed: true,
            frozen: false,
            taken: None,
            pending: None,
            latest: Latest::Unread,
            in_force: None,
            exposures: Vec::new(),
            quiet: None,
        }
    }

    fn observe(&mut self, options: &ReadOptions, now: Moment, settling: Duration) -> Observation {
        if self.frozen {
            return Observation::Same;
        }
        if !self.listed {
            return self.settle(Content::Gone, None, now, settling);
        }
        if let Some(quiet) = &self.quiet
            && quiet.is_trusted
            && Stamp::at(&self.path) == Some(quiet.stamp)
        {
            return Observation::Same;
        }
        match read(&self.path, options) {
            Ok(reading) => {
                self.note_stamp(reading.stamp, now);
                self.settle(Content::Bytes(reading.fingerprint), Some(&reading), now, settling)
            }
            Err(ReadError::Refused(problem)) => self.settle(Content::Refused(problem), None, now, settling),
            Err(ReadError::Unsettled) => {
                self.pending = None;
                Observation::Settling(SETTLING)
            }
        }
    }

    fn note_stamp(&mut self, stamp: Stamp, now: Moment) {
        match &mut self.quiet {
            Some(quiet) if quiet.stamp == stamp => {
                let stood = now.monotonic.saturating_duration_since(quiet.since);
                quiet.is_trusted = self.pending.is_none() && stood >= STAMP_TRUSTED_AFTER;
            }
            _ => self.quiet = Some(Quiet { stamp, since: now.monotonic, is_trusted: false }),
        }
    }

    /// Takes `content` if it is new and stood still.
    fn settle(
        &mut self,
        content: Content,
        reading: Option<&Reading>,
        now: Moment,
        settling: Duration,
    ) -> Observation {
        if self.taken.as_ref() == Some(&content) {
            self.pending = None;
            return self.note_exposures(reading);
        }
        // Parsed at first sight: a large file is ready once it stood still, and a count may show that it is whole.
        let pending =
            self.pending.take().filter(|pending| pending.content == content).unwrap_or_else(|| Pending {
                parsed: reading.map(|reading| self.parse(&reading.bytes)),
                since: now.monotonic,
                content,
            });
        let stood = now.monotonic.saturating_duration_since(pending.since);
        if stood >= settling || self.settled_before(reading, now) || pending.is_cut_proof() {
            return self.take(pending, reading);
        }
        self.pending = Some(pending);
        self.quiet = None;
        Observation::Settling(settling.saturating_sub(stood))
    }

    /// Whether a content that is seen for the first time in this process stood still before: a start need not wait.
    fn settled_before(&self, reading: Option<&Reading>, now: Moment) -> bool {
        matches!(self.latest, Latest::Unread)
            && reading.is_none_or(|reading| {
                let still_ms = now.wall.as_millisecond().saturating_sub(reading.stamp.modified_ms());
                still_ms >= i64::try_from(SETTLING.as_millis()).unwrap_or(i64::MAX)
            })
    }

    fn parse(&self, text: &[u8]) -> Result<Parsed, WrongFile> {
        parse_counted(&self.path, text, &Limits::default())
    }

    fn take(&mut self, pending: Pending, reading: Option<&Reading>) -> Observation {
        let Pending { content, parsed, .. } = pending;
        self.latest = match (&content, parsed) {
            (_, Some(Ok(parsed))) => Latest::Good(Arc::new(parsed.file)),
            (_, Some(Err(wrong))) => Latest::Wrong(wrong),
            (Content::Refused(problem), None) => Latest::Wrong(WrongFile::of(problem.clone())),
            (Content::Gone | Content::Bytes(_), None) => Latest::Gone,
        };
        self.taken = Some(content);
        self.note_exposures(reading);
        Observation::Changed
    }

    fn note_exposures(&mut self, reading: Option<&Reading>) -> Observation {
        let mut exposures = reading.map(|reading| reading.exposures.clone()).unwrap_or_default();
        if reading.is_some() && is_mount_point(&self.path) {
            exposures.push(Exposure::MountPoint);
        }
        let changed = exposures != self.exposures;
        self.exposures = exposures;
        if changed { Observation::Changed } else { Observation::Same }
    }

    fn choices(&self) -> Choices {
        let last_good = self.in_force.clone();
        match &self.latest {
            Latest::Good(newest) if last_good.as_ref().is_some_and(|last| Arc::ptr_eq(last, newest)) => {
                vec![last_good]
            }
            Latest::Good(newest) => vec![Some(Arc::clone(newest)), last_good],
            Latest::Unread | Latest::Wrong(_) => vec![last_good],
            Latest::Gone => match last_good.and_then(|last| last.without_keys()) {
                Some(rest) => vec![None, Some(Arc::new(rest))],
                None => vec![None],
            },
        }
    }

    /// What is wrong with the newest content, and what it marks revoked nonetheless.
    fn wrongs(&self, merge_problems: Vec<FileProblem>) -> (Vec<FileProblem>, Vec<MarkedRevocation>) {
        match &self.latest {
            Latest::Wrong(wrong) => (wrong.problems.clone(), wrong.revocations.clone()),
            Latest::Good(newest) if !merge_problems.is_empty() => (merge_problems, revocations_of(newest)),
            Latest::Good(_) => (Vec::new(), Vec::new()),
            Latest::Unread => {
                let remedy = "it is read once it stands still";
                let problem = FileProblem::of_file(&self.path, "somebody is writing this file", remedy);
                (vec![problem], Vec::new())
            }
            Latest::Gone if merge_problems.is_empty() => (Vec::new(), Vec::new()),
            Latest::Gone => {
                let message = "this file was removed, but other files name its people or organizations: its keys are \
                               gone, its people stay";
                let remedy = "put it back without its keys, or remove what names them";
                let mut problems = vec![FileProblem::of_file(&self.path, message, remedy)];
                problems.extend(merge_problems);
                (problems, Vec::new())
            }
        }
    }
}

#[cfg(test)]
mod tests;
