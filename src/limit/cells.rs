//! One cell for each key that is limited and in use. A cell that is full and idle knows nothing that a new one does not, so
//! that it may go at any time: there are never more than keys that asked of late.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    time::Instant,
};

use super::{
    failed_attempts::FailedAttempts,
    gcra::{Bucket, Pace},
    share::Share,
};
use crate::{
    clock,
    policy::{
        plan::{PlanIndex, Quota},
        principal::KeyIdText,
    },
};

/// Parts of the map: whoever looks through one holds nobody up who needs another.
const PARTS: usize = 32;
/// With fewer cells in a part than this nobody looks for idle ones.
const CELLS_SWEPT: usize = 64;

/// The limits of one process: cheap to clone, all clones are one.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// What times are counted from.
    began: Instant,
    cells: [Mutex<Cells>; PARTS],
    hash: RandomState,
    fleet_share: AtomicU32,
    failed_attempts: FailedAttempts,
}

struct Cells {
    of_keys: HashMap<KeyIdText, Arc<KeyCell>>,
    sweep_at: usize,
}

impl Default for Cells {
    fn default() -> Self {
        Self { of_keys: HashMap::new(), sweep_at: CELLS_SWEPT }
    }
}

impl fmt::Debug for Cells {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cells").field("len", &self.of_keys.len()).finish_non_exhaustive()
    }
}

/// What one key has used and what of it is under way. A cache line of its own, since several workers write it.
#[derive(Debug)]
#[repr(align(64))]
pub struct KeyCell {
    bucket: Bucket,
    under_way: AtomicU32,
    /// Requests that asked since the last [`Limits::demands`], refused ones too; counted in a fleet only.
    asked: AtomicU32,
    /// Those of them that were refused since too many were under way.
    crowded: AtomicU32,
    /// [`Share::parts`]; 0: that of the fleet.
    rate_share: AtomicU32,
    concurrent_share: AtomicU32,
    plan: AtomicU8,
    id: KeyIdText,
}

/// A request under way, counted until this is dropped.
#[derive(Debug)]
pub struct Hold(Arc<KeyCell>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

/// What a key asked for on this replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// The key.
    pub key: KeyIdText,
    /// The plan it was last held to.
    pub plan: PlanIndex,
    /// Requests since the last time.
    pub asked: u32,
    /// Requests under way, and those that were refused since as many were.
    pub at_once: u32,
}

/// A key's shares of its limits on this replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyShares {
    /// Of the rate and its burst.
    pub rate: Share,
    /// Of the requests at once.
    pub concurrent: Share,
}

impl Default for Limits {
    fn default() -> Self {
        Self(Arc::new(Shared {
            began: clock::monotonic(),
            cells: Default::default(),
            hash: RandomState::new(),
            fleet_share: AtomicU32::new(Share::WHOLE.parts()),
            failed_attempts: FailedAttempts::default(),
        }))
    }
}

impl Limits {
    /// Nanoseconds of the clock that cells count by.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(clock::monotonic().saturating_duration_since(self.0.began).as_nanos())
            .unwrap_or(u64::MAX)
    }

    /// The cell of the key `id`, made at the first call. Cost: a lock and a look-up; a worker keeps what it got.
    pub fn cell(&self, id: KeyIdText) -> Arc<KeyCell> {
        let mut cells = self.part(id);
        if let Some(cell) = cells.of_keys.get(&id) {
            return Arc::clone(cell);
        }
        if cells.of_keys.len() >= cells.sweep_at {
            let now_ns = self.now_ns();
            // Nobody else can get hold of one while this is locked.
            cells.of_keys.retain(|_, cell| Arc::strong_count(cell) > 1 || !cell.is_idle(now_ns));
            cells.sweep_at = (2 * cells.of_keys.len()).max(CELLS_SWEPT);
        }
        let cell = Arc::new(KeyCell::new(id));
        cells.of_keys.insert(id, Arc::clone(&cell));
        cell
    }

    /// Attempts that failed, by address.
    pub fn failed_attempts(&self) -> &FailedAttempts {
        &self.0.failed_attempts
    }

    /// The share of every limit that this replica has where nothing else is said of the key.
    pub fn fleet_share(&self) -> Share {
        Share::from_parts(self.0.fleet_share.load(Relaxed))
    }

    /// From now on this replica has such a share of every limit.
    pub fn set_fleet_share(&self, share: Share) {
        self.0.fleet_share.store(share.parts(), Relaxed);
    }

    /// What keys asked for since this was last called.
    pub fn demands(&self) -> Vec<Demand> {
        let demands = |part| lock(part).of_keys.values().map(|cell| cell.demand()).collect::<Vec<_>>();
        self.0.cells.iter().flat_map(demands).collect()
    }

    /// From now on this replica has such shares of the limits of the key `id`; `None`: those of the fleet. `quota` is that of
    /// the key, if it was asked for.
    pub fn set_shares(&self, id: KeyIdText, shares: Option<KeyShares>, quota: Option<Quota>) {
        let (rate, concurrent) =
            shares.map_or((0, 0), |shares| (shares.rate.parts(), shares.concurrent.parts()));
        let cell = match shares {
            Some(_) => self.cell(id),
            None => match self.part(id).of_keys.get(&id) {
                Some(cell) => Arc::clone(cell),
                None => return,
            },
        };
        let fleet_share = self.fleet_share();
        let before = quota.map(|quota| cell.pace(&quota, fleet_share));
        cell.rate_share.store(rate, Relaxed);
        if let Some((quota, before)) = quota.zip(before) {
            cell.bucket.hasten(self.now_ns(), before, cell.pace(&quota, fleet_share));
        }
        cell.concurrent_share.store(concurrent, Relaxed);
    }

    fn part(&self, id: KeyIdText) -> MutexGuard<'_, Cells> {
        let hash = usize::try_from(self.0.hash.hash_one(id)).unwrap_or_default();
        lock(&self.0.cells[hash % PARTS])
    }
}

/// The lock, also where a thread panicked while it held it: counts stay counts.
fn lock(part: &Mutex<Cells>) -> MutexGuard<'_, Cells> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KeyCell {
    fn new(id: KeyIdText) -> Self {
        Self {
            bucket: Bucket::default(),
            under_way: AtomicU32::new(0),
            asked: AtomicU32::new(0),
            crowded: AtomicU32::new(0),
            rate_share: AtomicU32::new(0),
            concurrent_share: AtomicU32::new(0),
            plan: AtomicU8::new(0),
            id,
        }
    }

    /// Whether it is that of the key `id`.
    pub fn is_of(&self, id: KeyIdText) -> bool {
        self.id == id
    }

    /// Notes a request under `plan`, for [`Limits::demands`].
    pub fn ask(&self, plan: PlanIndex) {
        self.plan.store(plan.as_u8(), Relaxed);
        self.asked.fetch_add(1, Relaxed);
    }

    /// Takes one request of `quota`, of which every replica has `fleet_share` where nothing else is said of this key; the
    /// nanoseconds until all is there again.
    ///
    /// # Errors
    /// The nanoseconds until one would be taken; nothing was.
    pub fn take(&self, now_ns: u64, quota: &Quota, fleet_share: Share) -> Result<u64, u64> {
        self.bucket.take(now_ns, self.pace(quota, fleet_share))
    }

    /// The nanoseconds until all of `quota` is there.
    pub fn used_ns(&self, now_ns: u64, quota: &Quota, fleet_share: Share) -> u64 {
        self.bucket.used_ns(now_ns, self.pace(quota, fleet_share))
    }

    /// Counts one more request under way, if fewer than this replica's share of `most` are.
    pub fn enter(self: &Arc<Self>, most: u32, fleet_share: Share) -> Option<Hold> {
        let most = share_or(&self.concurrent_share, fleet_share).of_number(most);
        let one_more = |under_way: u32| (under_way < most).then_some(under_way + 1);
        let entered = self.under_way.fetch_update(Relaxed, Relaxed, one_more).is_ok();
        if !entered {
            self.crowded.fetch_add(1, Relaxed);
        }
        entered.then(|| Hold(Arc::clone(self)))
    }

    /// Requests under way.
    pub fn under_way(&self) -> u32 {
        self.under_way.load(Relaxed)
    }

    /// Whether it knows no more than a new one.
    pub fn is_idle(&self, now_ns: u64) -> bool {
        self.bucket.is_full(now_ns)
            && self.under_way() == 0
            && self.rate_share.load(Relaxed) == 0
            && self.concurrent_share.load(Relaxed) == 0
    }

    fn pace(&self, quota: &Quota, fleet_share: Share) -> Pace {
        Pace::of(quota, share_or(&self.rate_share, fleet_share))
    }

    fn demand(&self) -> Demand {
        let crowded = self.crowded.swap(0, Relaxed);
        Demand {
            key: self.id,
            plan: PlanIndex::from_u8(self.plan.load(Relaxed)),
            asked: self.asked.swap(0, Relaxed),
            at_once: self.under_way().saturating_add(crowded),
        }
    }
}

fn share_or(own: &AtomicU32, fleet_share: Share) -> Share {
    match own.load(Relaxed) {
        0 => fleet_share,
        parts => Share::from_parts(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::plan::Rate;

    fn id(number: usize) -> KeyIdText {
        KeyIdText::from(&format!("k{number}")).unwrap()
    }

    #[test]
    fn idle_cells_go_and_others_stay() {
        let limits = Limits::default();
        let quota = Quota::new(Rate::parse("1/h").unwrap(), None).unwrap();
        let busy = limits.cell(id(0));
        let hold = busy.enter(1, Share::WHOLE).unwrap();
        limits.cell(id(1)).take(limits.now_ns(), &quota, Share::WHOLE).unwrap();
        for number in 2..10_000 {
            limits.cell(id(number));
        }
        let known = |number| limits.part(id(number)).of_keys.contains_key(&id(number));
        assert!(known(0) && known(1) && known(9_999));
        assert!((0..10_000).filter(|number| known(*number)).count() <= 2 * PARTS * CELLS_SWEPT);
        assert!(busy.enter(1, Share::WHOLE).is_none());
        drop(hold);
        assert!(limits.cell(id(0)).enter(1, Share::WHOLE).is_some());
    }

    #[test]
    fn a_request_under_way_is_counted_until_it_is_dropped() {
        let cell = Limits::default().cell(id(1));
        let holds: Vec<_> = (0..3).map(|_| cell.enter(3, Share::WHOLE).unwrap()).collect();
        assert!(cell.enter(3, Share::WHOLE).is_none());
        assert_eq!(cell.under_way(), 3);
        drop(holds);
        assert_eq!(cell.under_way(), 0);
        assert_eq!(cell.demand().at_once, 1, "one was turned away");
    }

    #[test]
    fn shares_of_a_key_come_before_those_of_the_fleet() {
        let limits = Limits::default();
        let cell = limits.cell(id(1));
        let entered = |fleet| (0..).map_while(|_| cell.enter(8, fleet)).collect::<Vec<_>>().len();
        assert_eq!(entered(Share::of(1, 2)), 4);
        let shares = KeyShares { rate: Share::of(1, 8), concurrent: Share::of(1, 8) };
        limits.set_shares(id(1), Some(shares), None);
        assert_eq!(entered(Share::of(1, 2)), 1);
        assert!(!cell.is_idle(0));
        limits.set_shares(id(1), None, None);
        assert_eq!(entered(Share::WHOLE), 8);
        assert!(cell.is_idle(0));
    }
}
