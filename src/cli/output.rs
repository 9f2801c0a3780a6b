//! Where a command's words go: what was asked for to standard output, everything else to standard error.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, BufWriter, StdoutLock, Write as _},
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
    answer(&escaped(serde_json::to_string_pretty(value).unwrap_or_default()));
}

/// `value` as JSON on one line.
pub(super) fn json_line(value: &impl Serialize) -> String {
    escaped(serde_json::to_string(value).unwrap_or_default())
}

/// JSON in which what would drive a terminal is escaped (RFC 8259 §7), as `serde_json` does for the rest.
fn escaped(json: String) -> String {
    let is_unsafe = |character: char| character != '\n' && is_invisible(character);
    if !json.contains(is_unsafe) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if is_unsafe(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a text never fails.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Whoever read standard output does so no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// Lines on standard output, written in large pieces.
pub(super) struct Lines(BufWriter<StdoutLock<'static>>);

impl Lines {
    pub(super) fn to_standard_output() -> Self {
        Self(BufWriter::with_capacity(1 << 16, io::stdout().lock()))
    }

    /// Writes `text`, which holds nothing that drives a terminal, and a line break.
    pub(super) fn put(&mut self, text: &str) -> Result<(), Gone> {
        writeln!(self.0, "{text}").map_err(|_| Gone)
    }

    pub(super) fn flush(mut self) -> Result<(), Gone> {
        self.0.flush().map_err(|_| Gone)
    }
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
