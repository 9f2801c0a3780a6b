//! What one worker counts of what the config names: upstreams, plans, routes. Cells last as long as somebody holds them, so
//! that those of a name survive a reload, and those of one that is gone end.

use std::{
    marker::PhantomData,
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::metrics::{Counter, DurationHistogram, Level, StatusClasses, lock};
use crate::policy::{plan::Limit, reason::Reason};

/// The cells of one worker for each name.
#[derive(Debug, Default)]
pub(super) struct Named<C>(Mutex<Vec<Cells<C>>>);

/// A name and its cells.
pub(super) type Cells<C> = Arc<(Box<str>, C)>;

impl<C: Default> Named<C> {
    /// The cells of `name`, for the worker's thread.
    pub(super) fn hold(&self, name: &str) -> Held<C> {
        Held { cells: self.cells(name), single_thread: PhantomData }
    }

    /// The cells of `name`, which only this worker may write; those of others that nobody holds are given up.
    pub(super) fn cells(&self, name: &str) -> Cells<C> {
        let mut all = lock(&self.0);
        all.retain(|known| &*known.0 == name || Arc::strong_count(known) > 1);
        let known = all.iter().find(|known| &*known.0 == name).map(Arc::clone);
        known.unwrap_or_else(|| {
            let new = Arc::new((name.into(), C::default()));
            all.push(Arc::clone(&new));
            new
        })
    }
}

impl<C> Named<C> {
    /// Names and cells, for a scrape.
    pub(super) fn all(&self) -> Vec<Cells<C>> {
        lock(&self.0).clone()
    }
}

/// One worker's hold on its cells of one name; stays on the worker's thread.
#[derive(Debug)]
pub struct Held<C> {
    cells: Cells<C>,
    single_thread: PhantomData<*const ()>,
}

impl<C> Held<C> {
    /// The name in the config.
    pub fn name(&self) -> &str {
        &self.cells.0
    }
}

impl<C> Clone for Held<C> {
    fn clone(&self) -> Self {
        Self { cells: Arc::clone(&self.cells), single_thread: PhantomData }
    }
}

impl<C> Deref for Held<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.cells.1
    }
}

/// One worker's hold on its cells of one upstream.
pub type UpstreamMetrics = Held<UpstreamCounters>;

/// One worker's hold on its cells of one plan.
pub type PlanMetrics = Held<PlanCounters>;

/// What one worker counts of one upstream. Reached through [`UpstreamMetrics`].
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct UpstreamCounters {
    pub(super) responses: StatusClasses,
    pub(super) errors: [Counter; UpstreamError::ALL.len()],
    /// Time from sending a request to the head of its answer.
    pub first_byte: DurationHistogram,
    /// Time to connect, TLS included.
    pub connect: DurationHistogram,
    /// Requests sent a second time.
    pub retries: Counter,
    /// Connections that carry an exchange.
    pub in_use: Level,
    /// Connections in the pool.
    pub idle: Level,
}

impl UpstreamCounters {
    /// Counts the head of an answer that took `waited` since the request was sent.
    pub fn responded(&self, status: u16, waited: Duration) {
        self.responses.count(status);
        self.first_byte.observe(waited);
    }

    /// Counts an exchange that failed.
    pub fn failed(&self, error: UpstreamError) {
        self.errors[error as usize].add(1);
    }
}

/// Why an exchange with an upstream failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamError {
    /// The name was not resolved.
    Resolve,
    /// No connection came about.
    Connect,
    /// No connection came about in time.
    ConnectTimeout,
    /// The TLS handshake failed.
    Tls,
    /// No answer, or not the rest of it, in time.
    ResponseTimeout,
    /// The connection closed before the answer was whole.
    Closed,
    /// The answer was no HTTP.
    Protocol,
    /// Its connection and waiting limits were reached.
    Full,
}

impl UpstreamError {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Resolve,
        Self::Connect,
        Self::ConnectTimeout,
        Self::Tls,
        Self::ResponseTimeout,
        Self::Closed,
        Self::Protocol,
        Self::Full,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::ResponseTimeout => "response_timeout",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::Full => "full",
        }
    }
}

/// What one worker counts of one plan. Reached through [`PlanMetrics`].
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct PlanCounters {
    pub(super) exceeded: [Counter; Limit::ALL.len()],
}

impl PlanCounters {
    /// Counts a request that exceeded a limit of the plan.
    pub fn exceeded(&self, limit: Limit) {
        self.exceeded[limit as usize].add(1);
    }
}

/// What one worker counts of the routes of one path pattern that observe.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct RouteCounters {
    pub(super) observed: [Counter; Reason::ALL.len()],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_numbered_as_listed() {
        for (at, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, at);
        }
        for (at, error) in UpstreamError::ALL.into_iter().enumerate() {
            assert_eq!(error as usize, at);
        }
    }

    #[test]
    fn cells_survive_a_reload_and_end_with_their_last_holder() {
        let upstreams = Named::<UpstreamCounters>::default();
        let first = upstreams.hold("api");
        first.retries.add(1);
        assert_eq!(upstreams.hold("api").retries.get(), 1);
        drop(first);
        let _other = upstreams.hold("other");
        assert_eq!(upstreams.all().len(), 1);
    }
}
