//! Uses of keys: when and from where each was last used, and how often per hour with which outcome. Each worker
//! records into its own batch; every few seconds the batch goes to the control side, which keeps the totals.
//!
//! The id that a batch is keyed by is the operator's and known only once a digest was found: no stranger makes an
//! entry.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::{BuildHasherDefault, Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{
    metrics::WorkerMetrics,
    outcome::{End, KeyUse, RequestOutcome},
};
use crate::{
    keys::digest::KeyDigest,
    policy::scope::{SCOPES_MAX, ScopeSet, Scopes},
};

mod needed;

pub use needed::NeededScopes;
use needed::ScopeTables;

/// Secrets that one worker can record between two hand-overs; uses of further ones are dropped and counted.
const BATCH_MAX: usize = 65_536;
/// Batches that may wait for the control side. What does not fit stays with its worker and grows on.
const WAITING_BATCHES: usize = 64;
/// Hours that are kept of each secret; older ones are in its total alone.
const HOURS_KEPT: usize = 48;
/// Names of scopes that are kept of each key, also of those that the config defines no longer.
const SCOPES_KEPT: usize = 2 * SCOPES_MAX;
const MS_PER_HOUR: i64 = 3_600_000;

/// Which of a key's secrets: two are good while a rotation overlaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretSlot {
    /// The newest.
    Current,
    /// The one before, until its overlap ends.
    Previous,
}

impl SecretSlot {
    /// The name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
        }
    }
}

/// Uses by outcome.
#[derive(utoipa::ToSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UseCounts {
    /// Answered with a status below 400.
    pub ok: u64,
    /// Answered with 4xx by the upstream.
    pub client_error: u64,
    /// Answered with 5xx by the upstream.
    pub server_error: u64,
    /// Refused by the gateway.
    pub refused: u64,
    /// Broken off by one side.
    pub aborted: u64,
}

impl UseCounts {
    /// All uses.
    pub fn sum(self) -> u64 {
        self.ok + self.client_error + self.server_error + self.refused + self.aborted
    }

    fn count(&mut self, outcome: &RequestOutcome) {
        let cell = match (outcome.end_for_key(), outcome.status) {
            (End::Forwarded | End::Answered | End::Permitted, ..400) => &mut self.ok,
            (End::Forwarded | End::Answered | End::Permitted, 400..500) => &mut self.client_error,
            (End::Forwarded | End::Answered | End::Permitted, 500..) => &mut self.server_error,
            (End::Refused(_), _) => &mut self.refused,
            (End::Aborted(_) | End::Cut(_), _) => &mut self.aborted,
        };
        *cell += 1;
    }

    /// Adds other uses; stays at the greatest number rather than beginning anew.
    pub fn add(&mut self, other: Self) {
        self.ok = self.ok.saturating_add(other.ok);
        self.client_error = self.client_error.saturating_add(other.client_error);
        self.server_error = self.server_error.saturating_add(other.server_error);
        self.refused = self.refused.saturating_add(other.refused);
        self.aborted = self.aborted.saturating_add(other.aborted);
    }
}

/// What one worker saw of one secret within a batch.
#[derive(Debug, Clone, Copy, Default)]
struct Uses {
    last_used: Option<(i64, IpAddr)>,
    last_refused_ms: Option<i64>,
    counts: UseCounts,
    /// Of the batch's table.
    needed: ScopeSet,
    needed_ms: i64,
}

type UseMap = HashMap<KeyUse, Uses, BuildHasherDefault<IdHasher>>;

/// What one worker recorded, within one hour.
#[derive(Debug, Default)]
pub struct UsageBatch {
    hour: i64,
    uses: UseMap,
    /// The table that says what the needed scopes are called.
    scopes: Arc<Scopes>,
}

/// What one worker saw of one secret within an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseRecord<'b> {
    /// The key's id.
    pub key: &'b str,
    /// The secret, by a mark that tells it from others and nothing else about it.
    pub secret: String,
    /// The hour's beginning.
    pub hour: Timestamp,
    /// How often, by outcome.
    pub counts: UseCounts,
    /// The last use that was not refused.
    pub last_used: Option<LastUse>,
    /// When it was last refused.
    pub last_refused: Option<Timestamp>,
}

impl UsageBatch {
    /// Everything that it holds, in any order.
    pub fn records(&self) -> impl Iterator<Item = UseRecord<'_>> {
        let hour = timestamp(self.hour.saturating_mul(MS_PER_HOUR));
        self.uses.iter().map(move |(key, uses)| UseRecord {
            key: key.id.as_str(),
            secret: secret_mark(&key.digest),
            hour,
            counts: uses.counts,
            last_used: uses.last_use(),
            last_refused: uses.last_refused_ms.map(timestamp),
        })
    }

    /// The scopes that permitted requests needed, those among them that others imply: key, scope, and when the key last
    /// needed any. In any order; a key with two secrets comes twice.
    pub fn needed_scopes(&self) -> impl Iterator<Item = (&str, &str, Timestamp)> {
        self.uses.iter().flat_map(|(key, uses)| {
            let at = timestamp(uses.needed_ms);
            self.scopes.names(uses.needed).map(move |scope| (key.id.as_str(), scope, at))
        })
    }
}

/// What tells a secret from others in the record of its uses. Digests do not leave the store: the beginning of a digest
/// of the digest.
pub fn secret_mark(digest: &KeyDigest) -> String {
    let text = KeyDigest::of(digest.as_bytes()).to_text();
    text.trim_start_matches("sha256:").chars().take(16).collect()
}

/// The way of batches from the workers to the control side, of which [`UsageTotals::add`] takes them.
pub(super) fn usage_channel() -> (Sender<UsageBatch>, Receiver<UsageBatch>) {
    channel(WAITING_BATCHES)
}

/// One worker's record.
#[derive(Debug)]
pub(super) struct WorkerUsage {
    batch: UsageBatch,
    tables: ScopeTables,
    batches: Sender<UsageBatch>,
}

impl WorkerUsage {
    pub(super) fn new(batches: Sender<UsageBatch>) -> Self {
        Self { batch: UsageBatch::default(), tables: ScopeTables::default(), batches }
    }

    /// From now on requests are permitted by this table of scopes. Cost: a comparison where it is the same as before.
    pub(super) fn set_scopes(&mut self, scopes: &Scopes) {
        if *self.batch.scopes == *scopes {
            return;
        }
        self.hand_over();
        let old = std::mem::replace(&mut self.batch.scopes, Arc::new(scopes.clone()));
        for uses in self.batch.uses.values_mut() {
            uses.needed = needed::by_name(&old, &self.batch.scopes, uses.needed);
        }
        self.tables.retire(old);
    }

    /// That a request needs `scopes` of the table in force.
    pub(super) fn needed(&self, scopes: ScopeSet) -> NeededScopes {
        self.tables.needed(scopes)
    }

    /// Records the use that `outcome` tells of, if a key was found. Cost: a look-up by hash; never waits.
    pub(super) fn record(&mut self, outcome: &RequestOutcome, now_ms: i64, metrics: &WorkerMetrics) {
        let Some(key) = &outcome.key else { return };
        let hour = now_ms.div_euclid(MS_PER_HOUR);
        if hour != self.batch.hour {
            self.hand_over();
            // A batch that could not be handed over keeps its hour: better a use told an hour early than lost.
            if self.batch.uses.is_empty() {
                self.batch.hour = hour;
            }
        }
        let needed = self.tables.in_force(outcome.needed, &self.batch.scopes);
        if let Some(uses) = self.batch.uses.get_mut(key) {
            uses.count(outcome, needed, now_ms);
        } else if self.batch.uses.len() < BATCH_MAX {
            self.batch.uses.entry(*key).or_default().count(outcome, needed, now_ms);
        } else {
            metrics.usage_dropped.add(1);
        }
    }

    /// Uses that were not handed over.
    pub(super) fn pending(&self) -> u64 {
        self.batch.uses.values().map(|uses| uses.counts.sum()).sum()
    }

    /// Hands the batch to the control side if it takes it now, or keeps it.
    pub(super) fn hand_over(&mut self) {
        if self.batch.uses.is_empty() {
            return;
        }
        if let Ok(place) = self.batches.try_reserve() {
            let uses = UseMap::with_capacity_and_hasher(self.batch.uses.len(), BuildHasherDefault::default());
            let uses = std::mem::replace(&mut self.batch.uses, uses);
            let scopes = Arc::clone(&self.batch.scopes);
            place.send(UsageBatch { hour: self.batch.hour, uses, scopes });
        }
    }
}

impl Uses {
    fn last_use(&self) -> Option<LastUse> {
        self.last_used.map(|(ms, client)| LastUse { at: timestamp(ms), client })
    }

    fn count(&mut self, outcome: &RequestOutcome, needed: ScopeSet, now_ms: i64) {
        self.counts.count(outcome);
        if !needed.is_empty() {
            (self.needed, self.needed_ms) = (self.needed.union(needed), now_ms);
        }
        match outcome.end_for_key() {
            End::Refused(_) => self.last_refused_ms = Some(now_ms),
            End::Forwarded | End::Answered | End::Permitted | End::Aborted(_) | End::Cut(_) => {
                self.last_used = Some((now_ms, outcome.client));
            }
        }
    }
}

impl Hash for KeyUse {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.id.as_bytes());
        state.write_u8(self.secret as u8);
    }
}

/// Multiply and rotate over words of eight bytes: ids are the operator's, so nobody can choose them to collide.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(23) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

/// What is known of the uses of every key; the control side keeps it in the `state:` folder as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageTotals {
    /// Since when uses are recorded.
    pub since: Timestamp,
    /// By key id.
    pub keys: BTreeMap<String, KeyUsage>,
}

/// The uses of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyUsage {
    /// The mark of the secret that is counted as current.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Of its newest secret.
    pub current: SecretUsage,
    /// Of the secret before, while a rotation overlaps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<SecretUsage>,
    /// The scopes that its requests needed, those among them that others imply, and when it last needed each.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scopes: BTreeMap<String, Timestamp>,
}

impl KeyUsage {
    /// Notes that a request needed `scope` at `at`. Of too many scopes the one that was not needed for longest goes.
    pub fn need(&mut self, scope: &str, at: Timestamp) {
        if let Some(last) = self.scopes.get_mut(scope) {
            *last = at.max(*last);
            return;
        }
        self.scopes.insert(scope.to_owned(), at);
        while self.scopes.len() > SCOPES_KEPT {
            let oldest = self.scopes.iter().min_by_key(|(_, at)| **at).map(|(scope, _)| scope.clone());
            oldest.and_then(|oldest| self.scopes.remove(&oldest));
        }
    }

    /// When the key was last used with either secret, and from where; what was refused is no use.
    pub fn last_used(&self) -> Option<LastUse> {
        [self.previous.as_ref(), Some(&self.current)]
            .into_iter()
            .flatten()
            .filter_map(|secret| secret.last_used)
            .max_by_key(|used| used.at)
    }
}

/// The secrets of a key, each by a mark that tells it from others and nothing else about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretMarks {
    /// The newest.
    pub current: String,
    /// The one before, while a rotation overlaps.
    pub previous: Option<String>,
}

/// When and from where.
#[derive(utoipa::ToSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// The client's address.
    #[schema(value_type = String)]
    pub client: IpAddr,
}

/// The uses of one secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretUsage {
    /// The last use that was not refused.
    pub last_used: Option<LastUse>,
    /// When it was last refused.
    pub last_refused: Option<Timestamp>,
    /// Since recording began.
    pub total: UseCounts,
    /// The last 48 hours in which there was any, oldest first.
    pub hours: VecDeque<HourUsage>,
}

/// The uses within one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourUsage {
    /// The hour's beginning.
    pub start: Timestamp,
    /// How often, by outcome.
    pub counts: UseCounts,
}

impl UsageTotals {
    /// Nothing yet.
    pub fn new(since: Timestamp) -> Self {
        Self { since, keys: BTreeMap::new() }
    }

    /// Adds what a worker recorded, in any order of batches.
    pub fn add(&mut self, batch: &UsageBatch) {
        let start = timestamp(batch.hour.saturating_mul(MS_PER_HOUR));
        for (key, uses) in &batch.uses {
            let usage = self.keys.entry(key.id.as_str().to_owned()).or_default();
            let secret = match key.secret {
                SecretSlot::Current => &mut usage.current,
                SecretSlot::Previous => usage.previous.get_or_insert_default(),
            };
            secret.add(start, uses);
        }
        for (key, scope, at) in batch.needed_scopes() {
            if let Some(usage) = self.keys.get_mut(key) {
                usage.need(scope, at);
            }
        }
    }

    /// Notes which secrets the counts are of, for keys that were not counted before.
    pub fn identify(&mut self, keys: &BTreeMap<String, SecretMarks>) {
        for (id, usage) in &mut self.keys {
            if usage.secret.is_none() {
                usage.secret = keys.get(id).map(|marks| marks.current.clone());
            }
        }
    }

    /// From now on the keys have these secrets: the counts of one that was rotated, or whose overlap is over, follow.
    pub fn follow(&mut self, keys: &BTreeMap<String, SecretMarks>) {
        self.identify(keys);
        for (id, marks) in keys {
            let Some(usage) = self.keys.get_mut(id) else { continue };
            let counted = usage.secret.replace(marks.current.clone());
            let has_new_secret = counted.as_ref() != Some(&marks.current);
            if has_new_secret || marks.previous.is_none() {
                self.rotation_ended(id);
            }
            if has_new_secret && marks.previous == counted {
                self.rotated(id);
            }
        }
    }

    /// The key `id` was given a new secret: what was counted as current is now of the previous one.
    fn rotated(&mut self, id: &str) {
        if let Some(usage) = self.keys.get_mut(id) {
            usage.previous = Some(std::mem::take(&mut usage.current));
        }
    }

    /// The overlap of the key `id` is over: what was counted apart is added to the key's total.
    fn rotation_ended(&mut self, id: &str) {
        if let Some(usage) = self.keys.get_mut(id)
            && let Some(previous) = usage.previous.take()
        {
            usage.current.total.add(previous.total);
            let used = [usage.current.last_used, previous.last_used];
            usage.current.last_used = used.into_iter().flatten().max_by_key(|used| used.at);
            for hour in previous.hours {
                usage.current.add_hour(hour.start, hour.counts);
            }
        }
    }

    /// Forgets keys that are no longer there.
    pub fn retain(&mut self, known: impl Fn(&str) -> bool) {
        self.keys.retain(|id, _| known(id));
    }
}

impl SecretUsage {
    fn add(&mut self, start: Timestamp, uses: &Uses) {
        self.last_used = [self.last_used, uses.last_use()].into_iter().flatten().max_by_key(|used| used.at);
        self.last_refused = self.last_refused.max(uses.last_refused_ms.map(timestamp));
        self.total.add(uses.counts);
        self.add_hour(start, uses.counts);
    }

    fn add_hour(&mut self, start: Timestamp, counts: UseCounts) {
        match self.hours.binary_search_by_key(&start, |hour| hour.start) {
            Ok(at) => self.hours[at].counts.add(counts),
            Err(at) => self.hours.insert(at, HourUsage { start, counts }),
        }
        while self.hours.len() > HOURS_KEPT {
            self.hours.pop_front();
        }
    }
}

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

#[cfg(test)]
mod tests;
