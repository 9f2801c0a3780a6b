//! A folder of key files: every `*.yaml` in it but hidden ones.

use std::{ffi::OsStr, io, path::Path, sync::Arc};

use super::file::FileProblem;

/// The most key files of one folder.
const FILES_MAX: usize = 1000;

/// The key files in the folder `path`, sorted by name. Links count as what they lead to, so the folder of a mounted
/// `ConfigMap` (`a.yaml` → `..data/a.yaml` → `..2026_11_21/a.yaml`) shows each file once.
///
/// # Errors
/// The folder is missing, no folder, unreadable, or holds no or too many key files.
pub(super) fn key_files(path: &Arc<Path>) -> Result<Vec<Arc<Path>>, FileProblem> {
    let problem = |message: String, remedy: &str| FileProblem::of_file(path, message, remedy);
    let unreadable = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            problem("the folder does not exist".to_owned(), "create it, or correct the path")
        }
        io::ErrorKind::NotADirectory => {
            problem("this is no folder".to_owned(), "a single key file is named by `file:`")
        }
        _ => problem(format!("the folder cannot be read: {error}"), "correct its owner or mode"),
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| unreadable(&error))? {
        let entry = entry.map_err(|error| unreadable(&error))?;
        if is_key_file(&entry.file_name()) {
            files.push(Arc::from(entry.path()));
        }
        if files.len() > FILES_MAX {
            return Err(problem(format!("more than {FILES_MAX} key files"), "join some of them"));
        }
    }
    if files.is_empty() {
        return Err(problem(
            "the folder holds no `*.yaml` file".to_owned(),
            "put a key file into it; one with `keys: []` has no keys",
        ));
    }
    files.sort_unstable();
    Ok(files)
}

/// Whether a file of this name is one of a folder's key files.
pub(crate) fn is_key_file(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".yaml") && !name.starts_with(b".")
}
