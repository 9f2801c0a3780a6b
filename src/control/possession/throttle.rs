//! How often keys may be reported: from one address, and from all of them. Each is a theoretical arrival time (GCRA):
//! the instant until which what was taken fills the rate.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Addresses that are known at once; beyond that, only the rate of all counts.
const ADDRESSES_MAX: usize = 10_000;

/// How much is let through.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// In the long run, one in so long.
    every: Duration,
    /// At once, so many.
    burst: u32,
}

const OF_ADDRESS: Rate = Rate { every: Duration::from_secs(2), burst: 20 };
const OF_ALL: Rate = Rate { every: Duration::from_millis(20), burst: 200 };

/// Counts reports.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    all: Option<Instant>,
    /// `None` is a Unix socket.
    addresses: HashMap<Option<IpAddr>, Instant>,
}

impl Throttle {
    /// Lets one report from `address` through, or tells how long to wait.
    pub(super) fn admit(&mut self, address: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let network = address.map(network);
        if !self.addresses.contains_key(&network) && self.addresses.len() >= ADDRESSES_MAX {
            self.addresses.retain(|_, full_until| *full_until > now);
        }
        let has_room = self.addresses.contains_key(&network) || self.addresses.len() < ADDRESSES_MAX;
        let of_address = OF_ADDRESS.take(self.addresses.get(&network).copied(), now)?;
        self.all = Some(OF_ALL.take(self.all, now)?);
        if has_room {
            self.addresses.insert(network, of_address);
        }
        Ok(())
    }
}

impl Rate {
    /// Until when the rate is full once one more was let through, where it was full until `full_until`.
    fn take(self, full_until: Option<Instant>, now: Instant) -> Result<Instant, Duration> {
        let next = full_until.map_or(now, |until| until.max(now)) + self.every;
        let wait = next.saturating_duration_since(now + self.every * self.burst);
        if wait.is_zero() { Ok(next) } else { Err(wait) }
    }
}

/// What counts as one address: of IPv6 the /64, which one customer has to himself (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..OF_ADDRESS.burst {
            assert_eq!(throttle.admit(Some(address(1)), start), Ok(()));
        }
        assert_eq!(throttle.admit(Some(address(1)), start), Err(OF_ADDRESS.every));
        assert_eq!(throttle.admit(Some(address(2)), start), Ok(()), "others are not held back");
        assert_eq!(throttle.admit(Some(address(1)), start + OF_ADDRESS.every), Ok(()));
        assert!(throttle.admit(Some(address(1)), start + OF_ADDRESS.every).is_err());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let host = |number: u128| Some(Ipv6Addr::from_bits((0x2001_0db8 << 96) + number).into());
        for number in 0..u128::from(OF_ADDRESS.burst) {
            assert_eq!(throttle.admit(host(number), start), Ok(()));
        }
        assert!(throttle.admit(host(1 << 60), start).is_err());
        assert_eq!(throttle.admit(host(1 << 64), start), Ok(()));
    }

    #[test]
    fn all_addresses_together_have_a_rate_and_bounded_memory() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        for number in 0..OF_ALL.burst {
            assert_eq!(throttle.admit(Some(address(number)), now), Ok(()));
        }
        assert_eq!(throttle.admit(Some(address(9_999_999)), now), Err(OF_ALL.every));
        for number in 0..30_000 {
            now += OF_ALL.every;
            assert_eq!(throttle.admit(Some(address(number + 1_000)), now), Ok(()));
            assert!(throttle.addresses.len() <= ADDRESSES_MAX);
        }
    }
}
