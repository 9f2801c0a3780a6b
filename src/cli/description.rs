//! The description of an API as a command reads it: a file, or standard input.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use super::finding::Finding;
use crate::openapi::{self, Api, LIMITS};

/// The API that the file at `path` describes; `-` is standard input.
///
/// # Errors
/// All that is wrong, each with its place.
pub(super) fn read(path: &Path, base_path: Option<&str>) -> Result<Api, Vec<Finding>> {
    let text = bytes(path).map_err(|error| {
        vec![Finding::of_file(
            path,
            &format!("the description cannot be read: {error}; give the path of an OpenAPI file"),
        )]
    })?;
    openapi::parse(&text, base_path)
        .map_err(|problems| problems.iter().map(|problem| Finding::of_text(path, problem)).collect())
}

/// One byte more than is read at the most, so that a longer file is told.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let most = LIMITS.bytes as u64 + 1;
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// A path that others begin with: empty, or it begins with `/` and does not end so.
pub(super) fn base_path(text: &str) -> Result<String, String> {
    let base = text.trim_end_matches('/');
    if base.is_empty() || (base.starts_with('/') && !base.contains(['?', '#', '{'])) {
        Ok(base.to_owned())
    } else {
        Err("write a path such as /api/v1, or / for none".to_owned())
    }
}
