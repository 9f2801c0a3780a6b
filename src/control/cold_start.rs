//! A start without database.
#![expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "kept on disk by the next change")]

use std::path::Path;

use super::database_keys::DatabaseKeys;
use crate::{live::Live, store::state::StateError};

/// What a start without database needs.
#[derive(Debug, Clone)]
pub struct ColdStart;

impl ColdStart {
    /// Kept in `folder` for the database that operators call `database`.
    pub fn new(_: &Path, _: &str) -> Self {
        Self
    }

    pub(super) fn begin(&self, _: &DatabaseKeys, _: &Live) {}

    pub(super) fn keep(&self, _: &DatabaseKeys) -> Result<(), StateError> {
        Ok(())
    }

    pub(super) async fn keep_forever(&self, _: &DatabaseKeys) {
        std::future::pending::<()>().await;
    }
}
