//! Where the data path meets telemetry: what one worker holds of it, on its own thread.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    rc::Rc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::mpsc::{Receiver, Sender};

use super::{
    access_log::{AccessLog, Choice, LineText, WorkerAccessLog},
    metrics::{Metrics, PlanMetrics, UpstreamMetrics, WorkerMetrics},
    outcome::{OutcomeGuard, RequestOutcome},
    trace_context::{IdSource, RequestId, TraceParent},
    usage::{NeededScopes, UsageBatch, WorkerUsage, usage_channel},
};
use crate::{
    clock,
    policy::scope::{ScopeSet, Scopes},
};

/// How often a worker should call [`WorkerTelemetry::tick`].
pub const TICK: Duration = Duration::from_millis(200);
/// How often uses of keys are handed over.
const USAGE_EVERY: Duration = Duration::from_secs(5);
/// Line texts kept for reuse; more requests than this at once allocate theirs.
const SPARE_TEXTS: usize = 256;
/// A text whose buffer grew beyond this is not kept.
const SPARE_BYTES: usize = 4096;

/// The telemetry of the process, held by the control side.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    access_log: AccessLog,
    batches: Sender<UsageBatch>,
}

impl Telemetry {
    /// Puts the parts together; the receiver yields what [`super::usage::UsageTotals::add`] takes.
    pub fn new(metrics: Metrics, access_log: AccessLog) -> (Self, Receiver<UsageBatch>) {
        let (batches, received) = usage_channel();
        (Self { metrics, access_log, batches }, received)
    }

    /// The part of one more worker, to be sent to its thread and wrapped in an [`Rc`] there.
    ///
    /// # Errors
    /// Where the operating system gives no randomness.
    pub fn worker(&self, now: Timestamp) -> io::Result<WorkerTelemetry> {
        Ok(WorkerTelemetry {
            metrics: self.metrics.worker(),
            log: RefCell::new(self.access_log.worker()),
            usage: RefCell::new(WorkerUsage::new(self.batches.clone())),
            ids: RefCell::new(IdSource::from_os().map_err(io::Error::other)?),
            anchor: Cell::new(Anchor { instant: clock::monotonic(), unix_ms: now.as_millisecond() }),
            usage_sent: Cell::new(clock::monotonic()),
            spare: RefCell::default(),
        })
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The access log.
    pub fn access_log(&self) -> &AccessLog {
        &self.access_log
    }

    /// Waits, at most `patience`, until the access log is written; call it when every worker has ended.
    pub fn close(self, patience: Duration) -> bool {
        self.access_log.close(patience)
    }
}

/// An instant of both clocks, from which wall times follow without asking again.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    instant: Instant,
    unix_ms: i64,
}

impl Anchor {
    fn unix_ms(self, at: Instant) -> i64 {
        let since = |later: Instant, earlier| {
            i64::try_from(later.saturating_duration_since(earlier).as_millis()).unwrap_or(i64::MAX)
        };
        self.unix_ms.saturating_add(since(at, self.instant)).saturating_sub(since(self.instant, at))
    }
}

/// One worker's telemetry: its cells, its log buffer, its uses of keys, its ids. Stays on the worker's thread.
pub struct WorkerTelemetry {
    metrics: WorkerMetrics,
    log: RefCell<WorkerAccessLog>,
    usage: RefCell<WorkerUsage>,
    ids: RefCell<IdSource>,
    anchor: Cell<Anchor>,
    usage_sent: Cell<Instant>,
    spare: RefCell<Vec<LineText>>,
}

impl fmt::Debug for WorkerTelemetry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WorkerTelemetry").finish_non_exhaustive()
    }
}

impl WorkerTelemetry {
    /// Begins a request whose head's first byte came at `started`; the guard emits its outcome, once.
    pub fn begin(self: &Rc<Self>, started: Instant) -> OutcomeGuard {
        OutcomeGuard::new(Rc::clone(self), started)
    }

    /// This worker's cells.
    pub fn metrics(&self) -> &WorkerMetrics {
        &self.metrics
    }

    /// This worker's cells of an upstream; for when a config is taken into force.
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        self.metrics.upstream(name)
    }

    /// This worker's cells of a plan; for when a config is taken into force.
    pub fn plan(&self, name: &str) -> PlanMetrics {
        self.metrics.plan(name)
    }

    /// States the table of scopes that requests are permitted by from now on; for when a config is taken into force.
    pub fn set_scopes(&self, scopes: &Scopes) {
        self.usage.borrow_mut().set_scopes(scopes);
    }

    /// States the path patterns of the routes that say `observe` from now on; for when a config is taken into force.
    pub fn set_observing<'p>(&self, patterns: impl Iterator<Item = &'p str>) {
        self.metrics.set_observing(patterns);
    }

    pub(super) fn needed(&self, scopes: ScopeSet) -> NeededScopes {
        self.usage.borrow().needed(scopes)
    }

    /// A request id for a request that began at `started`. Cost: about 45 ns, no system call.
    pub fn request_id(&self, started: Instant) -> RequestId {
        let unix_ms = u64::try_from(self.anchor.get().unix_ms(started)).unwrap_or(0);
        self.ids.borrow_mut().request_id(unix_ms)
    }

    /// The `traceparent` to send upstream: the next hop of the client's, or a new trace where it sent no valid one.
    pub fn trace(&self, parent: Option<TraceParent>) -> TraceParent {
        let mut ids = self.ids.borrow_mut();
        match parent {
            Some(parent) => parent.next_hop(&mut ids),
            None => TraceParent::begin(&mut ids),
        }
    }

    /// Hands over what has gathered and sets the clock by `now`; every [`TICK`], also while idle. Never waits.
    pub fn tick(&self, now: Timestamp) {
        let instant = clock::monotonic();
        self.anchor.set(Anchor { instant, unix_ms: now.as_millisecond() });
        self.log.borrow_mut().flush(&self.metrics);
        if instant.saturating_duration_since(self.usage_sent.get()) >= USAGE_EVERY {
            self.usage_sent.set(instant);
            self.usage.borrow_mut().hand_over();
        }
    }

    /// Hands over everything, as when the worker ends.
    pub fn flush(&self) {
        self.log.borrow_mut().flush(&self.metrics);
        self.usage.borrow_mut().hand_over();
    }

    pub(super) fn choose_line(&self) -> (Choice, Option<LineText>) {
        let choice = self.log.borrow().choose(&mut self.ids.borrow_mut());
        let kept = choice != Choice::Never;
        (choice, kept.then(|| self.spare.borrow_mut().pop().unwrap_or_default()))
    }

    /// Takes the outcome of a request that ended at `ended`.
    pub(super) fn emit(
        &self,
        outcome: &RequestOutcome,
        ended: Instant,
        upstream: Option<&str>,
        choice: Choice,
        text: Option<LineText>,
    ) {
        let ended_ms = self.anchor.get().unix_ms(ended);
        self.metrics.count_request(outcome);
        self.usage.borrow_mut().record(outcome, ended_ms, &self.metrics);
        if let Some(mut text) = text {
            self.log.borrow_mut().append(outcome, &text, choice, ended_ms, upstream, &self.metrics);
            let mut spare = self.spare.borrow_mut();
            if spare.len() < SPARE_TEXTS && text.capacity() <= SPARE_BYTES {
                text.clear();
                spare.push(text);
            }
        }
    }
}

impl Drop for WorkerTelemetry {
    fn drop(&mut self) {
        self.flush();
        self.metrics.usage_dropped.add(self.usage.borrow().pending());
    }
}

#[cfg(test)]
mod tests;
