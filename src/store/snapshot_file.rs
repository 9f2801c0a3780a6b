//! The snapshot on disk, with which a gateway starts while its database is down: a file in the `state:` folder that is
//! named after the database, mode 0600, replaced as a whole. What it holds is `keys::image`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rustix::fs::OFlags;

use super::{
    read::{ReadError, ReadOptions, read_once},
    state::{StateError, StateFolder},
};
use crate::keys::{
    build::KeyPolicy,
    digest::KeyDigest,
    image::{self, HEAD_BYTES, Image, ImageError, ImageOf, STAMP_OFFSET},
    snapshot::KeySnapshot,
};

const NEW_PREFIX: &str = ".snapshot-";
const NEW_SUFFIX: &str = ".new";

/// Some thirty million keys.
const BYTES_MAX: u64 = 4 << 30;

/// What a process that was killed left half written is taken away after this time.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);

const READ_ANEW: &str = "remove it: a new one is written once the database can be reached";

/// The file, whether it is there or not.
#[derive(Debug, Clone)]
pub struct SnapshotFile {
    folder: StateFolder,
    name: String,
    path: PathBuf,
}

impl SnapshotFile {
    /// That of `folder` for the database which operators call `database`: what was kept of another is no help.
    pub fn of(folder: StateFolder, database: &str) -> Self {
        let digest = KeyDigest::of(database.as_bytes()).to_text();
        let name = format!("snapshot-{}", digest.trim_start_matches("sha256:").get(..8).unwrap_or_default());
        let path = folder.path().join(&name);
        Self { folder, name, path }
    }

    /// Reads it under the config's `policy`; `None` if it is not there. Cost: about a microsecond a key.
    ///
    /// # Errors
    /// Where it is no snapshot of this version, cut short or changed, too large, or one that others can write or that
    /// neither root nor this process's user owns.
    pub fn read(&self, policy: &KeyPolicy<'_>) -> Result<Option<Image>, StateError> {
        if fs::symlink_metadata(&self.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let options = ReadOptions {
            bytes_max: usize::try_from(BYTES_MAX).unwrap_or(usize::MAX - 1),
            strict_permissions: true,
            judge_permissions: true,
        };
        let reading = read_once(&Arc::from(self.path.as_path()), &options).map_err(|error| match error {
            ReadError::Refused(problem) => self.refused(problem.message),
            ReadError::Unsettled => self.refused("it changes while it is read".to_owned()),
        })?;
        let image = image::read(&reading.bytes, policy);
        image.map(Some).map_err(|error: ImageError| self.refused(error.to_string()))
    }

    fn refused(&self, message: String) -> StateError {
        StateError { path: self.path.clone(), message, remedy: READ_ANEW }
    }

    /// Replaces it by `snapshot`, which is `of` that revision, whose database was last heard of at `heard_at`. Whole or
    /// not at all, on disk when this returns. Cost: about 120 bytes a key.
    ///
    /// # Errors
    /// Where it cannot be written, as on a full disk; then the old one stays.
    pub fn write(&self, of: ImageOf, heard_at: Timestamp, snapshot: &KeySnapshot) -> Result<(), StateError> {
        self.remove_abandoned();
        self.replace(|file| image::write(of, heard_at, snapshot, file))
            .map_err(|error| self.folder.error(&self.name, &error))
    }

    /// Writes beside, syncs, renames, syncs the folder.
    fn replace(&self, content: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        let mut file = builder.prefix(NEW_PREFIX).suffix(NEW_SUFFIX).tempfile_in(self.folder.path())?;
        content(file.as_file_mut())?;
        file.flush()?;
        file.as_file().sync_data()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        File::open(self.folder.path())?.sync_all()
    }

    /// Says that at `heard_at` the database still stood at the revision the file is `of`, without writing the file
    /// anew. Cost: one small write; a crash of the machine may lose it. Gives whether the file is of that: where it is
    /// not, or not there, it stays as it is.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn stamp(&self, of: ImageOf, heard_at: Timestamp) -> Result<bool, StateError> {
        match self.stamp_file(of, heard_at) {
            Ok(done) => Ok(done),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.folder.error(&self.name, &error)),
        }
    }

    fn stamp_file(&self, of: ImageOf, heard_at: Timestamp) -> io::Result<bool> {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags.bits().cast_signed())
            .open(&self.path)?;
        let mut head = [0; HEAD_BYTES];
        match file.read_exact_at(&mut head, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        let is_same = image::is_head_of(&head, of);
        if is_same {
            file.write_all_at(&image::stamp(heard_at), STAMP_OFFSET)?;
        }
        Ok(is_same)
    }

    fn remove_abandoned(&self) {
        let Ok(entries) = fs::read_dir(self.folder.path()) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_new =
                name.to_str().is_some_and(|name| name.starts_with(NEW_PREFIX) && name.ends_with(NEW_SUFFIX));
            let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
            if is_new && age().is_some_and(|age| age >= ABANDONED_AFTER) {
                // It is in nobody's way: another attempt comes with the next snapshot.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::Permissions,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _},
        path::Path,
    };

    use uuid::Uuid;

    use super::*;
    use crate::{
        keys::{build::SnapshotBuilder, caps::RoleCaps, secret::Brand},
        policy::{plan::Plans, scope::Scopes},
    };

    const OF: ImageOf = ImageOf { instance: Uuid::from_u128(7), revision: 812 };

    /// Of `sqlite:test.db`.
    const NAME: &str = "snapshot-a0ebfb0b";

    fn with_policy<T>(then: impl FnOnce(&KeyPolicy<'_>) -> T) -> T {
        let scopes = Scopes::default();
        let caps = RoleCaps::new(|_| scopes.all());
        then(&KeyPolicy {
            scopes: &scopes,
            role_caps: &caps,
            brand: &Brand::default(),
            plans: &Plans::default(),
        })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn file_in(folder: &Path) -> SnapshotFile {
        SnapshotFile::of(StateFolder::open(folder).unwrap(), "sqlite:test.db")
    }

    fn write(file: &SnapshotFile, revision: u64) {
        let editor = with_policy(|policy| SnapshotBuilder::new(policy, 0).finish()).unwrap().0;
        file.write(ImageOf { revision, ..OF }, at(1), editor.snapshot()).unwrap();
    }

    /// Revision and time of what is there, or why it cannot be read.
    fn told(file: &SnapshotFile) -> String {
        match with_policy(|policy| file.read(policy)) {
            Ok(None) => "nothing".to_owned(),
            Ok(Some(image)) => {
                format!("{} at {:?}", image.of.revision, image.heard_at.map(Timestamp::as_second))
            }
            Err(error) => error.message,
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "lock")
            .collect();
        names.sort();
        names
    }

    #[test]
    fn it_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = file_in(folder.path());
        assert_eq!(told(&file), "nothing");
        for revision in [812, 813] {
            write(&file, revision);
            assert_eq!(told(&file), format!("{revision} at Some(1)"));
        }
        assert_eq!(fs::metadata(folder.path().join(NAME)).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(names(folder.path()), [NAME]);
    }

    #[test]
    fn a_full_disk_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = file_in(folder.path());
        write(&file, 812);
        let full = file.replace(|file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(told(&file), "812 at Some(1)");
        assert_eq!(names(folder.path()), [NAME]);
    }

    #[test]
    fn what_others_could_have_written_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, path) = (file_in(folder.path()), folder.path().join(NAME));
        write(&file, 812);
        let bytes = fs::read(&path).unwrap();
        for (mode, expected) in
            [(0o640, "812 at Some(1)"), (0o660, "its group may write it"), (0o602, "everybody may write it")]
        {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(told(&file), expected);
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(told(&file), "it is damaged: its checksum does not match its content");
        fs::write(&path, "keys: []").unwrap();
        assert_eq!(told(&file), "this is no snapshot of keys");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(told(&file), "this is a directory");
    }

    #[test]
    fn only_what_is_of_that_revision_is_stamped() {
        let folder = tempfile::tempdir().unwrap();
        let file = file_in(folder.path());
        assert!(!file.stamp(OF, at(5)).unwrap());
        write(&file, 812);
        let other = ImageOf { instance: Uuid::from_u128(8), ..OF };
        for (of, is_stamped, expected) in [
            (ImageOf { revision: 813, ..OF }, false, "812 at Some(1)"),
            (other, false, "812 at Some(1)"),
            (OF, true, "812 at Some(5)"),
        ] {
            assert_eq!(file.stamp(of, at(5)).unwrap(), is_stamped);
            assert_eq!(told(&file), expected);
        }
        fs::write(folder.path().join(NAME), "short").unwrap();
        assert!(!file.stamp(OF, at(6)).unwrap());
    }

    #[test]
    fn what_a_killed_process_left_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let file = file_in(folder.path());
        let long_ago = std::time::SystemTime::now() - 2 * ABANDONED_AFTER;
        for (name, is_old) in [(".snapshot-a.new", true), (".snapshot-b.new", false), (".other.new", true)] {
            let left = File::create(folder.path().join(name)).unwrap();
            if is_old {
                left.set_modified(long_ago).unwrap();
            }
        }
        write(&file, 812);
        assert_eq!(names(folder.path()), [".other.new", ".snapshot-b.new", NAME]);
    }
}
