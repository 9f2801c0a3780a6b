//! Where a command's words go: what was asked for to standard output, everything else to standard error.

use std::io::{self, Write as _};

use clap::ValueEnum;
use serde::Serialize;

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
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Writes `value` as JSON to standard output.
pub(super) fn answer_json(value: &impl Serialize) {
    // Strings, numbers, lists and maps with text keys: they always become JSON.
    answer(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Writes `text` and a line break to standard error.
pub(super) fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// `count` and the noun that fits it.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
