//! What a reload led to, for whoever asked for it.

use std::time::Duration;

use crate::telemetry::audit::KeyChanges;

/// What a look at all sources led to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The revision in force.
    pub revision: u64,
    /// Whether it is a new one.
    pub is_new: bool,
    /// Sources whose newest content came into force.
    pub taken: Vec<Taken>,
    /// Every source whose newest content is not in force, new or known.
    pub wrong: Vec<Wrong>,
    /// Keys that are revoked by nothing but the marks of a wrong file.
    pub revoked_by_wrong_files: Vec<String>,
    /// Keys that a file lists as good although they were revoked; they stay refused.
    pub undone: Vec<String>,
    /// What is permitted and probably not meant, as far as it is new.
    pub warnings: Vec<String>,
    /// When to look again because something is being written.
    pub again_in: Option<Duration>,
}

/// A source whose newest content came into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The path.
    pub source: String,
    /// What it changes of the keys.
    pub changes: KeyChanges,
}

/// A source whose newest content is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The path.
    pub source: String,
    /// File, line, column, message and remedy of everything that is wrong.
    pub problems: Vec<String>,
}

impl Report {
    /// Tells the operator's log and whoever asked for the reload.
    pub(super) fn warn(&mut self, warning: String) {
        tracing::warn!("{warning}");
        self.warnings.push(warning);
    }

    /// Looks again after `wait`, if not before.
    pub(super) fn wait(&mut self, wait: Option<Duration>) {
        self.again_in = [self.again_in, wait].into_iter().flatten().min();
    }

    /// This report and `later` as one.
    pub(super) fn followed_by(self, later: Self) -> Self {
        Self {
            is_new: self.is_new || later.is_new,
            taken: [self.taken, later.taken].concat(),
            warnings: [self.warnings, later.warnings].concat(),
            ..later
        }
    }
}

impl Wrong {
    pub(super) fn of((source, problems): (&String, &Vec<String>)) -> Self {
        Self { source: source.clone(), problems: problems.clone() }
    }
}
