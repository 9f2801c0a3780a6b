//! The files of a folder, whole and in order.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A file, or what could not be read and why.
pub(super) type Visited = Result<PathBuf, (PathBuf, io::Error)>;

/// Gives `visit` every regular file below `path`, by name, and what could not be read, until it says false. A path
/// that is no folder is given as it is: it may be a pipe. Links below it are not followed, so that none leads around
/// in circles.
pub(super) fn files(path: &Path, mut visit: impl FnMut(Visited) -> bool) {
    if !path.is_dir() {
        visit(Ok(path.to_owned()));
        return;
    }
    let mut waiting = vec![path.join("")];
    while let Some(path) = waiting.pop() {
        let goes_on = match fs::symlink_metadata(&path) {
            Ok(file) if file.is_file() => visit(Ok(path)),
            Ok(file) if file.is_dir() => match below(&path) {
                Ok(entries) => {
                    waiting.extend(entries);
                    true
                }
                Err(error) => visit(Err((path, error))),
            },
            // Links, sockets, devices and pipes.
            Ok(_) => true,
            Err(error) => visit(Err((path, error))),
        };
        if !goes_on {
            return;
        }
    }
}

/// What a folder holds, last name first.
fn below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.sort_unstable_by(|one, other| other.cmp(one));
    Ok(entries)
}
