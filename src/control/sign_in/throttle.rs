//! How often somebody may try to sign in: after failures in a row the waits double (OWASP ASVS 5.0 §6.3.1).
//!
//! Failures count thrice: for the name that was typed together with the address, for the name, and for the address. The
//! first is strict. The second is loose and its wait short, and like the third it does not concern who has signed in
//! from that address before, so that a stranger cannot lock an owner out by guessing badly in their name.
//!
//! Names count as they are typed, whether or not they belong to somebody: otherwise what is throttled would tell.
//! Memory is bounded: of each kind [`ENTRIES_MAX`] are known, and the oldest is forgotten for a new one, so that whoever
//! commands more addresses than that is held back by the name alone.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

/// Entries of each kind.
pub const ENTRIES_MAX: usize = 10_000;

/// What is tolerated.
#[derive(Debug, Clone, Copy)]
struct Tolerance {
    /// Failures without a wait.
    free: u32,
    /// The longest wait.
    wait_max: Duration,
    /// One failure is forgotten in so long without a try.
    forgets_one_in: Duration,
}

const NAME_AT_ADDRESS: Tolerance =
    Tolerance { free: 5, wait_max: Duration::from_mins(15), forgets_one_in: Duration::from_mins(15) };

const NAME: Tolerance =
    Tolerance { free: 50, wait_max: Duration::from_mins(1), forgets_one_in: Duration::from_mins(1) };

const ADDRESS: Tolerance =
    Tolerance { free: 20, wait_max: Duration::from_mins(15), forgets_one_in: Duration::from_mins(1) };

/// Who tries, and where from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Try {
    /// The hash of a name, so that what is remembered of a long one is short; `None`: no name is guessed.
    name: Option<[u8; 32]>,
    address: Option<IpAddr>,
}

impl Try {
    /// To sign in as `name`.
    pub fn named(name: &str, address: Option<IpAddr>) -> Self {
        Self { name: Some(Sha256::digest(folded(name)).into()), address: address.map(network) }
    }

    /// With a secret that names nobody: a key or a link.
    pub fn unnamed(address: Option<IpAddr>) -> Self {
        Self { name: None, address: address.map(network) }
    }
}

/// A name as it is looked up: spellings that find the same person are one.
pub fn folded(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}

/// What counts as one address: of IPv6 the /64, which one customer has to himself (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Counts tries.
#[derive(Debug, Default)]
pub struct Throttle {
    names_at_addresses: Bounded<Try>,
    names: Bounded<[u8; 32]>,
    addresses: Bounded<Option<IpAddr>>,
    /// Who signed in from where.
    known: Bounded<Try>,
}

/// Too many tries: how long to wait for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Duration);

impl Throttle {
    /// Lets a try begin, and counts it as a failure until something else is said: those that run at the same time count
    /// for each other.
    ///
    /// # Errors
    /// How long to wait; this try does not count.
    pub fn begin(&mut self, of: Try, now: Timestamp) -> Result<(), Wait> {
        let is_known = self.known.0.contains_key(&of);
        let mut wait = self.names_at_addresses.wait(&of, NAME_AT_ADDRESS, now);
        if !is_known {
            wait = wait.max(self.addresses.wait(&of.address, ADDRESS, now));
            if let Some(name) = &of.name {
                wait = wait.max(self.names.wait(name, NAME, now));
            }
        }
        if !wait.is_zero() {
            return Err(Wait(wait));
        }
        self.names_at_addresses.count(of, NAME_AT_ADDRESS, now);
        self.addresses.count(of.address, ADDRESS, now);
        if let Some(name) = of.name {
            self.names.count(name, NAME, now);
        }
        Ok(())
    }

    /// It went well: failures for the name are forgotten, those of the address stay.
    pub fn succeeded(&mut self, of: Try, now: Timestamp) {
        self.forgive(of);
        self.names_at_addresses.0.remove(&of);
        if let Some(name) = of.name {
            self.names.0.remove(&name);
            self.known.put(of, Failures { count: 0, last: now });
        }
    }

    /// Nobody can say how it went: it does not count.
    pub fn forgive(&mut self, of: Try) {
        self.names_at_addresses.uncount(&of);
        self.addresses.uncount(&of.address);
        if let Some(name) = &of.name {
            self.names.uncount(name);
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Failures {
    /// Those that are not forgotten at `now`.
    fn remembered(self, tolerance: Tolerance, now: Timestamp) -> u32 {
        let forgotten = self.ago(now).as_secs() / tolerance.forgets_one_in.as_secs();
        self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    /// How long ago the last was; no time where the clock was set back.
    fn ago(self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.last)).unwrap_or_default()
    }
}

#[derive(Debug)]
struct Bounded<K>(HashMap<K, Failures>);

impl<K> Default for Bounded<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + Copy> Bounded<K> {
    fn wait(&mut self, key: &K, tolerance: Tolerance, now: Timestamp) -> Duration {
        let Some(failures) = self.0.get_mut(key) else { return Duration::ZERO };
        // Where the clock was set back, nobody waits until it is as late again.
        failures.last = failures.last.min(now);
        let Some(beyond) = failures.remembered(tolerance, now).checked_sub(tolerance.free) else {
            return Duration::ZERO;
        };
        let seconds = 1u64.checked_shl(beyond).unwrap_or(u64::MAX);
        Duration::from_secs(seconds).min(tolerance.wait_max).saturating_sub(failures.ago(now))
    }

    fn count(&mut self, key: K, tolerance: Tolerance, now: Timestamp) {
        let before = self.0.get(&key).map_or(0, |failures| failures.remembered(tolerance, now));
        // No more than makes the longest wait: then forgetting takes effect at once.
        let most = tolerance.free + 10;
        self.put(key, Failures { count: (before + 1).min(most), last: now });
    }

    fn uncount(&mut self, key: &K) {
        if let Some(failures) = self.0.get_mut(key) {
            failures.count = failures.count.saturating_sub(1);
        }
    }

    fn put(&mut self, key: K, failures: Failures) {
        if self.0.len() >= ENTRIES_MAX && !self.0.contains_key(&key) {
            // A walk over all of them costs less than a hundredth of the password that is hashed for it.
            let oldest = self.0.iter().min_by_key(|(_, failures)| failures.last).map(|(key, _)| *key);
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        self.0.insert(key, failures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, ManualClock};

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap())
    }

    fn named(name: &str, address: &str) -> Try {
        Try::named(name, Some(address.parse().unwrap()))
    }

    fn wait(throttle: &mut Throttle, of: Try, clock: &ManualClock) -> u64 {
        throttle.begin(of, clock.now()).err().map_or(0, |Wait(wait)| wait.as_secs())
    }

    #[test]
    fn after_five_failures_the_waits_double_up_to_a_quarter_of_an_hour() {
        let (clock, mut throttle) = (clock(), Throttle::default());
        let ada = named("ada", "192.0.2.1");
        assert_eq!([(); 5].map(|()| wait(&mut throttle, ada, &clock)), [0; 5]);
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900] {
            assert_eq!(wait(&mut throttle, ada, &clock), expected);
            assert_eq!(wait(&mut throttle, ada, &clock), expected, "one that was refused does not count");
            clock.advance_milliseconds(i64::try_from(expected).unwrap() * 1000 - 1);
            assert_eq!(throttle.begin(ada, clock.now()), Err(Wait(Duration::from_millis(1))));
            clock.advance_milliseconds(1);
            assert_eq!(wait(&mut throttle, ada, &clock), 0);
        }
    }

    #[test]
    fn a_success_resets_the_name_but_not_the_address() {
        let (clock, mut throttle) = (clock(), Throttle::default());
        for _ in 0..5 {
            throttle.begin(named("ada", "192.0.2.1"), clock.now()).unwrap();
        }
        for stranger in 0..14 {
            throttle.begin(named(&stranger.to_string(), "192.0.2.1"), clock.now()).unwrap();
        }
        clock.advance_milliseconds(1000);
        let ada = named(" ADA", "192.0.2.1");
        throttle.begin(ada, clock.now()).unwrap();
        throttle.succeeded(ada, clock.now());
        assert_eq!([(); 5].map(|()| wait(&mut throttle, ada, &clock)), [0; 5], "known from here");
        assert_eq!(wait(&mut throttle, named("bob", "192.0.2.1"), &clock), 16, "the address is not");
    }

    #[test]
    fn who_guesses_in_the_name_of_another_does_not_lock_them_out() {
        let (clock, mut throttle) = (clock(), Throttle::default());
        let home = named("ada", "2001:db8::1");
        throttle.begin(home, clock.now()).unwrap();
        throttle.succeeded(home, clock.now());
        for stranger in 0..60u32 {
            let _ = throttle.begin(named("ada", &format!("192.0.2.{stranger}")), clock.now());
        }
        assert_eq!(wait(&mut throttle, home, &clock), 0);
        assert_eq!(wait(&mut throttle, named("ada", "2001:db8::2:3:4:5"), &clock), 0, "the same /64");
        let elsewhere = named("ada", "2001:db8:1::1");
        assert!((1..=60).contains(&wait(&mut throttle, elsewhere, &clock)));
        clock.advance_milliseconds(60_000);
        assert_eq!(wait(&mut throttle, elsewhere, &clock), 0, "elsewhere it takes a minute at most");
    }

    #[test]
    fn one_address_cannot_try_name_after_name() {
        let (clock, mut throttle) = (clock(), Throttle::default());
        for name in 0..20 {
            throttle.begin(named(&name.to_string(), "2001:db8::1"), clock.now()).unwrap();
        }
        assert_eq!(wait(&mut throttle, named("x", "2001:db8::2"), &clock), 1);
        assert_eq!(wait(&mut throttle, Try::unnamed(Some("2001:db8::2".parse().unwrap())), &clock), 1);
        assert_eq!(wait(&mut throttle, named("x", "2001:db8:0:1::2"), &clock), 0);
        clock.advance_milliseconds(20 * 60_000);
        assert_eq!(wait(&mut throttle, named("x", "2001:db8::2"), &clock), 0);
    }

    #[test]
    fn what_nobody_can_tell_does_not_count() {
        let (clock, mut throttle) = (clock(), Throttle::default());
        let ada = named("ada", "::ffff:192.0.2.1");
        for _ in 0..100 {
            throttle.begin(ada, clock.now()).unwrap();
            throttle.forgive(ada);
        }
        assert_eq!(ada, named("Ada ", "192.0.2.1"));
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_waiting() {
        let (clock, mut throttle) = (clock(), Throttle::default());
        let ada = named("ada", "192.0.2.1");
        for _ in 0..5 {
            throttle.begin(ada, clock.now()).unwrap();
        }
        clock.advance_milliseconds(-86_400_000);
        assert_eq!(wait(&mut throttle, ada, &clock), 1);
        clock.advance_milliseconds(1000);
        assert_eq!(wait(&mut throttle, ada, &clock), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes() {
        let (clock, mut throttle) = (clock(), Throttle::default());
        for address in 0..u32::try_from(ENTRIES_MAX).unwrap() + 100 {
            let address = Ipv6Addr::from_bits(u128::from(address) << 64);
            let _ = throttle.begin(Try::named(&address.to_string(), Some(address.into())), clock.now());
            clock.advance_milliseconds(1);
        }
        assert_eq!(throttle.names_at_addresses.0.len(), ENTRIES_MAX);
        assert_eq!((throttle.names.0.len(), throttle.addresses.0.len()), (ENTRIES_MAX, ENTRIES_MAX));
        assert!(!throttle.addresses.0.contains_key(&Some(Ipv6Addr::UNSPECIFIED.into())));
    }
}
