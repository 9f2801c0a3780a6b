//! What is wrong in a configuration, or only doubtful, and where.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::yaml::{self, Place};

/// One thing wrong (or, among warnings, doubtful) in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Where in it; line 0 is the file as a whole.
    pub place: Place,
    /// What is wrong. Never holds what may be a secret: of values that came from `${…}`, only names and addresses that
    /// logs show too.
    pub message: String,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, place, message, remedy } = self;
        if *place == Place::default() {
            return write!(formatter, "{}: {message}; {remedy}", file.display());
        }
        write!(formatter, "{}:{place}: {message}; {remedy}", file.display())
    }
}

impl std::error::Error for Problem {}

/// What was found in one file so far.
#[derive(Debug)]
pub(super) struct Findings<'f> {
    file: &'f Path,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl<'f> Findings<'f> {
    pub(super) fn new(file: &'f Path) -> Self {
        Self { file, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Records what makes the file unusable.
    pub(super) fn wrong(&mut self, place: Place, message: impl Into<String>, remedy: impl Into<String>) {
        let problem = self.problem(place, message.into(), remedy.into());
        self.problems.push(problem);
    }

    /// Records what is permitted and probably not meant.
    pub(super) fn warn(&mut self, place: Place, message: impl Into<String>, remedy: impl Into<String>) {
        let problem = self.problem(place, message.into(), remedy.into());
        self.warnings.push(problem);
    }

    /// Records what the YAML module found.
    pub(super) fn adopt(&mut self, problems: Vec<yaml::Problem>) {
        for problem in problems {
            self.wrong(problem.place, problem.message, problem.remedy);
        }
    }

    /// Takes over what `other` found about the same file.
    pub(super) fn extend(&mut self, other: Self) {
        self.problems.extend(other.problems);
        self.warnings.extend(other.warnings);
    }

    /// Takes over the problems that `other` found in the sound parts of a file that is wrong elsewhere, but for those
    /// at `untrue`, whose value is not what it should be. Warnings wait until the whole is read.
    pub(super) fn extend_from_salvage(&mut self, mut other: Self, untrue: &[Place]) {
        other
            .problems
            .retain(|problem| problem.place != Place::default() && !untrue.contains(&problem.place));
        self.problems.extend(other.problems);
    }

    pub(super) fn any_wrong(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Problems and warnings, each in the order of their places.
    pub(super) fn into_parts(mut self) -> (Vec<Problem>, Vec<Problem>) {
        self.problems.sort_by_key(|problem| problem.place);
        self.warnings.sort_by_key(|problem| problem.place);
        (self.problems, self.warnings)
    }

    fn problem(&self, place: Place, message: String, remedy: String) -> Problem {
        Problem { file: self.file.to_owned(), place, message, remedy }
    }
}
