//! The `state:` folder: what the gateway itself must not forget. Revocations that it saw, one line of JSON each, and
//! the uses of keys. Files have mode 0600 and are only ever appended to or replaced as a whole.

use std::{
    collections::HashMap,
    fmt,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::keys::{digest::KeyDigest, record::KeyId};

const REVOCATIONS: &str = "revocations-seen.jsonl";
const USAGE: &str = "usage.json";
const LOCK: &str = "lock";

/// A file of the folder that cannot be used.
#[derive(Debug)]
pub struct StateError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub remedy: &'static str,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path.display(), self.message, self.remedy)
    }
}

impl std::error::Error for StateError {}

/// A revocation that was in force once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenRevocation {
    /// Since when.
    pub at: Timestamp,
    /// The key, if it is known.
    pub key_id: Option<KeyId>,
}

/// Every digest that was ever seen revoked.
pub type SeenRevocations = HashMap<KeyDigest, SeenRevocation>;

/// The folder. Several processes may use one: what they append is not lost.
#[derive(Debug, Clone)]
pub struct StateFolder {
    path: PathBuf,
}

impl StateFolder {
    /// The folder at `path`, which is created with mode 0700 if it is missing.
    ///
    /// # Errors
    /// Where it cannot be created or written.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let folder = Self { path: path.to_owned() };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .and_then(|()| folder.lock().map(drop))
            .map_err(|error| folder.error("", &error))?;
        Ok(folder)
    }

    /// The folder at `path` for those who only read it: nothing is created there, above all no file that root would own
    /// and the gateway could not open.
    pub fn to_read(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The revocations that were seen. Half a line at the end, left by a crash before it was acknowledged, is dropped.
    ///
    /// # Errors
    /// Where the file cannot be read or any other line is not one of ours: then none is forgotten in silence.
    pub fn load_revocations(&self) -> Result<SeenRevocations, StateError> {
        let _lock = self.lock().map_err(|error| self.error(LOCK, &error))?;
        let lines = self.read_lines()?;
        if lines.is_torn || lines.count > lines.seen.len() {
            self.compact(&lines.seen)?;
        }
        Ok(lines.seen)
    }

    /// As [`StateFolder::load_revocations`], for those who only read: nothing is created, mended or waited for. A line that is being
    /// appended is not seen yet.
    ///
    /// # Errors
    /// As there.
    pub fn read_revocations(&self) -> Result<SeenRevocations, StateError> {
        Ok(self.read_lines()?.seen)
    }

    /// Where revocations are.
    pub fn revocations_path(&self) -> PathBuf {
        self.path.join(REVOCATIONS)
    }

    fn read_lines(&self) -> Result<Lines, StateError> {
        match std::fs::read(self.revocations_path()) {
            Ok(text) => self.parse_revocations(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Lines::default()),
            Err(error) => Err(self.error(REVOCATIONS, &error)),
        }
    }

    fn compact(&self, seen: &SeenRevocations) -> Result<(), StateError> {
        let text: String = seen.iter().map(|(digest, seen)| line(digest, seen)).collect();
        self.replace(REVOCATIONS, text.as_bytes()).map_err(|error| self.error(REVOCATIONS, &error))
    }

    fn parse_revocations(&self, text: &[u8]) -> Result<Lines, StateError> {
        let mut lines = Lines::default();
        for (number, bytes) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
            match parse_line(bytes) {
                Some((digest, seen)) => {
                    lines.seen.entry(digest).or_insert(seen);
                    lines.count += 1;
                    lines.is_torn |= !bytes.ends_with(b"\n");
                }
                None if !bytes.ends_with(b"\n") => lines.is_torn = true,
                None => return Err(self.corrupt(number)),
            }
        }
        Ok(lines)
    }

    fn corrupt(&self, line: usize) -> StateError {
        StateError {
            path: self.path.join(REVOCATIONS),
            message: format!("line {line} is no revocation"),
            remedy: "restore the file from a backup, or remove that line and see that the key files mark every revoked \
                     key",
        }
    }

    /// Appends revocations; on disk when this returns. Cost: one write and one sync for all of them.
    ///
    /// # Errors
    /// Where they cannot be written, as on a full disk: then none of them is.
    pub fn append_revocations<'r>(
        &self,
        revocations: impl IntoIterator<Item = (&'r KeyDigest, &'r SeenRevocation)>,
    ) -> Result<(), StateError> {
        let lines: String = revocations.into_iter().map(|(digest, seen)| line(digest, seen)).collect();
        if lines.is_empty() || self.append(&lines).map_err(|error| self.error(REVOCATIONS, &error))? {
            return Ok(());
        }
        // Half a line of a process that crashed: it goes before others follow it.
        self.load_revocations()?;
        self.append(&lines).map(drop).map_err(|error| self.error(REVOCATIONS, &error))
    }

    /// Whether the lines were appended: not to a file that ends within a line.
    fn append(&self, lines: &str) -> io::Result<bool> {
        let _lock = self.lock()?;
        let path = self.revocations_path();
        let is_new = !path.exists();
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
        let length = file.metadata()?.len();
        if length > 0 && !ends_with_newline(&file, length)? {
            return Ok(false);
        }
        if let Err(error) = file.write_all(lines.as_bytes()) {
            file.set_len(length)?;
            return Err(error);
        }
        file.sync_data()?;
        if is_new {
            self.sync_folder()?;
        }
        Ok(true)
    }

    /// The uses of keys, if they were written before.
    ///
    /// # Errors
    /// Where the file cannot be read or is not one of ours.
    pub fn read_usage<T: DeserializeOwned>(&self) -> Result<Option<T>, StateError> {
        let text = match std::fs::read(self.path.join(USAGE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error(USAGE, &error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| StateError {
            path: self.path.join(USAGE),
            message: format!("it does not hold uses of keys: {error}"),
            remedy: "restore it from a backup, or move it away: then uses are counted from now on",
        })
    }

    /// Replaces the uses of keys; whole or not at all, on disk when this returns.
    ///
    /// # Errors
    /// Where they cannot be written; then the old ones stay.
    pub fn write_usage<T: Serialize>(&self, usage: &T) -> Result<(), StateError> {
        let write = || self.replace(USAGE, &serde_json::to_vec(usage)?);
        write().map_err(|error| self.error(USAGE, &error))
    }

    /// Writes beside, syncs, renames, syncs the folder.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".").suffix(".new").tempfile_in(&self.path)?;
        file.write_all(content)?;
        file.as_file().sync_data()?;
        file.persist(self.path.join(name)).map_err(|error| error.error)?;
        self.sync_folder()
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Other processes wait until the file is dropped; it is held only while lines are appended or compacted.
    fn lock(&self) -> io::Result<File> {
        let options = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).clone();
        let file = options.open(self.path.join(LOCK))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    pub(super) fn error(&self, name: &str, error: &io::Error) -> StateError {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "run this as the user of the gateway, who may read and write the folder, or name another one in `state:`"
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on the disk",
            _ => "mend the folder, or name another one in `state:`",
        };
        StateError { path: self.path.join(name), message: error.to_string(), remedy }
    }
}

#[derive(Debug, Default)]
struct Lines {
    seen: SeenRevocations,
    count: usize,
    is_torn: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    digest: String,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
}

fn line(digest: &KeyDigest, seen: &SeenRevocation) -> String {
    let key_id = seen.key_id.map(|id| id.as_str().to_owned());
    let line = Line { digest: digest.to_text(), at: seen.at, key_id };
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
}

fn parse_line(bytes: &[u8]) -> Option<(KeyDigest, SeenRevocation)> {
    let line: Line = serde_json::from_slice(bytes).ok()?;
    let key_id = line.key_id.map(|id| KeyId::parse(&id)).transpose().ok()?;
    Some((KeyDigest::parse(&line.digest).ok()?, SeenRevocation { at: line.at, key_id }))
}

fn ends_with_newline(file: &File, length: u64) -> io::Result<bool> {
    use std::os::unix::fs::FileExt as _;
    let mut last = [0];
    file.read_exact_at(&mut last, length - 1)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn seen(second: i64, id: &str) -> SeenRevocation {
        SeenRevocation {
            at: Timestamp::from_second(second).unwrap(),
            key_id: Some(KeyId::parse(id).unwrap()),
        }
    }

    fn folder() -> (tempfile::TempDir, StateFolder) {
        let parent = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(&parent.path().join("a/state")).unwrap();
        (parent, folder)
    }

    #[test]
    fn revocations_are_kept_and_only_the_owner_reads_them() {
        let (_parent, folder) = folder();
        assert!(folder.load_revocations().unwrap().is_empty());
        let (a, b) = (KeyDigest::of(b"a"), KeyDigest::of(b"b"));
        folder.append_revocations([(&a, &seen(1, "one"))]).unwrap();
        folder.append_revocations([(&b, &SeenRevocation { key_id: None, ..seen(2, "x") })]).unwrap();
        let loaded = folder.load_revocations().unwrap();
        assert_eq!((loaded.len(), loaded[&a], loaded[&b].key_id), (2, seen(1, "one"), None));
        let mode =
            |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(""), mode(REVOCATIONS), mode(LOCK)), (0o700, 0o600, 0o600));
    }

    #[test]
    fn half_a_line_at_the_end_is_dropped_and_the_rest_is_kept_wherever_it_is_cut() {
        let (_parent, folder) = folder();
        let digests = [KeyDigest::of(b"a"), KeyDigest::of(b"b")];
        folder
            .append_revocations(
                digests
                    .iter()
                    .map(|digest| (digest, &SeenRevocation { at: Timestamp::UNIX_EPOCH, key_id: None })),
            )
            .unwrap();
        let path = folder.path().join(REVOCATIONS);
        let whole = std::fs::read(&path).unwrap();
        let first_end = whole.iter().position(|byte| *byte == b'\n').unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            // A line counts once it is whole, with or without its line break.
            let expected = usize::from(cut >= first_end) + usize::from(cut >= whole.len() - 1);
            let c = KeyDigest::of(b"c");
            if cut % 2 == 0 {
                assert_eq!(folder.load_revocations().unwrap().len(), expected, "cut at {cut}");
            }
            folder.append_revocations([(&c, &seen(3, "c"))]).unwrap();
            let loaded = folder.load_revocations().unwrap();
            assert_eq!((loaded.len(), loaded[&c]), (expected + 1, seen(3, "c")), "cut at {cut}");
        }
    }

    #[test]
    fn a_corrupt_line_is_an_error_with_its_number_and_remedy() {
        let (_parent, folder) = folder();
        folder.append_revocations([(&KeyDigest::of(b"a"), &seen(1, "a"))]).unwrap();
        let path = folder.path().join(REVOCATIONS);
        let whole = std::fs::read_to_string(&path).unwrap();
        for corrupt in
            ["nonsense\n", "\n", "{}\n", "{\"digest\":\"sha256:00\",\"at\":\"1970-01-01T00:00:00Z\"}\n"]
        {
            std::fs::write(&path, format!("{whole}{corrupt}{whole}")).unwrap();
            let error = folder.load_revocations().unwrap_err().to_string();
            assert!(error.contains("revocations-seen.jsonl: line 2 is no revocation; restore"), "{error}");
        }
    }

    #[test]
    fn uses_are_replaced_as_a_whole() {
        let (_parent, folder) = folder();
        assert_eq!(folder.read_usage::<Vec<u32>>().unwrap(), None);
        folder.write_usage(&vec![1, 2]).unwrap();
        folder.write_usage(&vec![3]).unwrap();
        assert_eq!(folder.read_usage::<Vec<u32>>().unwrap(), Some(vec![3]));
        std::fs::write(folder.path().join(USAGE), "[1,").unwrap();
        let error = folder.read_usage::<Vec<u32>>().unwrap_err().to_string();
        assert!(error.contains("usage.json: it does not hold uses of keys"), "{error}");
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "nothing is left beside: {names:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = StateFolder::open(&file.path().join("state")).unwrap_err().to_string();
        assert!(error.contains("state") && error.contains("; "), "{error}");
    }
}
