//! How many files the process may have open, and what of that clients may take: never so much that nothing is left for
//! upstreams, for reading changed keys, for probes and for logs.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What stays free at least, whatever clients do.
const RESERVE_MIN: usize = 64;
/// The part of all that stays free: one in so many.
const RESERVE_PART: usize = 10;
/// What each worker opens for itself, beside its listeners.
const PER_WORKER: usize = 8;

/// Raises the soft limit of open files to the hard one. Gives what is in force then; `usize::MAX` is no limit.
pub fn raise_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let in_force = if raised.is_ok() { maximum } else { current };
    in_force.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Who wants descriptors.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'d> {
    /// `limits.connections` of each listener.
    pub listeners: &'d [usize],
    /// `max_connections` of all upstreams together.
    pub upstreams: usize,
    /// Threads that serve.
    pub workers: usize,
}

impl Demand<'_> {
    /// The connections that each listener may hold where `limit` files may be open. Aside are set: a reserve (64, or a
    /// tenth if that is more), what workers open for themselves, and the upstreams' connections, or half of the rest
    /// if that is less. Listeners that want more than what is left share it in proportion.
    pub fn share(&self, limit: usize) -> Vec<usize> {
        let wanted = self.listeners.iter().fold(0, |sum: usize, &one| sum.saturating_add(one));
        let available = limit.saturating_sub(self.aside(limit));
        let left = available - self.upstreams.min(available / 2);
        if wanted <= left {
            return self.listeners.to_vec();
        }
        let part = |one: usize| usize::try_from(one as u128 * left as u128 / wanted as u128).unwrap_or(one);
        self.listeners.iter().map(|&one| part(one).max(1)).collect()
    }

    /// The least limit with which every listener may hold what it wants.
    pub fn enough(&self) -> usize {
        let wanted: usize = self.listeners.iter().fold(0, |sum, &one| sum.saturating_add(one));
        let open = wanted.saturating_add(self.upstreams.min(wanted)).saturating_add(self.own());
        open.saturating_add(RESERVE_MIN.max(open / (RESERVE_PART - 1) + 1))
    }

    fn aside(&self, limit: usize) -> usize {
        RESERVE_MIN.max(limit / RESERVE_PART).saturating_add(self.own())
    }

    fn own(&self) -> usize {
        self.workers.saturating_mul(self.listeners.len() + PER_WORKER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn demand(listeners: &[usize]) -> Demand<'_> {
        Demand { listeners, upstreams: 1024, workers: 2 }
    }

    #[test]
    fn clients_leave_a_reserve_and_upstreams_their_part() {
        for (limit, listeners, shared) in [
            (usize::MAX, &[10_000][..], &[10_000][..]),
            (1 << 20, &[10_000, 10_000], &[10_000, 10_000]),
            (1024, &[10_000], &[452]),
            (1024, &[10_000, 10_000], &[225, 225]),
            (1024, &[100], &[100]),
            (256, &[10_000], &[87]),
            (4096, &[30_000, 10_000], &[1982, 660]),
            (70, &[10_000, 5], &[1, 1]),
            (0, &[10], &[1]),
        ] {
            assert_eq!(demand(listeners).share(limit), shared, "{limit} {listeners:?}");
        }
    }

    #[test]
    fn what_is_said_to_be_enough_is() {
        for listeners in [&[1][..], &[10, 10], &[500], &[10_000], &[10_000, 70_000], &[10_000_000]] {
            let demand = demand(listeners);
            assert_eq!(demand.share(demand.enough()), listeners);
        }
    }
}
