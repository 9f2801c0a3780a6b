//! How many connections may be open at once: per listener over all workers, and per peer.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;

/// Bounds of one listener.
///
/// The peer limit keeps one stranger from taking the whole listener. It does not count peers that usually stand for
/// many clients: trusted proxies, Unix and loopback peers, and private and link-local networks (RFC 1918, RFC 4193).
/// An IPv6 peer is its /64, the least that one subscriber gets.
#[derive(Clone, Debug)]
pub struct ConnectionBounds {
    /// Open connections of the listener over all workers.
    pub connections: usize,
    /// Open connections of one peer over all workers.
    pub per_peer: usize,
    /// Peers that the peer limit does not count.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for ConnectionBounds {
    fn default() -> Self {
        Self { connections: 10_000, per_peer: 1_000, trusted_proxies: Vec::new() }
    }
}

/// The count of one listener's open connections, shared by its workers.
///
/// Memory: one map entry per counted peer with an open connection, so never more than `connections` entries.
/// Cost: one atomic addition per connection, and for counted peers a short lock, when it opens and when it ends.
#[derive(Debug)]
pub struct ConnectionLimit {
    bounds: ConnectionBounds,
    open: AtomicUsize,
    open_by_peer: Mutex<HashMap<IpAddr, usize>>,
}

/// Which bound refuses a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// The listener is full.
    Listener,
    /// This peer has its share.
    Peer,
}

/// The right of one connection to be open; dropping it makes room.
#[derive(Debug)]
#[must_use = "the connection is counted only as long as its slot lives"]
pub struct ConnectionSlot {
    limit: Arc<ConnectionLimit>,
    counted_peer: Option<IpAddr>,
}

impl ConnectionLimit {
    /// A count that starts at zero.
    pub fn new(bounds: ConnectionBounds) -> Arc<Self> {
        Arc::new(Self { bounds, open: AtomicUsize::new(0), open_by_peer: Mutex::default() })
    }

    /// Open connections now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts a new connection of `peer`.
    ///
    /// # Errors
    /// [`LimitReached`]; nothing is counted then, and the connection is to be closed.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<ConnectionSlot, LimitReached> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.bounds.connections {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(LimitReached::Listener);
        }
        // From here on the drop of the slot gives back what was taken.
        let mut slot = ConnectionSlot { limit: Arc::clone(self), counted_peer: None };
        let peer = peer.to_canonical();
        if self.counts(peer) {
            let peer = network_of(peer);
            let mut open_by_peer = self.open_by_peer.lock().unwrap_or_else(PoisonError::into_inner);
            let open = open_by_peer.entry(peer).or_insert(0);
            if *open >= self.bounds.per_peer {
                if *open == 0 {
                    open_by_peer.remove(&peer);
                }
                drop(open_by_peer);
                return Err(LimitReached::Peer);
            }
            *open += 1;
            slot.counted_peer = Some(peer);
        }
        Ok(slot)
    }

    fn counts(&self, peer: IpAddr) -> bool {
        let shared = match peer {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        };
        !shared && !self.bounds.trusted_proxies.iter().any(|net| net.contains(&peer))
    }
}

fn network_of(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.limit.open.fetch_sub(1, Ordering::Relaxed);
        let Some(peer) = self.counted_peer else { return };
        let mut open_by_peer = self.limit.open_by_peer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = open_by_peer.get_mut(&peer) else { return };
        *open -= 1;
        if *open == 0 {
            open_by_peer.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(connections: usize, per_peer: usize) -> Arc<ConnectionLimit> {
        let trusted_proxies = vec!["203.0.113.0/24".parse().unwrap()];
        ConnectionLimit::new(ConnectionBounds { connections, per_peer, trusted_proxies })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_listener_admits_up_to_its_bound_and_again_when_one_ends() {
        let limit = limit(2, 10);
        let first = limit.admit(ip("127.0.0.1")).unwrap();
        let _second = limit.admit(ip("198.51.100.1")).unwrap();
        assert_eq!(limit.admit(ip("127.0.0.1")).unwrap_err(), LimitReached::Listener);
        assert_eq!(limit.open(), 2);
        drop(first);
        let _third = limit.admit(ip("127.0.0.1")).unwrap();
    }

    #[test]
    fn one_peer_cannot_take_the_share_of_another() {
        let limit = limit(100, 1);
        let first = limit.admit(ip("198.51.100.1")).unwrap();
        assert_eq!(limit.admit(ip("::ffff:198.51.100.1")).unwrap_err(), LimitReached::Peer);
        let _other = limit.admit(ip("198.51.100.2")).unwrap();
        assert_eq!(limit.open(), 2, "a refused connection is not counted");
        drop(first);
        let _again = limit.admit(ip("198.51.100.1")).unwrap();
    }

    #[test]
    fn an_ipv6_subscriber_is_one_peer() {
        let limit = limit(100, 1);
        let _first = limit.admit(ip("2001:db8::1")).unwrap();
        assert_eq!(limit.admit(ip("2001:db8::2:1")).unwrap_err(), LimitReached::Peer);
        let _neighbour = limit.admit(ip("2001:db8:0:1::1")).unwrap();
    }

    #[test]
    fn peers_that_stand_for_many_are_not_counted() {
        let limit = limit(100, 1);
        for peer in ["203.0.113.7", "127.0.0.1", "10.1.2.3", "::1", "fd00::1", "fe80::1"] {
            let slots = [limit.admit(ip(peer)), limit.admit(ip(peer))];
            assert!(slots.iter().all(Result::is_ok), "{peer}");
        }
    }

    #[test]
    fn the_map_forgets_peers_that_left() {
        let limit = limit(100, 2);
        for last in 0..50 {
            drop(limit.admit(IpAddr::from([198, 51, 100, last])));
        }
        assert!(limit.open_by_peer.lock().unwrap().is_empty());
        assert_eq!(limit.open(), 0);
    }
}
