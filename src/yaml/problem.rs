//! What is wrong in a document, where, and what would be right.

use std::fmt;

/// The most problems one run tells; a sentence at the end counts the rest.
const PROBLEMS_MAX: usize = 1000;

/// A place in a document: line and column count from 1, the column in characters.
///
/// The default, line 0, is no place: a value that was not read from YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// From 1, in characters, not bytes.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// One thing wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub remedy: String,
}

impl Problem {
    /// A problem at `place`.
    pub fn new(place: Place, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place, message: message.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}; {}", self.place, self.message, self.remedy)
    }
}

impl std::error::Error for Problem {}

/// The problems of one run, at most [`PROBLEMS_MAX`] of them kept.
#[derive(Debug, Default)]
pub(super) struct Problems {
    kept: Vec<Problem>,
    total: usize,
}

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        self.total += 1;
        if self.kept.len() < PROBLEMS_MAX {
            self.kept.push(problem);
        }
    }

    /// Whether there are more than are told, so that looking for others is of no use to anyone.
    pub(super) fn is_enough(&self) -> bool {
        self.total > PROBLEMS_MAX
    }

    /// How many were pushed, kept or not.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// `value` if there was no problem; else the problems in the order of their places.
    pub(super) fn unless<T>(mut self, value: T) -> Result<T, Vec<Problem>> {
        if self.total == 0 {
            return Ok(value);
        }
        self.kept.sort_by_key(|problem| problem.place);
        let untold = self.total - self.kept.len();
        if let (1.., Some(last)) = (untold, self.kept.last()) {
            self.kept.push(Problem::new(
                last.place,
                format!("at least {untold} more problems are not shown"),
                "mend those above first",
            ));
        }
        Err(self.kept)
    }
}

/// `text` as it may stand in a message: one line of bounded length, control and direction characters escaped.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let mut shown = String::from("`");
    for (count, character) in text.chars().enumerate() {
        if count == SHOWN_MAX {
            shown.push('…');
            break;
        }
        if is_invisible(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown.push('`');
    shown
}

/// Control characters, and those that a terminal or editor does not show or shows elsewhere (bidirectional controls,
/// zero width, byte order mark, line and paragraph separators).
pub fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The name of `known` that is nearest to `name`, if one is near enough to be meant.
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    const NAME_MAX: usize = 64;
    if name.len() > NAME_MAX {
        return None;
    }
    let name = name.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|&candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, candidate)| distance <= 1 + candidate.len().min(name.len()) / 4)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// `names` as a sentence lists them.
pub(super) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
