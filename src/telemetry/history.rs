//! The recent traffic of this process, for whoever looks at it: what `/metrics` counts, as differences in time, an
//! hour fine and a day coarse. Bounded memory, about 300 kB; forgotten when the process ends.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    metrics::{DURATION_BOUNDS_US, DurationTotals, Metrics, RequestCounters, WorkerCounters},
    usage::UseCounts,
};
use crate::{
    clock::{Clock, SystemClock},
    policy::reason::Reason,
};

/// How far apart samples are taken, and the grain of [`History::hour`].
pub const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// The grain of [`History::day`].
pub const DAY_STEP: Duration = Duration::from_mins(5);

const HOUR_POINTS: usize = 360;
const DAY_POINTS: usize = 288;
const BUCKETS: usize = DURATION_BOUNDS_US.len() + 1;

/// What was counted lately. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct History {
    metrics: Metrics,
    rings: Arc<Mutex<Rings>>,
}

#[derive(Debug)]
struct Rings {
    /// When the last sample was taken, and what was counted by then.
    last: (Timestamp, Totals),
    hour: Ring,
    day: Ring,
}

impl History {
    /// Begins at `now`: what was counted before is no part of it.
    pub fn new(metrics: Metrics, now: Timestamp) -> Self {
        let last = (now, Totals::read(&metrics));
        let rings =
            Rings { last, hour: Ring::new(SAMPLE_EVERY, HOUR_POINTS), day: Ring::new(DAY_STEP, DAY_POINTS) };
        Self { metrics, rings: Arc::new(Mutex::new(rings)) }
    }

    /// Takes what was counted since the last sample as the traffic between then and `now`. A clock that was set back
    /// begins the history anew. Cost: a few microseconds; takes no lock that a request could meet.
    pub fn sample(&self, now: Timestamp) {
        let totals = Totals::read(&self.metrics);
        let mut rings = self.rings();
        let (since, before) = std::mem::replace(&mut rings.last, (now, totals));
        let since = since.min(now);
        let traffic = rings.last.1.since(&before);
        rings.hour.add(since, &traffic);
        rings.day.add(since, &traffic);
    }

    /// Samples on, at every full [`SAMPLE_EVERY`] of the wall clock; never ends.
    pub async fn run(&self) {
        loop {
            tokio::time::sleep(until_next_sample(SystemClock.now())).await;
            self.sample(SystemClock.now());
        }
    }

    /// The last hour, ten seconds a point.
    pub fn hour(&self) -> Series {
        self.rings().hour.series()
    }

    /// The last 24 hours, five minutes a point.
    pub fn day(&self) -> Series {
        self.rings().day.series()
    }

    fn rings(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a stretch of time looked like: points in the order of time; where nothing was sampled, there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// How long each point lasts.
    pub step: Duration,
    /// The points; the last may still grow.
    pub points: Vec<Point>,
}

impl Series {
    /// The same with `step`, a multiple of its own, for each point.
    pub fn coarser(&self, step: Duration) -> Self {
        let mut ring = Ring::new(step, self.points.len());
        for point in &self.points {
            ring.add(point.at, &point.traffic);
        }
        ring.series()
    }

    /// Why requests were refused and how often, in the order of the decision table; only reasons that occurred.
    pub fn refusals(&self) -> Vec<(Reason, u64)> {
        self.total().refusals().collect()
    }

    /// How requests ended.
    pub fn outcomes(&self) -> UseCounts {
        self.total().outcomes
    }

    fn total(&self) -> Traffic {
        let mut total = Traffic::default();
        self.points.iter().for_each(|point| total.add(&point.traffic));
        total
    }
}

/// The traffic of one step.
#[derive(Clone, PartialEq, Eq)]
pub struct Point {
    /// When the step began.
    pub at: Timestamp,
    traffic: Traffic,
}

impl Point {
    /// How the requests ended that ended in this step. Answers of the gateway to `OPTIONS` count as ok.
    pub fn outcomes(&self) -> UseCounts {
        self.traffic.outcomes
    }

    /// How many were refused for `reason`.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.traffic.refused[reason as usize]
    }

    /// Why requests were refused and how often; only reasons that occurred.
    pub fn refusals(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.traffic.refusals()
    }

    /// The time that half of the requests did not exceed, from the first byte of the head to the last of the answer;
    /// `None` without requests.
    pub fn p50(&self) -> Option<Duration> {
        quantile(&self.traffic.durations, 0.5)
    }

    /// The time that 99 of 100 requests did not exceed.
    pub fn p99(&self) -> Option<Duration> {
        quantile(&self.traffic.durations, 0.99)
    }

    /// Client connections that were open at the end of the step.
    pub fn connections(&self) -> u64 {
        self.traffic.connections
    }

    /// Upgraded connections that were open at the end of the step.
    pub fn streams(&self) -> u64 {
        self.traffic.streams
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Point")
            .field("at", &self.at)
            .field("outcomes", &self.outcomes())
            .field("refusals", &self.refusals().collect::<Vec<_>>())
            .field("p50", &self.p50())
            .field("p99", &self.p99())
            .finish_non_exhaustive()
    }
}

/// The duration below which `share` of what the buckets hold lies, by a straight line within its bucket; the greatest
/// bound for what lies above it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, between two bounds of at most a minute"
)]
fn quantile(buckets: &[u64; BUCKETS], share: f64) -> Option<Duration> {
    let all = buckets.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let rank = all as f64 * share;
    let (mut below, mut lower) = (0.0, 0.0);
    for (count, bound) in buckets.iter().zip(DURATION_BOUNDS_US) {
        let (count, upper) = (*count as f64, bound as f64);
        if count > 0.0 && below + count >= rank {
            let us = lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0);
            return Some(Duration::from_micros(us as u64));
        }
        (below, lower) = (below + count, upper);
    }
    (all > 0).then(|| Duration::from_micros(DURATION_BOUNDS_US[BUCKETS - 2]))
}

/// What all workers have counted since the process began, but for levels, which are as of now.
type Totals = Traffic;

/// Counts of a stretch of time, and the levels at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Traffic {
    outcomes: UseCounts,
    refused: [u64; Reason::ALL.len()],
    durations: [u64; BUCKETS],
    connections: u64,
    streams: u64,
}

impl Traffic {
    fn read(metrics: &Metrics) -> Self {
        let mut totals = Self::default();
        let mut durations = DurationTotals::default();
        for worker in metrics.0.workers() {
            totals.count(&worker);
            worker.duration.add_to(&mut durations);
        }
        totals.durations = durations.buckets;
        totals
    }

    fn count(&mut self, worker: &WorkerCounters) {
        let RequestCounters { forwarded, answered, permitted, refused, aborted, observed: _ } =
            &worker.requests;
        // In the order of `StatusClasses::NAMES`.
        let class = |at| forwarded.get(at) + answered.get(at) + permitted.get(at);
        let refused = refused.each_ref().map(super::metrics::Counter::get);
        self.outcomes.add(UseCounts {
            ok: class(0) + class(1) + class(2),
            client_error: class(3),
            server_error: class(4) + class(5),
            refused: refused.iter().sum(),
            aborted: aborted.iter().map(super::metrics::Counter::get).sum(),
        });
        add_each(&mut self.refused, &refused);
        self.connections += worker.connections.get();
        self.streams += worker.streams.get();
    }

    /// What was counted after `before`.
    fn since(&self, before: &Self) -> Self {
        let (now, then) = (self.outcomes, before.outcomes);
        Self {
            outcomes: UseCounts {
                ok: now.ok.saturating_sub(then.ok),
                client_error: now.client_error.saturating_sub(then.client_error),
                server_error: now.server_error.saturating_sub(then.server_error),
                refused: now.refused.saturating_sub(then.refused),
                aborted: now.aborted.saturating_sub(then.aborted),
            },
            refused: std::array::from_fn(|at| self.refused[at].saturating_sub(before.refused[at])),
            durations: std::array::from_fn(|at| self.durations[at].saturating_sub(before.durations[at])),
            connections: self.connections,
            streams: self.streams,
        }
    }

    /// Adds what came next.
    fn add(&mut self, next: &Self) {
        self.outcomes.add(next.outcomes);
        add_each(&mut self.refused, &next.refused);
        add_each(&mut self.durations, &next.durations);
        (self.connections, self.streams) = (next.connections, next.streams);
    }

    fn refusals(&self) -> impl Iterator<Item = (Reason, u64)> {
        let refused = self.refused;
        Reason::ALL.into_iter().zip(refused).filter(|(_, count)| *count > 0)
    }
}

fn add_each<const N: usize>(sums: &mut [u64; N], more: &[u64; N]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = sum.saturating_add(*more);
    }
}

/// The newest points, each at a multiple of `step`.
#[derive(Debug)]
struct Ring {
    step: Duration,
    points: VecDeque<Point>,
    points_max: usize,
}

impl Ring {
    fn new(step: Duration, points_max: usize) -> Self {
        Self { step, points: VecDeque::with_capacity(points_max), points_max }
    }

    /// Adds `traffic`, which began at `since`, to the point of that time.
    fn add(&mut self, since: Timestamp, traffic: &Traffic) {
        let at = floor(since, self.step);
        if self.points.back().is_some_and(|newest| newest.at > at) {
            self.points.clear();
        }
        match self.points.back_mut() {
            Some(newest) if newest.at == at => newest.traffic.add(traffic),
            Some(_) | None => {
                if self.points.len() >= self.points_max {
                    self.points.pop_front();
                }
                self.points.push_back(Point { at, traffic: traffic.clone() });
            }
        }
        self.forget_before(at);
    }

    /// Forgets points that are older than all that the ring is to show.
    fn forget_before(&mut self, newest: Timestamp) {
        let kept = i64::try_from(self.points_max).unwrap_or(i64::MAX).saturating_mul(milliseconds(self.step));
        let oldest = newest.as_millisecond().saturating_sub(kept);
        while self.points.front().is_some_and(|point| point.at.as_millisecond() <= oldest) {
            self.points.pop_front();
        }
    }

    fn series(&self) -> Series {
        Series { step: self.step, points: self.points.iter().cloned().collect() }
    }
}

fn until_next_sample(now: Timestamp) -> Duration {
    let step = milliseconds(SAMPLE_EVERY);
    let left = step - now.as_millisecond().rem_euclid(step);
    Duration::from_millis(left.unsigned_abs())
}

fn floor(at: Timestamp, step: Duration) -> Timestamp {
    let ms = at.as_millisecond();
    Timestamp::from_millisecond(ms - ms.rem_euclid(milliseconds(step))).unwrap_or(at)
}

fn milliseconds(step: Duration) -> i64 {
    i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests;
