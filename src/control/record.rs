//! Where the control side counts and records what it did.

use std::sync::Arc;

use crate::{
    clock::Clock,
    telemetry::{
        audit::{AuditEvent, AuditLog},
        metrics::Metrics,
    },
};

/// Counts and records.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) metrics: Metrics,
    pub(super) audit: Arc<AuditLog>,
    pub(super) clock: Box<dyn Clock>,
}

impl Recorder {
    /// Writes `event` to the audit log; where that fails, the operator's log says so.
    pub(super) fn record(&self, event: &AuditEvent<'_>) {
        if let Err(error) = self.audit.record(event, self.clock.now()) {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }
}
