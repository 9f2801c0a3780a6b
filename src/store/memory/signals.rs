//! Commits, as they are heard within the process.

use tokio::sync::watch;

use crate::store::contract::{Heard, Signals};

#[derive(Debug)]
pub(super) struct MemorySignals(watch::Receiver<u64>);

impl MemorySignals {
    pub(super) fn new(committed: watch::Receiver<u64>) -> Self {
        Self(committed)
    }
}

impl Signals for MemorySignals {
    fn next(&mut self) -> std::pin::Pin<Box<dyn Future<Output = Heard> + Send + '_>> {
        Box::pin(async move {
            if self.0.changed().await.is_err() {
                // The database is gone, and nobody commits any more.
                std::future::pending::<()>().await;
            }
            Heard::Commit
        })
    }
}
