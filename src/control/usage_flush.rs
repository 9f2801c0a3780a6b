//! Keeps the uses of keys: what the workers recorded goes into totals, and the totals into the `state:` folder. Lost
//! at worst: what was recorded since the last write, [`WRITE_EVERY`], when the process is killed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::{
    clock::{Clock, SystemClock},
    keys::snapshot::KeySnapshot,
    live::{Live, Published},
    store::state::{StateError, StateFolder},
    telemetry::{
        metrics::Metrics,
        usage::{SecretMarks, UsageBatch, UsageTotals, secret_mark},
    },
};

/// How often totals that changed are written.
pub const WRITE_EVERY: Duration = Duration::from_secs(10);

/// The totals of this process and those before it.
#[derive(Debug)]
pub struct UsageFlush {
    totals: UsageTotals,
    folder: Option<StateFolder>,
    batches: Receiver<UsageBatch>,
    live: Live,
    metrics: Metrics,
    /// What the totals were last brought in line with.
    seen: Arc<Published>,
    is_unwritten: bool,
}

impl UsageFlush {
    /// Goes on from what `folder` holds; without a folder the totals end with the process. Old and new secret of a
    /// rotated key are told apart by what `live` has in force; `metrics` knows whether some source is wrong, so that
    /// its keys are missing but not gone.
    ///
    /// # Errors
    /// Where what the folder holds cannot be read.
    pub fn new(
        folder: Option<StateFolder>,
        batches: Receiver<UsageBatch>,
        live: Live,
        metrics: Metrics,
    ) -> Result<Self, StateError> {
        let kept = folder.as_ref().map(StateFolder::read_usage::<UsageTotals>).transpose()?.flatten();
        let totals = kept.unwrap_or_else(|| UsageTotals::new(SystemClock.now()));
        let seen = live.current();
        let mut flush = Self { totals, folder, batches, live, metrics, seen, is_unwritten: false };
        flush.follow_seen();
        Ok(flush)
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
                _ = ticks.tick() => {
                    self.follow();
                    // An overlap ends without any change of the keys.
                    if self.totals.keys.values().any(|usage| usage.previous.is_some()) {
                        self.follow_seen();
                    }
                    self.write();
                }
            }
        }
        self.write();
    }

    /// What a worker recorded just before a rotation and hands over after it counts for the new secret.
    fn add(&mut self, batch: &UsageBatch) {
        self.follow();
        self.totals.add(batch);
        self.is_unwritten = true;
    }

    /// Brings the totals in line with the keys if these changed.
    fn follow(&mut self) {
        let current = self.live.current();
        if current.revision != self.seen.revision {
            self.identify();
            self.seen = current;
            self.follow_seen();
        }
    }

    /// Notes whose counts are new. Cost: a scan of all keys, where there are any.
    fn identify(&mut self) {
        if let Some(keys) = &self.seen.keys
            && self.totals.keys.values().any(|usage| usage.secret.is_none())
        {
            let marks = marks(keys, &self.totals);
            self.totals.identify(&marks);
        }
    }

    /// Cost: a scan of all keys.
    fn follow_seen(&mut self) {
        let Some(keys) = &self.seen.keys else { return };
        let marks = marks(keys, &self.totals);
        let before = self.totals.keys.len();
        self.totals.follow(&marks);
        if self.metrics.sources().iter().all(|source| source.problem.is_none()) {
            self.totals.retain(|id| marks.contains_key(id));
        }
        self.is_unwritten |= self.totals.keys.len() != before || !marks.is_empty();
    }

    /// Writes if there is news. What cannot be written is kept and tried again.
    fn write(&mut self) {
        if self.is_unwritten {
            self.identify();
        }
        let Some(folder) = self.folder.as_ref().filter(|_| self.is_unwritten) else { return };
        match folder.write_usage(&self.totals) {
            Ok(()) => self.is_unwritten = false,
            Err(error) => {
                tracing::warn!(%error, "the uses of keys were not written; they are kept and tried again");
            }
        }
    }
}

/// The secrets of those keys that `totals` counts, as they are now.
fn marks(keys: &KeySnapshot, totals: &UsageTotals) -> BTreeMap<String, SecretMarks> {
    let now = SystemClock.now().as_millisecond();
    let mut all: BTreeMap<String, SecretMarks> = BTreeMap::new();
    for view in keys.table().iter() {
        let id = view.details.id();
        if !totals.keys.contains_key(id.as_str()) {
            continue;
        }
        let of_key = all.entry(id.as_str().to_owned()).or_default();
        if !view.details.is_previous() {
            of_key.current = secret_mark(&view.digest);
        } else if view.expires_ms.is_none_or(|end| end > now) {
            of_key.previous = Some(secret_mark(&view.digest));
        }
    }
    all
}
