//! What one worker does about limits: it asks the cells that all workers share, and keeps at hand those of the keys it sees.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    net::IpAddr,
    sync::Arc,
};

use super::{
    cells::{Hold, KeyCell, Limits},
    gcra::{remaining, seconds},
    share::Share,
};
use crate::{
    gate::{Allowance, Exceeded, Limiter},
    keys::{digest::KeyDigest, snapshot::Authenticated},
    policy::plan::{Limit, Plan, Quota},
};

/// Keys whose cells a worker keeps at hand; with more it looks for idle ones, and begins anew where there are too few.
const AT_HAND: usize = 65_536;

type CellMap = HashMap<KeyDigest, Arc<KeyCell>, BuildHasherDefault<DigestHasher>>;

/// One worker's way to the limits of the process.
#[derive(Debug)]
pub struct WorkerLimits {
    limits: Limits,
    at_hand: RefCell<CellMap>,
}

impl WorkerLimits {
    /// The way of one worker to `limits`; no key is at hand yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, at_hand: RefCell::default() }
    }

    /// For one request from `client`; attempts that fail are slowed beyond `failed_attempts`.
    pub fn for_request(&self, client: IpAddr, failed_attempts: Option<Quota>) -> RequestLimits<'_> {
        RequestLimits { worker: self, client, failed_attempts, hold: None }
    }

    /// Cost: a look-up; a lock where this worker sees the key for the first time.
    fn with_cell<T>(&self, key: &Authenticated<'_>, use_of: impl FnOnce(&Arc<KeyCell>) -> T) -> T {
        let mut at_hand = self.at_hand.borrow_mut();
        // The secret may have become that of another key.
        if let Some(cell) = at_hand.get(&key.digest).filter(|cell| cell.is_of(key.principal.key_id)) {
            return use_of(cell);
        }
        if at_hand.len() >= AT_HAND {
            let now_ns = self.limits.now_ns();
            at_hand.retain(|_, cell| !cell.is_idle(now_ns));
            if at_hand.len() > AT_HAND / 2 {
                at_hand.clear();
            }
        }
        let cell = self.limits.cell(key.principal.key_id);
        let used = use_of(&cell);
        at_hand.insert(key.digest, cell);
        used
    }
}

/// Counts what one request takes.
#[derive(Debug)]
pub struct RequestLimits<'w> {
    worker: &'w WorkerLimits,
    client: IpAddr,
    failed_attempts: Option<Quota>,
    /// Its place among those under way, until somebody takes it over.
    pub hold: Option<Hold>,
}

impl Limiter for RequestLimits<'_> {
    fn admit(&mut self, key: &Authenticated<'_>, plan: &Plan) -> Result<Option<Allowance>, Exceeded> {
        let limits = &self.worker.limits;
        let share = limits.fleet_share();
        let now_ns = limits.now_ns();
        let (hold, allowance) = self.worker.with_cell(key, |cell| {
            if share != Share::WHOLE {
                cell.ask(plan.index());
            }
            let hold = match plan.concurrent {
                Some(most) => Some(cell.enter(most, share).ok_or_else(|| {
                    let used_ns = plan.quota.map(|quota| cell.used_ns(now_ns, &quota, share));
                    exceeded(plan, Limit::Concurrent, 1, used_ns)
                })?),
                None => None,
            };
            let Some(quota) = plan.quota else { return Ok((hold, None)) };
            match cell.take(now_ns, &quota, share) {
                Ok(used_ns) => Ok((hold, Some(allowance(plan, &quota, used_ns, seconds(used_ns))))),
                Err(wait_ns) => {
                    let used_ns = cell.used_ns(now_ns, &quota, share);
                    Err(exceeded(plan, Limit::Rate, seconds(wait_ns), Some(used_ns)))
                }
            }
        })?;
        self.hold = hold;
        Ok(allowance)
    }

    fn fail(&mut self) -> Option<u32> {
        let quota = self.failed_attempts?;
        let limits = &self.worker.limits;
        limits.failed_attempts().count(self.client, limits.now_ns(), &quota).err().map(seconds)
    }
}

fn allowance(plan: &Plan, quota: &Quota, used_ns: u64, reset_seconds: u32) -> Allowance {
    Allowance { plan: plan.index(), remaining: remaining(quota, used_ns), reset_seconds }
}

fn exceeded(plan: &Plan, limit: Limit, retry_after_seconds: u32, used_ns: Option<u64>) -> Exceeded {
    let retry_after_seconds = retry_after_seconds.max(1);
    let left = plan.quota.zip(used_ns).map(|(quota, used_ns)| {
        let left = allowance(plan, &quota, used_ns, retry_after_seconds);
        // Where only a share of the limit is this replica's, what is left may be another's.
        if limit == Limit::Rate { Allowance { remaining: 0, ..left } } else { left }
    });
    Exceeded { plan: plan.index(), limit, retry_after_seconds, allowance: left }
}

/// A digest is a hash already.
#[derive(Debug, Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(head) = bytes.first_chunk() {
            self.0 ^= u64::from_le_bytes(*head);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
