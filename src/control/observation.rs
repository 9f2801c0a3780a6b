//! Routes that observe: which do, until when, and what they let through; told at every start and change, and now and
//! then, so that nobody forgets them.

use std::{
    fmt,
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
        let routes = || observed_routes(config, now.wall);
        metrics.set_routes_observing(config.policy.routes.routes_observing(now.wall));
        let lines: Vec<String> =
            routes().map(|route| format!("{route}; {}", route.remedy())).take(TOLD_MAX).collect();
        let is_due = |since: Option<Instant>, every| {
            since.is_none_or(|since| now.monotonic.saturating_duration_since(since) >= every)
        };
        if lines != self.told || (!lines.is_empty() && is_due(self.reminded, REMIND_EVERY)) {
            self.reminded = Some(now.monotonic);
            for line in &lines {
                tracing::warn!("{line}");
            }
            if let more @ 1.. = routes().count() - lines.len() {
                tracing::warn!("{more} more routes say observe");
            }
            self.told = lines;
        }
        if is_due(self.summed_up, SUM_UP_EVERY) {
            self.summed_up = Some(now.monotonic);
            self.sum_up(metrics.observed());
        }
    }

    fn sum_up(&mut self, sums: Vec<(Reason, u64)>) {
        let before =
            |reason| self.sums.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count);
        let new = sums.iter().map(|(reason, count)| (*reason, count.saturating_sub(before(*reason))));
        let new: Vec<_> = new.filter(|(_, count)| *count > 0).collect();
        if !new.is_empty() {
            let reasons: Vec<_> =
                new.iter().map(|(reason, count)| format!("{} {count}", reason.code())).collect();
            tracing::warn!(
                "routes that observe let through what they would refuse: {}; the access log names route, client and key",
                reasons.join(", ")
            );
        }
        self.sums = sums;
    }
}
