//! Replaces a file as a whole: written beside, synced, renamed, read again. Whatever goes wrong before the rename
//! leaves the old file as it was.

use std::{
    fmt,
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Component, Path},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, Gid, Uid, XattrFlags, fchown, fgetxattr, flistxattr, flock, fsetxattr},
    io::Errno,
};

use super::read::is_mount_point;

/// How often a lock that somebody else holds is tried.
const LOCK_TRIED_EVERY: Duration = Duration::from_millis(5);

/// The exclusive right to replace files of a folder, as long as it lives. Only those who ask for it heed it.
#[derive(Debug)]
pub struct FolderLock {
    _folder: File,
}

impl FolderLock {
    /// Takes the lock of `folder`, waiting for others no longer than `patience`. The lock lies on the folder itself, so
    /// that nothing is left behind.
    ///
    /// # Errors
    /// `WouldBlock` where another process holds it for too long; else what the system says.
    pub fn take(folder: &Path, patience: Duration) -> io::Result<Self> {
        let file = File::open(folder)?;
        let start = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _folder: file }),
                Err(Errno::WOULDBLOCK | Errno::INTR) if start.elapsed() < patience => {
                    thread::sleep(LOCK_TRIED_EVERY);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Why a file was not replaced; it is as it was.
#[derive(Debug)]
pub enum ReplaceError {
    /// It cannot be replaced where it is, whoever tries again: why.
    Unreplaceable(String),
    /// Somebody else changed it meanwhile.
    Changed,
    /// It failed this time, as on a full disk.
    Failed(io::Error),
    /// It was replaced, but what is there now is not what was written.
    Unproven,
}

impl fmt::Display for ReplaceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreplaceable(why) => formatter.write_str(why),
            Self::Changed => formatter.write_str("somebody else changed the file meanwhile; try again"),
            Self::Failed(error) if error.kind() == io::ErrorKind::StorageFull => formatter
                .write_str("the disk is full, so the file was left as it is; make room and try again"),
            Self::Failed(error) => write!(formatter, "the file was left as it is: {error}"),
            Self::Unproven => formatter
                .write_str("the file was replaced, but reads differently now: somebody else writes it too"),
        }
    }
}

impl std::error::Error for ReplaceError {}

/// Puts `after` in the place of the regular file `path` (no link), whose content is `before`; `None`: of no file.
/// Owner, mode and extended attributes stay; a new file has mode 0600. On disk when this returns.
///
/// # Errors
/// As [`ReplaceError`] says.
pub fn replace(path: &Path, before: Option<&[u8]>, after: &[u8]) -> Result<(), ReplaceError> {
    if let Some(why) = unreplaceable(path) {
        return Err(ReplaceError::Unreplaceable(why));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = write_beside(path, folder, before.is_some(), after).map_err(classified)?;
    if before != current(path).map_err(classified)?.as_deref() {
        return Err(ReplaceError::Changed);
    }
    let renamed = if before.is_some() { written.persist(path) } else { written.persist_noclobber(path) };
    match renamed {
        Ok(_) => {}
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(ReplaceError::Changed);
        }
        Err(error) => return Err(classified(error.error)),
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(ReplaceError::Failed)?;
    match fs::read(path) {
        Ok(now) if now == after => Ok(()),
        Ok(_) | Err(_) => Err(ReplaceError::Unproven),
    }
}

/// Why `path` cannot be replaced although the system might let us.
fn unreplaceable(path: &Path) -> Option<String> {
    // A kubelet keeps what it mounts in folders named `..<date>`, and undoes what others write there.
    let is_of_kubelet = |part: Component<'_>| {
        part.as_os_str().as_encoded_bytes().strip_prefix(b"..").is_some_and(|rest| !rest.is_empty())
    };
    if path.components().any(is_of_kubelet) {
        return Some(
            "it is mounted from a Kubernetes ConfigMap or Secret, which has to be changed instead".to_owned(),
        );
    }
    is_mount_point(path)
        .then(|| "it is a mount point by itself, over which no file can be renamed".to_owned())
}

/// A file beside `path` that holds `content` and has its owner, mode and attributes; on disk.
fn write_beside(
    path: &Path,
    folder: &Path,
    exists: bool,
    content: &[u8],
) -> io::Result<tempfile::NamedTempFile> {
    // Hidden, so that no one takes it for a key file.
    let mut file = tempfile::Builder::new().prefix(".").suffix(".new").tempfile_in(folder)?;
    file.write_all(content)?;
    if exists {
        keep_attributes(path, file.as_file())?;
    }
    file.as_file().sync_all()?;
    Ok(file)
}

fn keep_attributes(path: &Path, to: &File) -> io::Result<()> {
    let from = File::open(path)?;
    let (old, new) = (from.metadata()?, to.metadata()?);
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        fchown(to, Some(Uid::from_raw(old.uid())), Some(Gid::from_raw(old.gid())))?;
    }
    to.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    keep_extended_attributes(&from, to)
}

/// Access control lists and labels; those that the system keeps to itself are its own affair.
fn keep_extended_attributes(from: &File, to: &File) -> io::Result<()> {
    let mut names = vec![0; 64 << 10];
    let length = match flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut value = vec![0; 64 << 10];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let length = fgetxattr(from, name, &mut value[..])?;
        match fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            Err(error) if name.starts_with(b"system.") => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The content of `path`; `None` if there is no such file.
fn current(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn classified(error: io::Error) -> ReplaceError {
    let user = rustix::process::geteuid().as_raw();
    let why = match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => "it is mounted read-only".to_owned(),
        io::ErrorKind::PermissionDenied => {
            format!("the user id {user} of this process may not replace it, or not give it to its owner")
        }
        io::ErrorKind::ResourceBusy => {
            "it is a mount point by itself, over which no file can be renamed".to_owned()
        }
        io::ErrorKind::CrossesDevices => "it is mounted by itself".to_owned(),
        _ => return ReplaceError::Failed(error),
    };
    ReplaceError::Unreplaceable(why)
}
