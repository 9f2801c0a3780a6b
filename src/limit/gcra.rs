//! The generic cell rate algorithm (ITU-T I.371, annex A) in one atomic: a bucket that holds only the time at which it will be
//! full again. Exact, without a timer, without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::share::Share;
use crate::policy::plan::Quota;

/// One bucket. Times are nanoseconds of one clock that never goes back, the same for everybody who asks.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

/// How fast a bucket fills and how much it holds, in nanoseconds: a [`Quota`], or a replica's share of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    interval_ns: u64,
    tolerance_ns: u64,
}

impl Pace {
    /// `share` of `quota`: so much of its rate and of its burst, but one request at once at least.
    pub fn of(quota: &Quota, share: Share) -> Self {
        let interval_ns = share.stretch(quota.interval_ns());
        Self { interval_ns, tolerance_ns: quota.refill_ns().max(interval_ns) }
    }
}

impl Bucket {
    /// Takes one request at `now_ns`; then the nanoseconds until the bucket is full again. In any time t this succeeds at most
    /// burst + t × rate times. Cost: one compare-and-swap; another for each worker that came in between.
    ///
    /// # Errors
    /// The nanoseconds until one would be taken; nothing was.
    pub fn take(&self, now_ns: u64, pace: Pace) -> Result<u64, u64> {
        let Pace { interval_ns, tolerance_ns } = pace;
        let mut full_at = self.0.load(Relaxed);
        loop {
            // What is emptier than this pace permits was left by a plan that permitted more: it counts as empty.
            let used = full_at.saturating_sub(now_ns).min(tolerance_ns);
            let taken = used + interval_ns;
            let (next, outcome) = if taken <= tolerance_ns {
                (now_ns + taken, Ok(taken))
            } else {
                (full_at.min(now_ns + used), Err(taken - tolerance_ns))
            };
            if next == full_at {
                return outcome;
            }
            match self.0.compare_exchange_weak(full_at, next, Relaxed, Relaxed) {
                Ok(_) => return outcome,
                Err(found) => full_at = found,
            }
        }
    }

    /// What is free in it goes on as so many requests, where it was filled at one pace and is now at a faster one: a share that
    /// grows brings no burst along.
    pub fn hasten(&self, now_ns: u64, from: Pace, to: Pace) {
        let hastened = |full_at: u64| {
            let free = from.tolerance_ns - full_at.saturating_sub(now_ns).min(from.tolerance_ns);
            let free = u128::from(free) * u128::from(to.interval_ns) / u128::from(from.interval_ns.max(1));
            let free = u64::try_from(free).unwrap_or(u64::MAX).min(to.tolerance_ns);
            (to.interval_ns < from.interval_ns).then(|| now_ns + (to.tolerance_ns - free))
        };
        // Where the pace is no faster, it stays as it is.
        let _ = self.0.fetch_update(Relaxed, Relaxed, hastened);
    }

    /// The nanoseconds from `now_ns` until the bucket is full again.
    pub fn used_ns(&self, now_ns: u64, pace: Pace) -> u64 {
        self.0.load(Relaxed).saturating_sub(now_ns).min(pace.tolerance_ns)
    }

    /// Whether the bucket is full at `now_ns`, as a new one is.
    pub fn is_full(&self, now_ns: u64) -> bool {
        self.0.load(Relaxed) <= now_ns
    }
}

/// How many requests of `quota` pass at once where the bucket is full again in `used_ns`.
pub fn remaining(quota: &Quota, used_ns: u64) -> u32 {
    let free = quota.refill_ns().saturating_sub(used_ns) / quota.interval_ns();
    u32::try_from(free).unwrap_or(u32::MAX)
}

/// Whole seconds, rounded up.
pub fn seconds(nanoseconds: u64) -> u32 {
    u32::try_from(nanoseconds.div_ceil(1_000_000_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use governor::{
        clock::FakeRelativeClock,
        middleware::NoOpMiddleware,
        state::{InMemoryState, NotKeyed},
    };
    use proptest::prelude::*;

    use super::{
        super::share::{Claim, claim, equal},
        *,
    };
    use crate::policy::plan::Rate;

    type Oracle = governor::RateLimiter<
        NotKeyed,
        InMemoryState,
        FakeRelativeClock,
        NoOpMiddleware<<FakeRelativeClock as governor::clock::Clock>::Instant>,
    >;

    fn quota(rate: &str, burst: u32) -> Quota {
        Quota::new(Rate::parse(rate).unwrap(), Some(burst)).unwrap()
    }

    fn whole(quota: &Quota) -> Pace {
        Pace::of(quota, Share::WHOLE)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let quota = quota("10/s", 3);
        let bucket = Bucket::default();
        let start = 5_000_000_000;
        let at = |ms: u64| bucket.take(start + ms * 1_000_000, whole(&quota));
        assert_eq!([at(0), at(0), at(0)], [Ok(100_000_000), Ok(200_000_000), Ok(300_000_000)]);
        assert_eq!(at(0), Err(100_000_000));
        assert_eq!(at(40), Err(60_000_000));
        assert_eq!(at(100), Ok(300_000_000));
        assert_eq!(at(100), Err(100_000_000));
        assert_eq!(at(10_000), Ok(100_000_000));
        assert_eq!(remaining(&quota, 100_000_000), 2);
    }

    #[test]
    fn another_plan_applies_at_once() {
        let bucket = Bucket::default();
        let (slow, fast) = (quota("1/h", 10), quota("10/s", 2));
        let now = 1_000;
        while bucket.take(now, whole(&slow)).is_ok() {}
        assert_eq!(bucket.take(now, whole(&fast)), Err(100_000_000));
        assert!(bucket.take(now + 100_000_000, whole(&fast)).is_ok());
        assert!(
            bucket.take(now + 100_000_001, whole(&slow)).is_ok(),
            "what was used is no more than the fast plan had"
        );
    }

    #[test]
    fn a_share_fills_as_much_slower_and_passes_one_at_least() {
        let quota = quota("10/s", 2);
        let pace = Pace::of(&quota, Share::of(1, 10));
        let bucket = Bucket::default();
        assert_eq!(bucket.take(0, pace), Ok(1_000_000_000));
        assert_eq!(bucket.take(999_999_999, pace), Err(1));
        assert!(bucket.take(1_000_000_000, pace).is_ok());
    }

    #[test]
    fn a_share_that_grows_brings_no_burst_along() {
        let quota = quota("100/s", 100);
        let (little, much) = (Pace::of(&quota, Share::of(1, 10)), Pace::of(&quota, Share::WHOLE));
        let bucket = Bucket::default();
        let now = 1_000_000_000;
        bucket.hasten(now, little, much);
        assert_eq!((0..200).filter(|_| bucket.take(now, much).is_ok()).count(), 10);
        bucket.hasten(now, much, little);
        assert!(bucket.take(now, little).is_err());
    }

    proptest! {
        /// Whatever the times: what governor admits, and nothing else.
        #[test]
        fn governor_says_the_same(
            count in 1..2_000u32,
            burst in 1..50u32,
            steps in prop::collection::vec(0..40_000_000u64, 1..300),
        ) {
            let quota = quota(&format!("{count}/s"), burst);
            let clock = FakeRelativeClock::default();
            let period = Duration::from_nanos(quota.interval_ns());
            let allowed = governor::Quota::with_period(period).unwrap().allow_burst(NonZeroU32::new(burst).unwrap());
            let oracle: Oracle = governor::RateLimiter::direct_with_clock(allowed, clock.clone());
            let bucket = Bucket::default();
            let mut now = 0;
            for step in steps {
                now += step;
                clock.advance(Duration::from_nanos(step));
                prop_assert_eq!(bucket.take(now, whole(&quota)).is_ok(), oracle.check().is_ok());
            }
        }

        /// In no window more than burst + rate × its length.
        #[test]
        fn no_window_admits_too_much(
            count in 1..1_000u32,
            burst in 1..20u32,
            parts in 1..5u32,
            steps in prop::collection::vec(0..30_000_000u64, 1..200),
        ) {
            let quota = quota(&format!("{count}/s"), burst);
            let pace = Pace::of(&quota, Share::of(1, parts));
            let bucket = Bucket::default();
            let mut now = 0;
            let mut admitted = Vec::new();
            for step in steps {
                now += step;
                if bucket.take(now, pace).is_ok() {
                    admitted.push(now);
                }
            }
            for (first, from) in admitted.iter().enumerate() {
                for (last, to) in admitted.iter().enumerate().skip(first) {
                    let most = (to - from + pace.tolerance_ns) / pace.interval_ns;
                    prop_assert!((last - first + 1) as u64 <= most);
                }
            }
        }
    }

    /// Replicas with a bucket each, which divide one limit as the gateway does: every 40 steps each has its turn.
    struct Fleet {
        quota: Quota,
        buckets: Vec<Bucket>,
        shares: Vec<Share>,
        asked: Vec<u32>,
        demands: Vec<u32>,
    }

    const STEP_NS: u64 = 50_000_000;

    impl Fleet {
        fn new(quota: Quota, replicas: usize) -> Self {
            Self {
                quota,
                buckets: (0..replicas).map(|_| Bucket::default()).collect(),
                shares: vec![equal(replicas); replicas],
                asked: vec![0; replicas],
                demands: vec![0; replicas],
            }
        }

        /// How many of these requests are admitted.
        fn step(&mut self, step: usize, load: &[u32]) -> u64 {
            let now = step as u64 * STEP_NS;
            let mut admitted = 0;
            for (at, count) in load.iter().enumerate() {
                let pace = Pace::of(&self.quota, self.shares[at]);
                self.asked[at] += count;
                admitted += (0..*count).filter(|_| self.buckets[at].take(now, pace).is_ok()).count() as u64;
                if step % 40 == at * 7 {
                    self.turn(at, now);
                }
            }
            admitted
        }

        fn turn(&mut self, at: usize, now: u64) {
            let asked = u64::from(std::mem::take(&mut self.asked[at])) * self.quota.interval_ns();
            let demand = asked * 1_000_000 / (40 * STEP_NS);
            self.demands[at] = u32::try_from(demand).unwrap().max(self.demands[at] / 2);
            let said = self
                .demands
                .iter()
                .zip(&self.shares)
                .map(|(demand, share)| Claim { demand: *demand, share: *share });
            let mut others: Vec<_> = said.collect();
            others.remove(at);
            let (before, after) = (self.shares[at], claim(self.demands[at], &others));
            self.shares[at] = after;
            self.buckets[at].hasten(now, Pace::of(&self.quota, before), Pace::of(&self.quota, after));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However load moves between replicas: all together never admit more than burst + rate × time, and one for each.
        #[test]
        fn a_fleet_never_admits_more_than_its_limit(
            rate in 5..200u32,
            burst in 1..60u32,
            loads in prop::collection::vec(prop::collection::vec(0..20u32, 4), 1..8),
            replicas in 1..5usize,
        ) {
            let quota = quota(&format!("{rate}/s"), burst);
            let mut fleet = Fleet::new(quota, replicas);
            let mut sums = vec![0];
            for step in 0..loads.len() * 100 {
                let admitted = fleet.step(step, &loads[step / 100][..replicas]);
                sums.push(sums[step] + admitted);
            }
            for from in 0..sums.len() {
                for to in from + 1..sums.len() {
                    let time = (to - from - 1) as u64 * STEP_NS;
                    let most = u64::from(burst) + time.div_ceil(quota.interval_ns()) + replicas as u64;
                    prop_assert!(sums[to] - sums[from] <= most, "{} in {time} ns, at most {most}", sums[to] - sums[from]);
                }
            }
        }

        /// Load that stands still, however uneven, is admitted up to nine tenths of the limit at least.
        #[test]
        fn a_fleet_admits_nearly_its_limit(
            loads in prop::collection::vec(0..30u32, 1..5),
        ) {
            let quota = quota("100/s", 100);
            let mut fleet = Fleet::new(quota, loads.len());
            let begun: u64 = (0..200).map(|step| fleet.step(step, &loads)).sum();
            let admitted: u64 = (200..600).map(|step| fleet.step(step, &loads)).sum();
            let sent = 400 * u64::from(loads.iter().sum::<u32>());
            // 400 steps are 20 seconds.
            prop_assert!(admitted * 10 >= 9 * sent.min(2_000), "{admitted} of {sent}, {begun} before: {:?}", fleet.shares);
        }
    }

    #[test]
    fn threads_share_one_bucket_exactly() {
        let quota = quota("1/h", 1_000);
        let bucket = Bucket::default();
        let admitted: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1_000).filter(|_| bucket.take(7, whole(&quota)).is_ok()).count()))
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(admitted, 1_000);
    }
}
