//! Times for people: how long ago or from now, and exactly.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// An instant as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Time {
    /// For programs: `2026-11-22T06:21:26Z`.
    pub iso: String,
    /// From now: `3 hours ago`, `in 30 days`.
    pub relative: String,
    /// On the calendar: `22 Nov 2026, 06:21:26 UTC`.
    pub exact: String,
}

impl Time {
    /// `at`, as seen at `now`.
    pub fn new(at: Timestamp, now: Timestamp) -> Self {
        let zoned = at.to_zoned(TimeZone::UTC);
        Self {
            iso: zoned.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            relative: relative(at.duration_since(now)),
            exact: zoned.strftime("%-d %b %Y, %H:%M:%S UTC").to_string(),
        }
    }
}

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// In the largest unit of which there are two, rounded down, so that nothing is said to be older or further than it is.
fn relative(from_now: SignedDuration) -> String {
    let seconds = from_now.as_secs();
    let distance = seconds.saturating_abs();
    let (count, unit) = match distance {
        ..10 => {
            return if seconds < 0 || distance == 0 {
                "just now".to_owned()
            } else {
                "in a moment".to_owned()
            };
        }
        10..MINUTE => (distance, "second"),
        MINUTE..HOUR => (distance / MINUTE, "minute"),
        HOUR..DAY => (distance / HOUR, "hour"),
        // Days up to three months: what expires is chosen in days.
        DAY.. if distance < 120 * DAY => (distance / DAY, "day"),
        DAY.. if distance < 730 * DAY => (distance / (30 * DAY), "month"),
        _ => (distance / (365 * DAY), "year"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if seconds < 0 { format!("{count} {unit}{plural} ago") } else { format!("in {count} {unit}{plural}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_from_now_and_exactly() {
        let now: Timestamp = "2026-11-22T06:21:26Z".parse().unwrap();
        for (seconds, expected) in [
            (0, "just now"),
            (-9, "just now"),
            (5, "in a moment"),
            (-59, "59 seconds ago"),
            (-60, "1 minute ago"),
            (-3 * HOUR - 5, "3 hours ago"),
            (30 * DAY, "in 30 days"),
            (30 * DAY - 1, "in 29 days"),
            (-119 * DAY, "119 days ago"),
            (365 * DAY, "in 12 months"),
            (-800 * DAY, "2 years ago"),
        ] {
            let at = now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
            assert_eq!(Time::new(at, now).relative, expected, "{seconds}");
        }
        let time = Time::new(now, now);
        assert_eq!((&*time.iso, &*time.exact), ("2026-11-22T06:21:26Z", "22 Nov 2026, 06:21:26 UTC"));
    }
}
