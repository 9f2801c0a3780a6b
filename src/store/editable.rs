//! The key files of a deployment as somebody shows or edits them: each with its text, as it stands now.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use super::{
    directory::{is_key_file, key_files},
    file::{FileProblem, KeyFile, WrongFile, parse_key_file},
    key_files::Location,
    read::{ReadError, ReadOptions, Reading, read},
    replace::{FolderLock, ReplaceError, replace},
};
use crate::yaml::Limits;

/// How long somebody waits for others who edit the same files.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);

/// How often a file that is being written is read, and how soon after the last time.
const READINGS_MAX: u32 = 100;
const READ_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// What a new key file begins as.
const EMPTY: &[u8] = b"version: 1\ncount: 0\nkeys: []\n";

/// The key files at a location. Nobody else edits them while this lives, if they were locked.
#[derive(Debug)]
pub struct EditableFiles {
    location: Location,
    files: Vec<EditableFile>,
    locks: Vec<FolderLock>,
}

/// One key file.
#[derive(Debug)]
pub struct EditableFile {
    /// As it was named.
    pub path: Arc<Path>,
    /// The file itself, where `path` is a link.
    target: PathBuf,
    /// What it holds; of a file that does not exist yet, what it will begin as.
    pub text: Vec<u8>,
    /// Whether it exists.
    pub exists: bool,
    /// Its records, or what is wrong with it.
    pub records: Result<KeyFile, WrongFile>,
}

impl EditableFiles {
    /// Reads the files at `location`. Cost: that of parsing each of them.
    ///
    /// # Errors
    /// A folder or file that cannot be read; a missing single file is none: it can be created.
    pub fn read(location: &Location) -> Result<Self, FileProblem> {
        let paths = match location {
            Location::File(path) => vec![Arc::from(path.as_path())],
            Location::Directory(path) if holds_no_key_file(path) => Vec::new(),
            Location::Directory(path) => key_files(&Arc::from(path.as_path()))?,
        };
        let files = paths.into_iter().map(EditableFile::read).collect::<Result<_, _>>()?;
        Ok(Self { location: location.clone(), files, locks: Vec::new() })
    }

    /// As [`EditableFiles::read`], once nobody else edits them.
    ///
    /// # Errors
    /// As there, and where the lock cannot be had.
    pub fn lock(location: &Location) -> Result<Self, FileProblem> {
        let folder = match location {
            Location::File(path) => folder_of(&target_of(path)).to_owned(),
            Location::Directory(path) => path.clone(),
        };
        let lock = take_lock(&folder, location.path())?;
        let mut files = Self::read(location)?;
        files.locks.push(lock);
        Ok(files)
    }

    /// The files, sorted by path.
    pub fn files(&self) -> &[EditableFile] {
        &self.files
    }

    /// The folder, if there may be several files.
    pub fn folder(&self) -> Option<&Path> {
        match &self.location {
            Location::File(_) => None,
            Location::Directory(path) => Some(path),
        }
    }

    /// The position of the file `path`, which is added if it is not there.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn file_at(&mut self, path: &Path) -> Result<usize, FileProblem> {
        if let Some(at) = self.files.iter().position(|file| &*file.path == path) {
            return Ok(at);
        }
        self.files.push(EditableFile::read(path.into())?);
        Ok(self.files.len() - 1)
    }

    /// Replaces the text of the file at position `at`.
    ///
    /// # Errors
    /// As [`ReplaceError`] says; then the file is as it was.
    pub fn replace(&mut self, at: usize, text: &[u8]) -> Result<(), ReplaceError> {
        let Some(file) = self.files.get(at) else { return Ok(()) };
        let before = file.exists.then_some(&file.text[..]);
        if let (Some(folder), parent) = (self.folder(), folder_of(&file.target))
            && folder.canonicalize().ok().as_deref() != Some(parent)
        {
            // A link out of the folder: others may know the file by its own folder.
            let lock = take_lock(parent, &file.path)
                .map_err(|problem| ReplaceError::Failed(io::Error::other(problem.message)))?;
            let done = replace(&file.target, before, text);
            drop(lock);
            return done;
        }
        replace(&file.target, before, text)
    }
}

impl EditableFile {
    fn read(path: Arc<Path>) -> Result<Self, FileProblem> {
        let target = target_of(&path);
        let options = ReadOptions { judge_permissions: false, ..ReadOptions::default() };
        let (text, exists) = match read_settled(&path, &options) {
            Ok(reading) => (reading.bytes, true),
            Err(ReadError::Refused(_)) if is_missing(&path) => (EMPTY.to_vec(), false),
            Err(ReadError::Refused(problem)) => return Err(problem),
            Err(ReadError::Unsettled) => {
                return Err(FileProblem::of_file(&path, "somebody is writing this file", "try again"));
            }
        };
        let records = parse_key_file(&path, &text, &Limits::default());
        Ok(Self { path, target, text, exists, records })
    }
}

/// Reads a file once nobody writes it: those who look hold no lock, and others may replace it between two readings.
fn read_settled(path: &Arc<Path>, options: &ReadOptions) -> Result<Reading, ReadError> {
    for _ in 1..READINGS_MAX {
        match read(path, options) {
            Err(ReadError::Unsettled) => thread::sleep(READ_AGAIN_AFTER),
            read => return read,
        }
    }
    read(path, options)
}

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn holds_no_key_file(folder: &Path) -> bool {
    folder.read_dir().is_ok_and(|entries| !entries.flatten().any(|entry| is_key_file(&entry.file_name())))
}

/// What `path` leads to, through links; of a file that does not exist yet, where it would be.
fn target_of(path: &Path) -> PathBuf {
    if let Ok(target) = path.canonicalize() {
        return target;
    }
    match (folder_of(path).canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        (Ok(_) | Err(_), _) => path.to_owned(),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn take_lock(folder: &Path, path: &Path) -> Result<FolderLock, FileProblem> {
    FolderLock::take(folder, LOCK_PATIENCE).map_err(|error| {
        let path = Arc::from(path);
        match error.kind() {
            io::ErrorKind::NotFound => {
                FileProblem::of_file(&path, "its folder does not exist", "create it, or correct the path")
            }
            io::ErrorKind::WouldBlock => {
                let message = "another process holds the lock of its folder";
                FileProblem::of_file(&path, message, "see what it does, and try again")
            }
            _ => {
                let message = format!("its folder cannot be locked: {error}");
                FileProblem::of_file(&path, message, "keep key files where flock(2) works")
            }
        }
    })
}
