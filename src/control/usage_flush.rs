//! Keeps the uses of keys: what the workers recorded goes into totals, and the totals into the `state:` folder. Lost
//! at worst: what was recorded since the last write, [`WRITE_EVERY`], when the process is killed.

use std::time::Duration;

use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::{
    clock::{Clock, SystemClock},
    store::state::{StateError, StateFolder},
    telemetry::usage::{UsageBatch, UsageTotals},
};

/// How often totals that changed are written.
pub const WRITE_EVERY: Duration = Duration::from_secs(10);

/// The totals of this process and those before it.
#[derive(Debug)]
pub struct UsageFlush {
    totals: UsageTotals,
    folder: Option<StateFolder>,
    batches: Receiver<UsageBatch>,
    is_unwritten: bool,
}

impl UsageFlush {
    /// Goes on from what `folder` holds; without a folder the totals end with the process.
    ///
    /// # Errors
    /// Where what the folder holds cannot be read.
    pub fn new(folder: Option<StateFolder>, batches: Receiver<UsageBatch>) -> Result<Self, StateError> {
        let kept = folder.as_ref().map(StateFolder::read_usage::<UsageTotals>).transpose()?.flatten();
        let totals = kept.unwrap_or_else(|| UsageTotals::new(SystemClock.now()));
        Ok(Self { totals, folder, batches, is_unwritten: false })
    }

    /// Adds and writes until every worker has ended, and a last time then.
    pub async fn run(mut self) {
        let mut ticks = interval_at(Instant::now() + WRITE_EVERY, WRITE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = self.batches.recv() => match batch {
                    Some(batch) => self.add(&batch),
                    None => break,
                },
                _ = ticks.tick() => self.write(),
            }
        }
        self.write();
    }

    fn add(&mut self, batch: &UsageBatch) {
        self.totals.add(batch);
        self.is_unwritten = true;
    }

    /// Writes if there is news. What cannot be written is kept and tried again.
    fn write(&mut self) {
        let Some(folder) = self.folder.as_ref().filter(|_| self.is_unwritten) else { return };
        match folder.write_usage(&self.totals) {
            Ok(()) => self.is_unwritten = false,
            Err(error) => {
                tracing::warn!(%error, "the uses of keys were not written; they are kept and tried again");
            }
        }
    }
}
