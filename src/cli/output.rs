//! Where a command's words go: what was asked for to standard output, everything else to standard error.

use std::{
    borrow::Cow,
    io::{self, Write as _},
    path::Path,
};

use clap::ValueEnum;
use serde::{Serialize, Serializer};

use crate::yaml::is_invisible;

/// How a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON document on standard output.
    Json,
}

/// Writes `text` and a line break to standard output. A reader that has gone misses nothing that it wanted.
pub(super) fn answer(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{}", printable(text));
}

/// Writes `value` as JSON to standard output.
pub(super) fn answer_json(value: &impl Serialize) {
    // Strings, numbers, lists and maps with text keys: they always become JSON.
    answer(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Writes `text` and a line break to standard error.
pub(super) fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(text));
}

/// `text` with escapes for what would drive a terminal or show text in another order than it stands.
fn printable(text: &str) -> Cow<'_, str> {
    let is_unsafe = |character: char| character != '\n' && is_invisible(character);
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) {
            printable.extend(character.escape_unicode());
        } else {
            printable.push(character);
        }
    }
    Cow::Owned(printable)
}

/// A path in JSON, which knows no other text than Unicode.
pub(super) fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// `count` and the noun that fits it.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
