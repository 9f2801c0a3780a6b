//! One thing wrong or doubtful in a file, whichever part found it, as the commands tell it.

use std::{
    fmt, fs,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::output::{lossy, tell};
use crate::{
    config,
    store::{file::FileProblem, state::StateError},
    yaml::{self, Place},
};

/// The most characters of a line of source that are shown.
const EXCERPT_CHARACTERS: usize = 160;

/// Something wrong or doubtful, and where.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    #[serde(serialize_with = "lossy")]
    file: PathBuf,
    #[serde(flatten)]
    place: Option<LineAndColumn>,
    message: String,
    /// What would be right; empty where the message says it.
    remedy: String,
    /// Whether the line may be shown: not one of a file that holds digests or secrets.
    #[serde(skip)]
    may_show_source: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct LineAndColumn {
    line: u32,
    column: u32,
}

impl Finding {
    /// About a file as a whole. Where `message` holds `"; "`, the part after that is the remedy.
    pub(super) fn of_file(file: &Path, message: &str) -> Self {
        let (message, remedy) = message.split_once("; ").unwrap_or((message, ""));
        Self::new(file, Place::default(), message, remedy, false)
    }

    /// About a place in a configuration or another file that holds no secret.
    pub(super) fn at(file: &Path, place: Place, message: &str, remedy: &str) -> Self {
        Self::new(file, place, message, remedy, true)
    }

    /// About the `state:` folder.
    pub(super) fn of_state(error: &StateError) -> Self {
        Self::new(&error.path, Place::default(), &error.message, error.remedy, false)
    }

    /// What was found in a file that holds no secret.
    pub(super) fn of_text(file: &Path, problem: &yaml::Problem) -> Self {
        Self::new(file, problem.place, &problem.message, &problem.remedy, true)
    }

    /// What the YAML module found in `file`.
    pub(super) fn of_yaml(file: &Path, problem: &yaml::Problem) -> Self {
        Self::new(file, problem.place, &problem.message, &problem.remedy, false)
    }

    fn new(file: &Path, place: Place, message: &str, remedy: &str, may_show_source: bool) -> Self {
        let Place { line, column } = place;
        Self {
            file: file.to_owned(),
            place: (line > 0).then_some(LineAndColumn { line, column }),
            message: message.to_owned(),
            remedy: remedy.to_owned(),
            may_show_source,
        }
    }

    /// The line that it is about, and a mark below its column.
    fn excerpt(&self) -> Option<String> {
        let LineAndColumn { line, column } = self.place.filter(|_| self.may_show_source)?;
        let text = fs::read(&self.file).ok()?;
        let text = String::from_utf8_lossy(&text);
        let source = text.lines().nth(line as usize - 1)?;
        let plain = |character: char| if character.is_control() { ' ' } else { character };
        let source: String = source.chars().take(EXCERPT_CHARACTERS).map(plain).collect();
        let number = line.to_string();
        let indent = " ".repeat(number.len());
        let before = " ".repeat(column.saturating_sub(1) as usize);
        Some(format!("{indent} |\n{number} | {source}\n{indent} | {before}^"))
    }
}

impl From<config::Problem> for Finding {
    fn from(problem: config::Problem) -> Self {
        Self::new(&problem.file, problem.place, &problem.message, &problem.remedy, true)
    }
}

impl From<FileProblem> for Finding {
    fn from(problem: FileProblem) -> Self {
        let place = problem.place.unwrap_or_default();
        Self::new(&problem.path, place, &problem.message, &problem.remedy, false)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.file.display())?;
        if let Some(LineAndColumn { line, column }) = self.place {
            write!(formatter, "{line}:{column}:")?;
        }
        write!(formatter, " {}", self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(formatter, "; {}", self.remedy) }
    }
}

/// Tells `findings` on standard error, each after `label` (`"warning: "` or nothing), and with the line that it is
/// about where a person is reading.
pub(super) fn tell_all(findings: &[Finding], label: &str) {
    let is_terminal = io::stderr().is_terminal();
    for finding in findings {
        tell(&format!("{label}{finding}"));
        if let Some(excerpt) = Some(finding).filter(|_| is_terminal).and_then(Finding::excerpt) {
            tell(&excerpt);
        }
    }
}
