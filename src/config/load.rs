//! Reads a configuration: bytes, then YAML, then `${…}`, then values, then meaning; every problem in one run.

use std::{
    cell::RefCell,
    fmt, fs,
    io::{self, Read},
    num::NonZeroUsize,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    model::Config,
    problem::{Findings, Problem},
    raw::{File, salvage::salvage, text::quoted},
    resolve,
};
use crate::yaml::{self, Interpolation, Limits, Place};

/// How much a configuration may hold: far more than anyone writes, far less than hurts.
pub const LIMITS: Limits = Limits { bytes: 4 << 20, depth: 16, nodes: 200_000 };

/// The most bytes of a file that `${file:…}` names.
const INCLUDED_MAX: u64 = 64 << 10;

/// What a configuration asks of the process it is read in.
#[derive(Clone, Copy)]
pub struct Surroundings<'s> {
    /// The value of an environment variable.
    pub variable: &'s dyn Fn(&str) -> Option<String>,
    /// The bytes of a file, no more than so many (else an error of the kind `FileTooLarge`).
    pub read: &'s dyn Fn(&Path, u64) -> io::Result<Vec<u8>>,
    /// How far a file that holds a secret is open to others, at the most; `None`: not at all, or it cannot be told.
    pub exposure: &'s dyn Fn(&Path) -> Option<Exposure>,
    /// The name this process goes by in `Via`: `keygate-` and something that is its own.
    pub via: &'s str,
    /// How many cores the process may use.
    pub cores: NonZeroUsize,
}

impl<'s> Surroundings<'s> {
    /// Those of this process, whose name in `Via` is `via`.
    pub fn of_process(via: &'s str) -> Self {
        Self {
            variable: &|name| std::env::var(name).ok(),
            read: &read_file,
            exposure: &exposure,
            via,
            cores: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Surroundings").field("via", &self.via).finish_non_exhaustive()
    }
}

/// How far a file that holds a secret is open to others, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exposure {
    /// Everybody on this machine may read it.
    Readable,
    /// Its group may write it.
    GroupWritable,
    /// Somebody who is neither root nor the user of this process owns it, or everybody may write it.
    Replaceable,
}

/// What became of a configuration.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration, or everything that is wrong, in the order of the file; at least one problem.
    pub result: Result<Config, Vec<Problem>>,
    /// What is permitted and probably not meant, in the order of the file.
    pub warnings: Vec<Problem>,
    /// Whether it says that keys are in files, even if it is wrong elsewhere.
    pub names_key_files: bool,
    /// The files that were read for it, there or not (`${file:…}`, authorities of upstreams): a change of one changes the
    /// configuration.
    pub included: Vec<PathBuf>,
}

/// Reads the configuration in the file `path`. Neither key files nor certificates are looked at: they are sources of
/// their own.
pub fn load(path: &Path, surroundings: &Surroundings<'_>) -> Loaded {
    match (surroundings.read)(path, LIMITS.bytes as u64) {
        Ok(text) => parse(path, &text, surroundings),
        Err(error) => {
            let (message, remedy) = unreadable(&error);
            let mut findings = Findings::new(path);
            findings.wrong(Place::default(), message, remedy);
            finish(None, findings, false, Vec::new())
        }
    }
}

/// As [`load`], where the bytes of the file are `text`. Relative paths start at the folder of `path`.
///
/// Cost: linear in the text, but for pairs of routes, upstreams and scopes.
pub fn parse(path: &Path, text: &[u8], surroundings: &Surroundings<'_>) -> Loaded {
    let base = path.parent().unwrap_or(Path::new(""));
    let mut findings = Findings::new(path);
    let workers = environment_workers(surroundings, &mut findings);
    let folder = Folder { base, surroundings: *surroundings, workers, included: RefCell::default() };
    let Some(read) = read(text, &folder, &mut findings) else {
        return finish(None, findings, false, folder.included.into_inner());
    };
    let mut meaning = Findings::new(path);
    let config = resolve::resolve(&read.file, &folder, &mut meaning);
    match read.untrue {
        None => findings.extend(meaning),
        Some(untrue) => findings.extend_from_salvage(meaning, &untrue),
    }
    let names_key_files = read.file.keys.file.is_some() || read.file.keys.directory.is_some();
    finish(config, findings, names_key_files, folder.included.into_inner())
}

/// The folder of a configuration, and what was read from it.
#[derive(Debug)]
pub(super) struct Folder<'s> {
    base: &'s Path,
    pub(super) surroundings: Surroundings<'s>,
    /// What `KEYGATE_WORKERS` says.
    pub(super) workers: Option<NonZeroUsize>,
    included: RefCell<Vec<PathBuf>>,
}

impl Folder<'_> {
    /// `path` as seen from here.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// The bytes of the file `path`, at most `most`; a change of it changes the configuration.
    pub(super) fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let path = self.path(path);
        let bytes = (self.surroundings.read)(&path, most);
        let mut included = self.included.borrow_mut();
        if !included.contains(&path) {
            included.push(path);
        }
        bytes
    }
}

/// A file as it is written.
struct ReadFile {
    file: File,
    /// `None` if everything was read; else these are only the sound parts, and at these places is `${…}` instead of what
    /// it stands for.
    untrue: Option<Vec<Place>>,
}

/// Reads the file; `None` if it is not even YAML.
fn read(text: &[u8], folder: &Folder<'_>, findings: &mut Findings<'_>) -> Option<ReadFile> {
    let mut document = yaml::parse(text, &LIMITS).map_err(|problems| findings.adopt(problems)).ok()?;
    let unresolved = document.interpolate(&|asked| interpolated(asked, folder)).err().unwrap_or_default();
    let untrue: Vec<Place> = unresolved.iter().map(|problem| problem.place).collect();
    findings.adopt(unresolved);
    match yaml::decode::<File>(&document) {
        Ok(file) => Some(ReadFile { file, untrue: Some(untrue).filter(|untrue| !untrue.is_empty()) }),
        Err(mut problems) => {
            problems.retain(|problem| !untrue.contains(&problem.place));
            findings.adopt(problems);
            Some(ReadFile { file: salvage(document.root()), untrue: Some(untrue) })
        }
    }
}

/// What stands for a `${…}`.
fn interpolated(asked: Interpolation<'_>, folder: &Folder<'_>) -> Result<Option<String>, String> {
    match asked {
        Interpolation::Variable(name) => Ok((folder.surroundings.variable)(name)),
        Interpolation::File(path) => match folder.read(Path::new(path), INCLUDED_MAX) {
            Ok(bytes) => included_text(bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&error).0),
        },
    }
}

/// The text of an included file without the line break that editors leave at its end.
fn included_text(bytes: Vec<u8>) -> Result<String, String> {
    let mut text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn finish(
    config: Option<Config>,
    findings: Findings<'_>,
    names_key_files: bool,
    included: Vec<PathBuf>,
) -> Loaded {
    let (problems, warnings) = findings.into_parts();
    let result = match config {
        Some(config) if problems.is_empty() => Ok(config),
        Some(_) | None => Err(problems),
    };
    Loaded { result, warnings, names_key_files, included }
}

/// The most worker threads.
pub(super) const WORKERS_MAX: usize = 1024;

/// What `KEYGATE_WORKERS` says.
fn environment_workers(surroundings: &Surroundings<'_>, findings: &mut Findings<'_>) -> Option<NonZeroUsize> {
    let text = (surroundings.variable)("KEYGATE_WORKERS")?;
    let workers = text.parse().ok().filter(|workers: &NonZeroUsize| workers.get() <= WORKERS_MAX);
    if workers.is_none() {
        findings.wrong(
            Place::default(),
            format!("the environment variable KEYGATE_WORKERS is {}", quoted(&text)),
            format!("set it to a number from 1 to {WORKERS_MAX}, or unset it"),
        );
    }
    workers
}

/// What an operator is told of a file that cannot be read.
pub(super) fn unreadable(error: &io::Error) -> (String, String) {
    match error.kind() {
        io::ErrorKind::NotFound => ("the file is not there".into(), "create it, or correct the path".into()),
        io::ErrorKind::PermissionDenied => {
            ("the file may not be read".into(), "let the user that keygate runs as read it".into())
        }
        io::ErrorKind::IsADirectory => ("this is a directory".into(), "give the path of a file".into()),
        io::ErrorKind::FileTooLarge => ("the file is too large".into(), "keep it below 4 MiB".into()),
        _ => (format!("the file cannot be read: {error}"), "make it readable".into()),
    }
}

/// The bytes of the file `path`, at most `most` of them. Only regular files and what stands for one: a pipe or device
/// may never end.
///
/// # Errors
/// What the system says; `FileTooLarge`; `InvalidInput` for what is no file.
fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// How far the file `path` is open to others; links are followed.
fn exposure(path: &Path) -> Option<Exposure> {
    let metadata = fs::metadata(path).ok()?;
    let own = rustix::process::geteuid().as_raw();
    let (owner, mode) = (metadata.uid(), metadata.mode());
    if (owner != 0 && owner != own) || mode & 0o002 != 0 {
        Some(Exposure::Replaceable)
    } else if mode & 0o020 != 0 {
        Some(Exposure::GroupWritable)
    } else {
        (mode & 0o004 != 0).then_some(Exposure::Readable)
    }
}
