//! How the sources of this process stand: its config, key files, certificates, its database.

use super::{parts::Badge, times::Time, visitor::Visitor};
use crate::telemetry::metrics::SourceStatus;

/// A source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// Its name, as the operator knows it.
    pub name: String,
    /// Whether it was taken.
    pub state: Badge,
    /// Since when it is so.
    pub since: Time,
    /// The first thing that is wrong with it, with file, line and column.
    pub problem: Option<String>,
}

/// All of them.
pub fn all(visitor: &Visitor) -> Vec<SourceRow> {
    visitor.state.metrics.sources().into_iter().map(|source| SourceRow::new(source, visitor)).collect()
}

/// Those with which something is wrong.
pub fn wrong(visitor: &Visitor) -> Vec<SourceRow> {
    all(visitor).into_iter().filter(|source| source.problem.is_some()).collect()
}

impl SourceRow {
    fn new(source: SourceStatus, visitor: &Visitor) -> Self {
        let SourceStatus { name, since, problem } = source;
        Self {
            name: name.into(),
            state: if problem.is_none() { Badge::new("ok", "in force") } else { Badge::new("bad", "wrong") },
            since: visitor.time(since),
            problem: problem.map(Into::into),
        }
    }
}
