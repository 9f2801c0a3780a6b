//! Bytes of files, read safely: regular files only, of bounded size, that nobody else may write, and whole: read
//! twice with the same content.

use std::{
    fmt,
    fs::{File, Metadata, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
};

use rustix::fs::{AtFlags, CWD, OFlags, StatxAttributes, StatxFlags};
use sha2::{Digest as _, Sha256};

use super::file::FileProblem;

/// How files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOptions {
    /// The largest file that is read; default 64 MiB.
    pub bytes_max: usize,
    /// Whether a group-writable file is refused instead of warned about; default no.
    pub strict_permissions: bool,
    /// Whether the owner and mode of a file are judged: by whoever obeys its content, not by whoever shows or edits it;
    /// default yes.
    pub judge_permissions: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { bytes_max: 64 << 20, strict_permissions: false, judge_permissions: true }
    }
}

/// What is read, but should not stay as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exposure {
    /// Its group may write it.
    GroupWritable,
    /// Everybody may read it; told by `check`.
    WorldReadable,
    /// It is a mount point: what is renamed over it on the host never arrives here.
    MountPoint,
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GroupWritable => "its group may write it; chmod g-w, or set `strict_permissions` to refuse such files",
            Self::WorldReadable => "everybody on this machine may read it; chmod o-r",
            Self::MountPoint => {
                "the file itself is a mount point, so a file that is renamed over it outside never arrives here; mount \
                 its folder instead"
            }
        })
    }
}

/// A content, told by its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// What the file system says of a file; equal while nothing was written, unless twice within a tick of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The stamp of the file at `path`; `None` if it cannot be asked for.
    pub(super) fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }

    /// When it was last written, in Unix milliseconds.
    pub(super) fn modified_ms(&self) -> i64 {
        self.modified.0.saturating_mul(1000).saturating_add(self.modified.1 / 1_000_000)
    }
}

/// The whole content of a file.
#[derive(Debug)]
pub struct Reading {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What tells them from another content.
    pub fingerprint: Fingerprint,
    /// What should not stay as it is.
    pub exposures: Vec<Exposure>,
    pub(super) stamp: Stamp,
}

/// Why there is no content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// Somebody is writing it now.
    Unsettled,
    /// It cannot or must not be read.
    Refused(FileProblem),
}

/// Reads the file at `path`, following links; never blocks on a pipe or device.
///
/// # Errors
/// [`ReadError::Unsettled`] if two readings differ; else why it is refused: missing, no regular file, too large, or
/// one that others can write or that neither root nor this process's user owns.
pub fn read(path: &Arc<Path>, options: &ReadOptions) -> Result<Reading, ReadError> {
    let reading = read_once(path, options)?;
    if is_still(path, &reading.bytes) { Ok(reading) } else { Err(ReadError::Unsettled) }
}

/// Whether the file holds `bytes` and no more, opened anew.
fn is_still(path: &Path, bytes: &[u8]) -> bool {
    let compare = || -> io::Result<bool> {
        let mut file = open(path)?;
        let mut chunk = vec![0; 64 << 10];
        let mut rest = bytes;
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(rest.is_empty()),
                length => match rest.strip_prefix(&chunk[..length]) {
                    Some(after) => rest = after,
                    None => return Ok(false),
                },
            }
        }
    };
    compare().unwrap_or(false)
}

/// Opens for reading. Without `O_NONBLOCK`, opening a pipe would wait for its writer.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// As [`read`], for a file that is only ever replaced as a whole: read once.
pub(super) fn read_once(path: &Arc<Path>, options: &ReadOptions) -> Result<Reading, ReadError> {
    let refused =
        |message: String, remedy: &str| ReadError::Refused(FileProblem::of_file(path, message, remedy));
    let io_refused = |error: &io::Error| {
        let (message, remedy) = describe(path, error);
        refused(message, remedy)
    };
    let mut file = open(path).map_err(|error| io_refused(&error))?;
    let metadata = file.metadata().map_err(|error| io_refused(&error))?;
    if let Some((kind, remedy)) = irregular(&metadata) {
        return Err(refused(format!("this is {kind}"), remedy));
    }
    let exposures =
        judge_permissions(&metadata, options).map_err(|(message, remedy)| refused(message, remedy))?;
    let too_large = || {
        let limit = options.bytes_max;
        refused(format!("the file has more than {limit} bytes"), "split it, and use `directory:`")
    };
    if metadata.len() > options.bytes_max as u64 {
        return Err(too_large());
    }
    let bytes =
        read_up_to(&mut file, options.bytes_max, metadata.len()).map_err(|error| io_refused(&error))?;
    let bytes = bytes.ok_or_else(too_large)?;
    Ok(Reading { fingerprint: Fingerprint::of(&bytes), bytes, exposures, stamp: Stamp::of(&metadata) })
}

/// All bytes, or `None` if there are more than `most`.
fn read_up_to(file: &mut File, most: usize, expected: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0) + 1);
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= most).then_some(bytes))
}

fn irregular(metadata: &Metadata) -> Option<(&'static str, &'static str)> {
    let kind = metadata.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some(("a directory", "name a file; a folder of key files is named by `directory:`"))
    } else if kind.is_fifo() {
        Some(("a named pipe", "name a regular file"))
    } else if kind.is_socket() {
        Some(("a socket", "name a regular file"))
    } else {
        Some(("a device", "name a regular file"))
    }
}

fn describe(path: &Path, error: &io::Error) -> (String, &'static str) {
    match error.kind() {
        io::ErrorKind::NotFound if path.is_symlink() => (
            "the link leads to a file that does not exist".to_owned(),
            "create the file, or correct the link",
        ),
        io::ErrorKind::NotFound => ("the file does not exist".to_owned(), "create it, or correct the path"),
        io::ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            (format!("the user id {user} of this process may not read it"), "correct its owner or mode")
        }
        io::ErrorKind::NotADirectory => ("a part of the path is no folder".to_owned(), "correct the path"),
        // ENXIO: what opening a socket gives.
        _ if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            ("this is a socket, or a device that is not there".to_owned(), "name a regular file")
        }
        _ => (format!("it cannot be read: {error}"), "mend the file or the path"),
    }
}

/// What is exposed about a file with this owner and mode.
///
/// # Errors
/// Message and remedy where others could put their keys into it.
fn judge_permissions(
    metadata: &Metadata,
    options: &ReadOptions,
) -> Result<Vec<Exposure>, (String, &'static str)> {
    if !options.judge_permissions {
        return Ok(Vec::new());
    }
    let own = rustix::process::geteuid().as_raw();
    let (owner, mode) = (metadata.uid(), metadata.mode());
    if owner != 0 && owner != own {
        let message =
            format!("the user id {owner} owns it, which is neither root nor this process's ({own})");
        return Err((message, "chown it: whoever owns it can write keys into it"));
    }
    if mode & 0o002 != 0 {
        return Err(("everybody may write it".to_owned(), "chmod o-w"));
    }
    if mode & 0o020 != 0 && options.strict_permissions {
        return Err(("its group may write it".to_owned(), "chmod g-w, or unset `strict_permissions`"));
    }
    let exposures = [(0o020, Exposure::GroupWritable), (0o004, Exposure::WorldReadable)];
    Ok(exposures.into_iter().filter(|(bit, _)| mode & bit != 0).map(|(_, exposure)| exposure).collect())
}

/// Whether the file that `path` leads to is mounted by itself; false where the system cannot say.
pub fn is_mount_point(path: &Path) -> bool {
    rustix::fs::statx(CWD, path, AtFlags::NO_AUTOMOUNT, StatxFlags::TYPE).is_ok_and(|file| {
        file.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
            && file.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
    })
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::{fs::PermissionsExt as _, net::UnixListener},
    };

    use super::*;

    const OPTIONS: ReadOptions =
        ReadOptions { bytes_max: 10, strict_permissions: false, judge_permissions: true };

    fn told(path: &Path, options: &ReadOptions) -> String {
        match read(&Arc::from(path), options) {
            Ok(reading) => format!("{:?}", reading.exposures),
            Err(ReadError::Unsettled) => "unsettled".to_owned(),
            Err(ReadError::Refused(problem)) => problem.message,
        }
    }

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("large"), "12345678901").unwrap();
        fs::write(at("full"), "1234567890").unwrap();
        fs::set_permissions(at("full"), Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
        std::os::unix::fs::symlink("circle", at("circle")).unwrap();
        std::os::unix::fs::symlink("full", at("good-link")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        rustix::fs::mknodat(CWD, at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        for (path, expected) in [
            (at("full"), "[]"),
            (at("good-link"), "[]"),
            (at("large"), "the file has more than 10 bytes"),
            (at("missing"), "the file does not exist"),
            (at("link"), "the link leads to a file that does not exist"),
            (at("full/x"), "a part of the path is no folder"),
            (at("pipe"), "this is a named pipe"),
            (at("socket"), "this is a socket, or a device that is not there"),
            (folder.path().to_owned(), "this is a directory"),
            ("/dev/zero".into(), "this is a device"),
        ] {
            assert_eq!(told(&path, &OPTIONS), expected, "{}", path.display());
        }
        assert!(told(&at("circle"), &OPTIONS).starts_with("it cannot be read: "));
    }

    #[test]
    fn files_that_others_can_write_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let strict = ReadOptions { strict_permissions: true, ..OPTIONS };
        for (mode, expected, strictly) in [
            (0o600, "[]", "[]"),
            (0o644, "[WorldReadable]", "[WorldReadable]"),
            (0o660, "[GroupWritable]", "its group may write it"),
            (0o602, "everybody may write it", "everybody may write it"),
        ] {
            fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(told(file.path(), &OPTIONS), expected, "{mode:o}");
            assert_eq!(told(file.path(), &strict), strictly, "{mode:o}");
        }
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // Only root can give a file away.
        if std::os::unix::fs::chown(file.path(), Some(54321), None).is_ok() {
            let expected = "the user id 54321 owns it, which is neither root nor this process's";
            assert!(told(file.path(), &OPTIONS).starts_with(expected));
        }
    }
}
