//! Waits between attempts, with jitter, so that the replicas of a fleet do not come back all at once.

use std::time::Duration;

/// How soon what failed is tried again; doubles up to the other.
const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(5);

/// Waits that double from 100 ms to 5 s; of each, between half and all.
#[derive(Debug, Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    /// How long to wait before the next attempt.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let wait = FIRST.saturating_mul(1 << self.0.min(10)).min(LAST);
        self.0 += 1;
        jittered(wait)
    }
}

/// Between half and all of `wait`.
pub(crate) fn jittered(wait: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness the whole wait is as good.
    let share =
        getrandom::fill(&mut random).map_or(1.0, |()| f64::from(u16::from_be_bytes(random)) / 65_536.0);
    wait.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_last() {
        let mut backoff = Backoff::default();
        for whole_ms in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let whole = Duration::from_millis(whole_ms);
            let wait = backoff.next_wait();
            assert!((whole / 2..=whole).contains(&wait), "{wait:?} of {whole:?}");
        }
    }
}
