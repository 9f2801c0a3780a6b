//! What is counted, and where: each worker counts into its own cells, and a scrape adds them up.
//!
//! A cell has one writer, so counting is a plain load and store of the worker's own cache line: no locked
//! instruction, no line that another core writes, no allocation. A scrape reads the cells while they are written
//! and sees each at some recent value.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    marker::PhantomData,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jiff::Timestamp;

use super::{
    named_cells::{Cells, Named, PlanCounters, RouteCounters, UpstreamCounters},
    outcome::{AbortedBy, Door, End, RequestOutcome},
};
use crate::{keys::tally::KeyTally, policy::reason::Reason};

pub use super::named_cells::{PlanMetrics, UpstreamError, UpstreamMetrics};

/// Sources whose reloads are told apart; what comes after shares one entry.
const SOURCES_MAX: usize = 1_000;
const OTHER_SOURCES: &str = "(others)";

/// The longest text about a wrong source.
const PROBLEM_BYTES_MAX: usize = 1_000;

/// A count that only grows; written by one thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `n` more. Cost: under a nanosecond.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number of things that are there now; written by one thread.
#[derive(Debug, Default)]
pub struct Level(AtomicU64);

impl Level {
    /// One more.
    pub fn rise(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// One less; never below zero.
    pub fn fall(&self) {
        self.0.store(self.0.load(Relaxed).saturating_sub(1), Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the duration buckets in microseconds, 0.5 ms to 60 s.
pub const DURATION_BOUNDS_US: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];
const BUCKETS: usize = DURATION_BOUNDS_US.len() + 1;

/// Durations in the buckets of [`DURATION_BOUNDS_US`]; written by one thread.
#[derive(Debug, Default)]
pub struct DurationHistogram {
    buckets: [Counter; BUCKETS],
    sum_us: Counter,
}

impl DurationHistogram {
    /// Counts one duration. Cost: one comparison per bound, no branch.
    pub fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let at = DURATION_BOUNDS_US.iter().map(|bound| usize::from(us > *bound)).sum::<usize>();
        self.buckets[at].add(1);
        self.sum_us.add(us);
    }

    /// Adds what `self` holds to `total`.
    pub(super) fn add_to(&self, total: &mut DurationTotals) {
        for (sum, bucket) in total.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.get();
        }
        total.sum_us += self.sum_us.get();
    }
}

/// The sum of several [`DurationHistogram`]s.
#[derive(Debug, Default)]
pub(super) struct DurationTotals {
    pub(super) buckets: [u64; BUCKETS],
    pub(super) sum_us: u64,
}

/// A status class: 1xx to 5xx, or anything else.
#[derive(Debug, Default)]
pub(super) struct StatusClasses([Counter; 6]);

impl StatusClasses {
    /// The classes as label values, in the order of the cells.
    pub(super) const NAMES: [&'static str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

    pub(super) fn count(&self, status: u16) {
        let at = match status {
            100..=599 => usize::from(status / 100) - 1,
            _ => 5,
        };
        self.0[at].add(1);
    }

    pub(super) fn get(&self, at: usize) -> u64 {
        self.0[at].get()
    }
}

/// Requests by how they ended.
#[derive(Debug, Default)]
pub(super) struct RequestCounters {
    pub(super) forwarded: StatusClasses,
    pub(super) answered: StatusClasses,
    pub(super) permitted: StatusClasses,
    pub(super) refused: [Counter; Reason::ALL.len()],
    pub(super) aborted: [Counter; AbortedBy::ALL.len()],
    /// By what they would have been refused for; each is counted above too.
    pub(super) observed: [Counter; Reason::ALL.len()],
}

impl RequestCounters {
    fn count(&self, outcome: &RequestOutcome) {
        match outcome.end {
            End::Forwarded => self.forwarded.count(outcome.status),
            End::Answered => self.answered.count(outcome.status),
            End::Permitted => self.permitted.count(outcome.status),
            End::Refused(reason) => self.refused[reason as usize].add(1),
            End::Aborted(by) => self.aborted[by as usize].add(1),
            End::Cut(_) => self.aborted[AbortedBy::Policy as usize].add(1),
        }
        if let Some(reason) = outcome.observed {
            self.observed[reason as usize].add(1);
        }
    }
}

/// What one worker counts. Reached through [`WorkerMetrics`], which keeps it to one writer.
// Aligned to two lines: adjacent-line prefetch would otherwise share what two workers write.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerCounters {
    pub(super) requests: RequestCounters,
    pub(super) doors: [RequestCounters; Door::ALL.len()],
    pub(super) duration: DurationHistogram,
    /// Body bytes from clients.
    pub received_bytes: Counter,
    /// Body bytes to clients.
    pub sent_bytes: Counter,
    /// Client connections that are open.
    pub connections: Level,
    /// Client connections accepted.
    pub connections_accepted: Counter,
    /// Client connections closed at once because a limit was reached.
    pub connections_limited: Counter,
    /// TLS handshakes with clients that failed or were late.
    pub tls_failures: Counter,
    /// Upgraded connections that are open.
    pub streams: Level,
    pub(super) streams_cut: [Counter; Reason::ALL.len()],
    pub(super) access_log_dropped: Counter,
    pub(super) usage_dropped: Counter,
    /// Attempts with bad keys that were answered 429 since too many of their address had failed.
    pub failed_attempts_limited: Counter,
    pub(super) upstreams: Named<UpstreamCounters>,
    pub(super) plans: Named<PlanCounters>,
    /// Of routes that observe.
    pub(super) routes: Named<RouteCounters>,
}

impl WorkerCounters {
    /// Counts one request that ended. Cost: a few plain stores.
    pub(super) fn count_request(&self, outcome: &RequestOutcome) {
        self.requests.count(outcome);
        if let Some(door) = outcome.door {
            self.doors[door as usize].count(outcome);
        }
        if !outcome.upgraded {
            self.duration.observe(outcome.duration);
        }
    }

    /// Counts a request under way that was told to end, since a new one would be refused with `reason`.
    pub fn cut_stream(&self, reason: Reason) {
        self.streams_cut[reason as usize].add(1);
    }
}

/// One worker's hold on its own cells. `Send`, to be handed to the worker's thread; neither `Sync` nor `Clone`, so
/// that no second thread writes.
#[derive(Debug)]
pub struct WorkerMetrics {
    counters: Arc<WorkerCounters>,
    /// The cells of the routes that observe, by path pattern.
    observing: RefCell<BTreeMap<Box<str>, Cells<RouteCounters>>>,
    single_writer: PhantomData<Cell<()>>,
}

impl WorkerMetrics {
    /// The cells of the upstream called `name`, made at the first call. Cost: a lock and a search; for when a config
    /// is taken into force, not for requests. Cells of upstreams that nobody holds any more are given up.
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        self.counters.upstreams.hold(name)
    }

    /// The cells of the plan called `name`, as [`WorkerMetrics::upstream`].
    pub fn plan(&self, name: &str) -> PlanMetrics {
        self.counters.plans.hold(name)
    }

    /// States the path patterns of the routes that say `observe`; for when a config is taken into force.
    pub(super) fn set_observing<'p>(&self, patterns: impl Iterator<Item = &'p str>) {
        let cells = patterns.map(|pattern| (pattern.into(), self.counters.routes.cells(pattern))).collect();
        *self.observing.borrow_mut() = cells;
    }

    /// Counts a request that a route with this path pattern forwarded although it would be refused for `reason`.
    pub(super) fn count_observed(&self, pattern: &str, reason: Reason) {
        if let Some(cells) = self.observing.borrow().get(pattern) {
            cells.1.observed[reason as usize].add(1);
        }
    }
}

impl Deref for WorkerMetrics {
    type Target = WorkerCounters;

    fn deref(&self) -> &WorkerCounters {
        &self.counters
    }
}

/// When a source was last taken, last found wrong, and what is wrong with it now.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceState {
    pub(super) succeeded: Option<Timestamp>,
    pub(super) failed: Option<Timestamp>,
    pub(super) wrong: Option<Wrong>,
}

impl SourceState {
    /// `None` of a source of which nothing was stated yet.
    fn status(&self, name: &str) -> Option<SourceStatus> {
        let (since, problem) = match &self.wrong {
            Some(wrong) => (wrong.since, Some(wrong.problem.clone())),
            None => (self.succeeded?, None),
        };
        Some(SourceStatus { name: name.into(), since, problem })
    }
}

/// What is wrong with a source, without a break since when.
#[derive(Debug, Clone)]
pub(super) struct Wrong {
    since: Timestamp,
    problem: Box<str>,
}

/// How one source stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// Its name, as the operator knows it.
    pub name: Box<str>,
    /// When it was last taken into force; where it is wrong, since when.
    pub since: Timestamp,
    /// The first thing that is wrong with it, if something is.
    pub problem: Option<Box<str>>,
}

/// What the control side states; the data path never touches it.
#[derive(Debug, Default, Clone)]
pub(super) struct ControlState {
    pub(super) revision: u64,
    pub(super) keys: KeyTally,
    pub(super) sources: BTreeMap<Box<str>, SourceState>,
    pub(super) revocations_undone: u64,
    pub(super) routes_observing: u64,
}

/// What is running: for the build-info metric.
#[derive(Debug, Clone, Copy)]
pub struct BuildInfo {
    /// The package version.
    pub version: &'static str,
    /// The commit it was built from, or `unknown`.
    pub revision: &'static str,
    /// Architecture and system.
    pub target: &'static str,
}

/// Everything that is counted in this process. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Metrics(pub(super) Arc<Registry>);

#[derive(Debug)]
pub(super) struct Registry {
    pub(super) build: BuildInfo,
    pub(super) started: Timestamp,
    pub(super) access_log_write_dropped: AtomicU64,
    pub(super) usage_unwritten: AtomicU64,
    workers: Mutex<Vec<Arc<WorkerCounters>>>,
    control: Mutex<ControlState>,
}

impl Registry {
    pub(super) fn workers(&self) -> Vec<Arc<WorkerCounters>> {
        lock(&self.workers).clone()
    }

    pub(super) fn control(&self) -> ControlState {
        lock(&self.control).clone()
    }
}

impl Metrics {
    /// The metrics of a process that started at `started`.
    pub fn new(build: BuildInfo, started: Timestamp) -> Self {
        Self(Arc::new(Registry {
            build,
            started,
            access_log_write_dropped: AtomicU64::new(0),
            usage_unwritten: AtomicU64::new(0),
            workers: Mutex::default(),
            control: Mutex::default(),
        }))
    }

    /// The cells of one more worker. They stay in the sums when the worker is gone, or counters would go back.
    pub fn worker(&self) -> WorkerMetrics {
        let counters = Arc::new(WorkerCounters::default());
        lock(&self.0.workers).push(Arc::clone(&counters));
        WorkerMetrics { counters, observing: RefCell::default(), single_writer: PhantomData }
    }

    /// Counts uses of keys that the control side could not keep.
    pub fn drop_usage(&self, uses: u64) {
        self.0.usage_unwritten.fetch_add(uses, Relaxed);
    }

    /// States the revision in force and the keys in it.
    pub fn set_revision(&self, revision: u64, keys: KeyTally) {
        let mut control = lock(&self.0.control);
        (control.revision, control.keys) = (revision, keys);
    }

    /// States how many revoked keys a source lists as good again.
    pub fn set_revocations_undone(&self, count: u64) {
        lock(&self.0.control).revocations_undone = count;
    }

    /// Revoked keys that their source lists as good; they stay refused.
    pub fn revocations_undone(&self) -> u64 {
        lock(&self.0.control).revocations_undone
    }

    /// States how many routes forward what they would refuse.
    pub fn set_routes_observing(&self, count: u64) {
        lock(&self.0.control).routes_observing = count;
    }

    /// Requests that observing routes let through, by what they would have been refused for; those reasons that occurred.
    pub fn observed(&self) -> Vec<(Reason, u64)> {
        let workers = self.0.workers();
        let count = |reason: Reason| {
            workers.iter().map(|worker| worker.requests.observed[reason as usize].get()).sum::<u64>()
        };
        Reason::ALL
            .map(|reason| (reason, count(reason)))
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// States that `source`, a name the operator knows, was taken into force at `at`.
    pub fn source_taken(&self, source: &str, at: Timestamp) {
        self.with_source(source, |state| (state.succeeded, state.wrong) = (Some(at), None));
    }

    /// States that `source` was found wrong at `at`. `problem` is the first thing wrong, with its file, line and
    /// column; it is shown to whoever reads `/readyz`, so it must quote no secret. Cut after 1,000 bytes.
    pub fn source_wrong(&self, source: &str, at: Timestamp, problem: &str) {
        let problem: Box<str> = problem[..problem.floor_char_boundary(PROBLEM_BYTES_MAX)].into();
        self.with_source(source, |state| {
            let since = state.wrong.as_ref().map_or(at, |wrong| wrong.since);
            (state.failed, state.wrong) = (Some(at), Some(Wrong { since, problem }));
        });
    }

    /// States that `source` is no more, as a removed file of a directory.
    pub fn source_removed(&self, source: &str) {
        lock(&self.0.control).sources.remove(source);
    }

    /// How every source stands, in the order of their names. Cost: a copy of each.
    pub fn sources(&self) -> Vec<SourceStatus> {
        let sources = &lock(&self.0.control).sources;
        sources.iter().filter_map(|(name, state)| state.status(name)).collect()
    }

    fn with_source(&self, source: &str, change: impl FnOnce(&mut SourceState)) {
        let sources = &mut lock(&self.0.control).sources;
        let full = sources.len() >= SOURCES_MAX && !sources.contains_key(source);
        change(sources.entry(if full { OTHER_SOURCES } else { source }.into()).or_default());
    }
}

/// The lock, also where a thread panicked while it held it: numbers stay numbers.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_as_listed() {
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
        for (at, by) in AbortedBy::ALL.into_iter().enumerate() {
            assert_eq!(by as usize, at);
        }
        for (at, door) in Door::ALL.into_iter().enumerate() {
            assert_eq!(door as usize, at);
        }
    }

    #[test]
    fn durations_fall_into_the_bucket_whose_bound_they_do_not_exceed() {
        for (us, bucket) in [(0, 0), (500, 0), (501, 1), (60_000_000, 15), (60_000_001, 16), (u64::MAX, 16)] {
            let (histogram, mut total) = (DurationHistogram::default(), DurationTotals::default());
            histogram.observe(Duration::from_micros(us));
            histogram.add_to(&mut total);
            assert_eq!(total.buckets.iter().position(|count| *count == 1), Some(bucket), "{us} µs");
            assert_eq!(total.sum_us, us);
        }
    }

    #[test]
    fn sources_beyond_the_limit_share_an_entry() {
        let metrics =
            Metrics::new(BuildInfo { version: "0", revision: "0", target: "t" }, Timestamp::UNIX_EPOCH);
        let wrong = || metrics.sources().iter().filter(|source| source.problem.is_some()).count();
        for n in 0..SOURCES_MAX + 50 {
            metrics.source_wrong(&n.to_string(), Timestamp::UNIX_EPOCH, "keys.yaml:1:1: no");
        }
        assert_eq!(wrong(), SOURCES_MAX + 1);
        metrics.source_taken("0", Timestamp::UNIX_EPOCH);
        metrics.source_removed("1");
        assert_eq!(wrong(), SOURCES_MAX - 1);
    }

    #[test]
    fn a_source_is_wrong_since_it_was_first_found_so() {
        let metrics =
            Metrics::new(BuildInfo { version: "0", revision: "0", target: "t" }, Timestamp::UNIX_EPOCH);
        let at = |second| Timestamp::from_second(second).unwrap();
        let status = |second, problem: Option<&str>| {
            vec![SourceStatus {
                name: "keys.yaml".into(),
                since: at(second),
                problem: problem.map(Into::into),
            }]
        };
        metrics.source_taken("keys.yaml", at(1));
        assert_eq!(metrics.sources(), status(1, None));
        metrics.source_wrong("keys.yaml", at(2), "keys.yaml:3:5: one");
        metrics.source_wrong("keys.yaml", at(3), "keys.yaml:4:5: other");
        assert_eq!(metrics.sources(), status(2, Some("keys.yaml:4:5: other")));
        metrics.source_taken("keys.yaml", at(4));
        assert_eq!(metrics.sources(), status(4, None));
        metrics.source_wrong("keys.yaml", at(5), &"ü".repeat(PROBLEM_BYTES_MAX));
        assert_eq!(metrics.sources(), status(5, Some(&"ü".repeat(PROBLEM_BYTES_MAX / 2))));
    }
}
