//! Keeps what clients can cause from filling the log.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::clock;

/// Lines of one kind in one second.
const LINES_PER_SECOND: u32 = 3;

/// A place in the code that logs: `static LINES: Throttle = Throttle::new();`. A few lines per second pass; of the
/// others the next one that passes tells how many they were.
///
/// Cost: a short lock.
#[derive(Debug)]
pub(crate) struct Throttle(Mutex<Window>);

#[derive(Debug)]
struct Window {
    since: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

/// A line may be written, and so many were not since the last one.
#[derive(Debug, PartialEq, Eq)]
struct Pass {
    suppressed: Option<u64>,
}

impl Throttle {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Window { since: None, lines: 0, suppressed: 0 }))
    }

    /// Lets `line` be written, with how many of its kind were suppressed before; or counts it as suppressed.
    pub(crate) fn speak(&self, line: impl FnOnce(Option<u64>)) {
        if let Some(Pass { suppressed }) = self.pass(clock::monotonic()) {
            line(suppressed);
        }
    }

    fn pass(&self, now: Instant) -> Option<Pass> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            (window.since, window.lines) = (Some(now), 0);
        }
        if window.lines == LINES_PER_SECOND {
            window.suppressed += 1;
            return None;
        }
        window.lines += 1;
        let suppressed = std::mem::take(&mut window.suppressed);
        Some(Pass { suppressed: (suppressed > 0).then_some(suppressed) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_a_second_pass_and_the_next_tells_of_the_others() {
        let throttle = Throttle::new();
        let start = clock::monotonic();
        let passed = (0..1000).filter(|_| throttle.pass(start).is_some()).count();
        assert_eq!(passed, LINES_PER_SECOND as usize);
        let later = start + Duration::from_secs(1);
        assert_eq!(throttle.pass(later), Some(Pass { suppressed: Some(1000 - u64::from(LINES_PER_SECOND)) }));
        assert_eq!(throttle.pass(later), Some(Pass { suppressed: None }));
    }
}
