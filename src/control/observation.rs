//! Routes that observe: which do, until when, and what they let through; told at every start and change, and now and
//! then, so that nobody forgets them.

use std::{
    fmt, mem,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use crate::{config::Config, policy::reason::Reason, store::key_files::Moment, telemetry::metrics::Metrics};

/// So long before its end an observation counts as about to end.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How often the routes are told again.
const REMIND_EVERY: Duration = Duration::from_hours(24);
/// How often it is told what was let through.
const SUM_UP_EVERY: Duration = Duration::from_mins(10);
/// More routes than this are only counted.
const TOLD_MAX: usize = 20;

/// How far an observation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The route forwards what it would refuse.
    Observing,
    /// So it does, and for a week more at the most.
    EndsSoon,
    /// The route refuses.
    Over,
}

/// A route that says `observe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedRoute<'c> {
    /// Its number in the config, from 0.
    pub index: usize,
    /// Its path pattern, as written.
    pub pattern: &'c str,
    /// When it begins to refuse.
    pub until: Timestamp,
    /// How far it is.
    pub phase: Phase,
}

/// The routes of `config` that say `observe`, in its order, as they stand at `now`.
pub fn observed_routes(config: &Config, now: Timestamp) -> impl Iterator<Item = ObservedRoute<'_>> {
    config.policy.routes.routes().iter().enumerate().filter_map(move |(index, route)| {
        let until = route.observed_until?;
        let phase = if until <= now {
            Phase::Over
        } else if until.duration_since(now) <= SOON {
            Phase::EndsSoon
        } else {
            Phase::Observing
        };
        Some(ObservedRoute { index, pattern: &route.pattern, until, phase })
    })
}

impl ObservedRoute<'_> {
    /// What would be right.
    pub fn remedy(&self) -> &'static str {
        match self.phase {
            Phase::Observing => "remove observe once nothing is recorded any more",
            Phase::EndsSoon => "see to those whom it will refuse, or choose a later day",
            Phase::Over => "remove observe, which has no effect any more",
        }
    }
}

impl fmt::Display for ObservedRoute<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pattern, until, phase, .. } = self;
        match phase {
            Phase::Observing => {
                write!(
                    formatter,
                    "until {until} the route {pattern:?} forwards what it would refuse, also without any key"
                )
            }
            Phase::EndsSoon => write!(
                formatter,
                "the route {pattern:?} forwards what it would refuse, and refuses it from {until} on, which is soon"
            ),
            Phase::Over => {
                write!(formatter, "the route {pattern:?} refuses since {until}: its observe is over")
            }
        }
    }
}

/// What was told of routes that observe, and when.
#[derive(Debug, Default)]
pub(super) struct ObservationLog {
    told: Vec<String>,
    reminded: Option<Instant>,
    summed_up: Option<Instant>,
    sums: Vec<(Reason, u64)>,
}

impl ObservationLog {
    /// Tells the operator's log what is new about the routes of `config` and what they let through.
    pub(super) fn tell(&mut self, config: &Config, metrics: &Metrics, now: Moment) {
        metrics.set_routes_observing(config.policy.routes.routes_observing(now.wall));
        let mut lines = self.reminder(observed_routes(config, now.wall), now.monotonic);
        lines.extend(self.sum_up(|| metrics.observed(), now.monotonic));
        for line in lines {
            tracing::warn!("{line}");
        }
    }

    /// The routes that say `observe`, where they have changed or a day has passed since they were told.
    fn reminder<'c>(&mut self, routes: impl Iterator<Item = ObservedRoute<'c>>, now: Instant) -> Vec<String> {
        let mut routes = routes.fuse();
        let told = routes.by_ref().take(TOLD_MAX);
        let mut lines: Vec<_> = told.map(|route| format!("{route}; {}", route.remedy())).collect();
        if let more @ 1.. = routes.count() {
            lines.push(format!("{more} more routes say observe"));
        }
        if lines == self.told && (lines.is_empty() || !is_due(self.reminded, REMIND_EVERY, now)) {
            return Vec::new();
        }
        self.reminded = Some(now);
        self.told.clone_from(&lines);
        lines
    }

    /// What was let through since ten minutes ago, where that long has passed and it was something.
    fn sum_up(&mut self, sums: impl FnOnce() -> Vec<(Reason, u64)>, now: Instant) -> Option<String> {
        if !is_due(self.summed_up, SUM_UP_EVERY, now) {
            return None;
        }
        self.summed_up = Some(now);
        let before = mem::replace(&mut self.sums, sums());
        let before =
            |reason| before.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count);
        let new = self.sums.iter().map(|(reason, count)| (reason, count.saturating_sub(before(*reason))));
        let new = new.filter(|(_, count)| *count > 0);
        let new: Vec<_> = new.map(|(reason, count)| format!("{} {count}", reason.code())).collect();
        (!new.is_empty()).then(|| {
            format!(
                "routes that observe let through what they would refuse: {}; the access log names route, client and key",
                new.join(", ")
            )
        })
    }
}

fn is_due(since: Option<Instant>, every: Duration, now: Instant) -> bool {
    since.is_none_or(|since| now.saturating_duration_since(since) >= every)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const HOUR: Duration = Duration::from_hours(1);

    fn routes(count: usize) -> impl Iterator<Item = ObservedRoute<'static>> {
        (0..count).map(|index| ObservedRoute {
            index,
            pattern: "/a",
            until: "2099-01-01T00:00:00Z".parse().unwrap(),
            phase: Phase::Observing,
        })
    }

    #[test]
    fn routes_that_observe_are_told_at_once_at_a_change_and_every_day() {
        let (mut log, start) = (ObservationLog::default(), Instant::now());
        for (after, count, told) in [
            (Duration::ZERO, 0, 0),
            (MINUTE, 1, 1),
            (2 * MINUTE, 1, 0),
            (24 * HOUR, 1, 0),
            (24 * HOUR + MINUTE, 1, 1),
            (47 * HOUR, 1, 0),
            (48 * HOUR, 2, 2),
            (49 * HOUR, 1, 1),
            // A day after the last time, not after the first.
            (72 * HOUR, 1, 0),
            (73 * HOUR, 1, 1),
            (74 * HOUR, 0, 0),
            (75 * HOUR, 1, 1),
        ] {
            let lines = log.reminder(routes(count), start + after);
            assert_eq!(lines.len(), told, "after {after:?}: {lines:?}");
        }
    }

    #[test]
    fn of_many_routes_the_rest_is_counted() {
        let (mut log, start) = (ObservationLog::default(), Instant::now());
        let lines = log.reminder(routes(TOLD_MAX + 3), start);
        assert_eq!((lines.len(), &*lines[TOLD_MAX]), (TOLD_MAX + 1, "3 more routes say observe"));
        // One more of those that are only counted is a change too.
        assert_eq!(log.reminder(routes(TOLD_MAX + 4), start).len(), TOLD_MAX + 1);
    }

    #[test]
    fn what_was_let_through_is_summed_up_every_ten_minutes() {
        let (mut log, start) = (ObservationLog::default(), Instant::now());
        let mut told = |minutes: u32, sums: &[(Reason, u64)]| {
            let line = log.sum_up(|| sums.to_vec(), start + minutes * MINUTE)?;
            let (_, rest) = line.split_once("refuse: ").unwrap();
            Some(rest.split_once(';').unwrap().0.to_owned())
        };
        let missing = |count| (Reason::KeyMissing, count);
        let revoked = |count| (Reason::KeyRevoked, count);
        for (minutes, sums, expected) in [
            (0, vec![], None),
            (9, vec![missing(3)], None),
            (10, vec![missing(4)], Some("key_missing 4")),
            (19, vec![missing(9)], None),
            // Nothing is told where nothing came.
            (20, vec![missing(4)], None),
            (30, vec![missing(5), revoked(2)], Some("key_missing 1, key_revoked 2")),
            (45, vec![missing(5), revoked(3)], Some("key_revoked 1")),
            (54, vec![missing(6), revoked(3)], None),
            (55, vec![missing(6), revoked(3)], Some("key_missing 1")),
        ] {
            assert_eq!(told(minutes, &sums).as_deref(), expected, "after {minutes} min");
        }
    }
}
