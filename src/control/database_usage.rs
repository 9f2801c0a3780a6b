//! Adds the uses of keys to those in the database. What the workers recorded is gathered here and written every few
//! seconds. Lost at worst: what was recorded within [`WRITE_EVERY`] when the process is killed, and what exceeds
//! [`ROWS_MAX`] while the database is away. What was written while the answer got lost may count twice.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use crate::{
    keys::record::KeyId,
    store::contract::{Database, ScopeUse, UsageRow},
    telemetry::{
        metrics::Metrics,
        usage::{UsageBatch, UseRecord},
    },
};

/// How often uses are written.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// Rows that wait for the database at most; uses of further secrets are dropped and counted.
const ROWS_MAX: usize = 200_000;
/// Rows that are written at once.
const ROWS_AT_ONCE: usize = 1_000;
/// How long the last write may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// What is to be written.
#[derive(Debug)]
pub(super) struct DatabaseUsage {
    database: Arc<dyn Database>,
    batches: Receiver<UsageBatch>,
    waiting: BTreeMap<(KeyId, String, Timestamp), UsageRow>,
    /// When scopes were last needed; as many as rows at most.
    scopes: BTreeMap<(KeyId, String), Timestamp>,
    metrics: Metrics,
}

impl DatabaseUsage {
    pub(super) fn new(database: Arc<dyn Database>, batches: Receiver<UsageBatch>, metrics: Metrics) -> Self {
        Self { database, batches, waiting: BTreeMap::new(), scopes: BTreeMap::new(), metrics }
    }

    /// Adds and writes until every worker has ended, and a last time then.
    pub(super) async fn run(mut self) {
        let mut ticks = interval_at(Instant::now() + WRITE_EVERY, WRITE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = self.batches.recv() => match batch {
                    Some(batch) => {
                        self.add(&batch);
                        self.add_scopes(&batch);
                    }
                    None => break,
                },
                _ = ticks.tick() => {
                    self.write().await;
                    self.write_scopes().await;
                }
            }
        }
        let _ = timeout(FAREWELL, async {
            self.write().await;
            self.write_scopes().await;
        })
        .await;
        let lost: u64 = self.waiting.values().map(|row| row.counts.sum()).sum();
        if lost > 0 {
            tracing::warn!("{lost} uses of keys were not written, since the database does not answer");
        }
    }

    fn add(&mut self, batch: &UsageBatch) {
        for UseRecord { key, secret, hour, counts, last_used, last_refused } in batch.records() {
            let Ok(key) = KeyId::parse(key) else { continue };
            let row = UsageRow { key, secret: secret.clone(), hour, counts, last_used, last_refused };
            let is_full = self.waiting.len() >= ROWS_MAX;
            match self.waiting.entry((key, secret, hour)) {
                Entry::Occupied(mut known) => known.get_mut().add(&row),
                Entry::Vacant(free) if !is_full => {
                    free.insert(row);
                }
                Entry::Vacant(_) => self.metrics.drop_usage(counts.sum()),
            }
        }
    }

    /// Writes what waits, a part at a time. What cannot be written is kept and tried again.
    async fn write(&mut self) {
        while !self.waiting.is_empty() {
            let part: Vec<UsageRow> = self.waiting.values().take(ROWS_AT_ONCE).cloned().collect();
            if let Err(error) = self.database.add_usage(&part).await {
                tracing::warn!(%error, "the uses of keys were not written; they are kept and tried again");
                return;
            }
            for row in part {
                self.waiting.remove(&(row.key, row.secret, row.hour));
            }
        }
    }

    fn add_scopes(&mut self, batch: &UsageBatch) {
        for (key, scope, at) in batch.needed_scopes() {
            let Ok(key) = KeyId::parse(key) else { continue };
            let is_full = self.scopes.len() >= ROWS_MAX;
            match self.scopes.entry((key, scope.to_owned())) {
                Entry::Occupied(mut known) => *known.get_mut() = at.max(*known.get()),
                Entry::Vacant(free) if !is_full => {
                    free.insert(at);
                }
                // The key's next use tells it again.
                Entry::Vacant(_) => {}
            }
        }
    }

    /// Writes which scopes were needed, as [`DatabaseUsage::write`] does.
    async fn write_scopes(&mut self) {
        while !self.scopes.is_empty() {
            let part: Vec<ScopeUse> = self
                .scopes
                .iter()
                .take(ROWS_AT_ONCE)
                .map(|((key, scope), at)| ScopeUse { key: *key, scope: scope.clone(), last_used: *at })
                .collect();
            if let Err(error) = self.database.add_scope_uses(&part).await {
                tracing::warn!(%error, "the scopes that keys needed were not written; they are kept and tried again");
                return;
            }
            for one in part {
                self.scopes.remove(&(one.key, one.scope));
            }
        }
    }
}
