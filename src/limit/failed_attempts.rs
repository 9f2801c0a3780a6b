//! Attempts with bad keys, by address, in a table of one size: 8,192 rows of eight places, 512 KiB.
//!
//! A place is one atomic number: twenty bits that tell addresses of a row apart, and the time at which the address is clear
//! again. Where to look is told by a hash with a key of this process, so that nobody can choose whom they meet. In a full row
//! the address that is clear soonest is forgotten: so a flood of addresses makes some of them be answered too well, and never
//! one that has done nothing be refused, but for one in about 130,000 that shares those bits with another of its row.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::policy::plan::Quota;

const ROWS: usize = 8_192;
const PLACES: usize = 8;
/// Nanoseconds in a unit of the times that are kept: 55 years fit into the bits.
const TICK_NS: u64 = 100_000;
const TIME_BITS: u32 = 44;
/// So often a place is tried for that others write too; then the attempt is not counted.
const TRIES: usize = 8;

/// Who failed of late.
#[derive(Debug)]
pub struct FailedAttempts {
    rows: Box<[Row]>,
    hash: RandomState,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Row([AtomicU64; PLACES]);

impl Default for FailedAttempts {
    fn default() -> Self {
        Self { rows: (0..ROWS).map(|_| Row::default()).collect(), hash: RandomState::new() }
    }
}

impl FailedAttempts {
    /// Counts an attempt of `client` that failed at `now_ns`, if it is within `quota`. Else the nanoseconds until one is. All of
    /// an IPv6 network of 64 bits counts as one client. Cost: a hash and two cache misses.
    ///
    /// # Errors
    /// The nanoseconds until an attempt is within the quota.
    pub fn count(&self, client: IpAddr, now_ns: u64, quota: &Quota) -> Result<(), u64> {
        let hash = self.hash.hash_one(network(client));
        let row = &self.rows[usize::try_from(hash).unwrap_or(usize::MAX) % ROWS];
        let tag = hash >> TIME_BITS << TIME_BITS;
        let now = now_ns / TICK_NS;
        let interval = quota.interval_ns().div_ceil(TICK_NS);
        let tolerance = interval * u64::from(quota.burst());
        for _ in 0..TRIES {
            let (place, found, used) = row.find(tag, now);
            let used = used.min(tolerance);
            if used + interval > tolerance {
                return Err((used + interval - tolerance) * TICK_NS);
            }
            let next = tag | time(now + used + interval);
            if place.compare_exchange_weak(found, next, Relaxed, Relaxed).is_ok() {
                break;
            }
        }
        Ok(())
    }
}

impl Row {
    /// The place of `tag`, or the one that is clear soonest; what is there; and for how long after `now` the tag is not clear.
    fn find(&self, tag: u64, now: u64) -> (&AtomicU64, u64, u64) {
        let mut soonest = (&self.0[0], u64::MAX);
        for place in &self.0 {
            let found = place.load(Relaxed);
            if found & !time(u64::MAX) == tag {
                return (place, found, time(found).saturating_sub(now));
            }
            if time(found) < time(soonest.1) || soonest.1 == u64::MAX {
                soonest = (place, found);
            }
        }
        (soonest.0, soonest.1, 0)
    }
}

fn time(of: u64) -> u64 {
    of & ((1 << TIME_BITS) - 1)
}

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits.
fn network(client: IpAddr) -> (bool, u64) {
    match client.to_canonical() {
        IpAddr::V4(address) => (true, u64::from(u32::from(address))),
        IpAddr::V6(address) => (false, (u128::from(address) >> 64) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::plan::Rate;

    const SECOND: u64 = 1_000_000_000;

    fn quota() -> Quota {
        Quota::new(Rate::parse("1/s").unwrap(), Some(3)).unwrap()
    }

    fn admitted(failed: &FailedAttempts, client: &str, now_ns: u64) -> usize {
        (0..10).filter(|_| failed.count(client.parse().unwrap(), now_ns, &quota()).is_ok()).count()
    }

    #[test]
    fn an_address_has_a_burst_and_then_the_rate() {
        let failed = FailedAttempts::default();
        assert_eq!(admitted(&failed, "192.0.2.1", SECOND), 3);
        assert_eq!(failed.count("192.0.2.1".parse().unwrap(), SECOND, &quota()), Err(SECOND));
        assert_eq!(admitted(&failed, "192.0.2.1", 3 * SECOND), 2);
        assert_eq!(admitted(&failed, "192.0.2.2", 3 * SECOND), 3);
        assert_eq!(admitted(&failed, "192.0.2.1", 60 * SECOND), 3);
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_a_mapped_address_that_of_ipv4() {
        let failed = FailedAttempts::default();
        assert_eq!(admitted(&failed, "2001:db8:1:2::1", SECOND), 3);
        assert_eq!(admitted(&failed, "2001:db8:1:2:ffff::9", SECOND), 0);
        assert_eq!(admitted(&failed, "2001:db8:1:3::1", SECOND), 3);
        assert_eq!(admitted(&failed, "192.0.2.7", SECOND), 3);
        assert_eq!(admitted(&failed, "::ffff:192.0.2.7", SECOND), 0);
    }

    #[test]
    fn in_a_full_row_the_address_that_is_clear_soonest_is_forgotten() {
        let row = Row::default();
        let tag = |number: u64| number << TIME_BITS;
        for number in 1..=8 {
            let (place, ..) = row.find(tag(number), 0);
            place.store(tag(number) + 100 + number, Relaxed);
        }
        let (place, found, used) = row.find(tag(9), 50);
        assert_eq!((found, used), (tag(1) + 101, 0));
        place.store(tag(9) + 500, Relaxed);
        assert_eq!(row.find(tag(2), 50).2, 52);
        assert_eq!(row.find(tag(9), 50).2, 450);
    }
}
