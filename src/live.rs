//! What is in force: the one place where the control side hands it to the data path, and where the workers tell that
//! they have put it in force for the requests under way too.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Cache};
use tokio::sync::watch;

use crate::{config::model::Config, keys::snapshot::KeySnapshot, limit::cells::Limits};

/// Config and keys that are in force together. A request is judged by one of these from its first byte to its verdict.
#[derive(Debug)]
pub struct Published {
    /// With a database, its revision; with key files, a number that grows by one with every change.
    pub revision: u64,
    /// Routes, upstreams and everything else of `keygate.yaml`.
    pub config: Arc<Config>,
    /// Keys and people; `None` until they were read for the first time.
    pub keys: Option<KeySnapshot>,
}

/// The handle through which changes come into force: cheap to clone, one per process.
#[derive(Debug, Clone)]
pub struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    published: Arc<ArcSwap<Published>>,
    lease: Lease,
    limits: Limits,
    /// Grows with every publication.
    sequence: watch::Sender<u64>,
    workers: Mutex<Vec<Standing>>,
    /// Grows with every report of a worker.
    reports: watch::Sender<u64>,
}

/// How far one worker is.
#[derive(Debug, Clone, Copy)]
struct Standing {
    sequence: u64,
    closed: u64,
    is_gone: bool,
}

/// The number of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Publication(u64);

impl Live {
    /// Starts with `first` in force.
    pub fn new(first: Published) -> Self {
        Self(Arc::new(Shared {
            published: Arc::new(ArcSwap::from_pointee(first)),
            lease: Lease::endless(),
            limits: Limits::default(),
            sequence: watch::Sender::new(0),
            workers: Mutex::default(),
            reports: watch::Sender::new(0),
        }))
    }

    /// Puts `next` in force: every verdict that begins after this returns is made by it, or by a later one. What of the
    /// requests under way it no longer permits is ended when [`Live::enforced`] says so.
    pub fn publish(&self, next: Published) -> Publication {
        self.0.published.store(Arc::new(next));
        self.enforce()
    }

    /// Has every worker judge its requests under way anew, by what is in force.
    pub fn enforce(&self) -> Publication {
        let mut sequence = 0;
        self.0.sequence.send_modify(|last| {
            *last += 1;
            sequence = *last;
        });
        Publication(sequence)
    }

    /// What is in force now.
    pub fn current(&self) -> Arc<Published> {
        self.0.published.load_full()
    }

    /// For how long the keys in force may be trusted.
    pub fn lease(&self) -> &Lease {
        &self.0.lease
    }

    /// What keys have used of their limits, whatever config and keys are in force.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// A reader for one thread.
    pub fn reader(&self) -> LiveReader {
        LiveReader { cache: Cache::new(Arc::clone(&self.0.published)), live: self.clone() }
    }

    /// One worker's part in putting publications in force for requests under way.
    pub fn enforcer(&self) -> Enforcer {
        let mut sequence = self.0.sequence.subscribe();
        // What was published before, a worker that begins now has in force from its first request.
        let begins_at = *sequence.borrow_and_update();
        let mut workers = self.workers();
        workers.push(Standing { sequence: begins_at, closed: 0, is_gone: false });
        Enforcer { live: self.clone(), sequence, worker: workers.len() - 1 }
    }

    /// Waits until every worker has put `publication` in force, and gives how many streams all of them have closed
    /// since the process started.
    pub async fn enforced(&self, publication: Publication) -> u64 {
        let mut reports = self.0.reports.subscribe();
        loop {
            if let Some(closed) = self.closed_at(publication) {
                return closed;
            }
            if reports.changed().await.is_err() {
                return 0;
            }
        }
    }

    /// How many streams the workers have closed since the process started.
    pub fn closed(&self) -> u64 {
        closed(&self.workers())
    }

    fn closed_at(&self, publication: Publication) -> Option<u64> {
        let workers = self.workers();
        let is_done = |worker: &Standing| worker.is_gone || worker.sequence >= publication.0;
        workers.iter().all(is_done).then(|| closed(&workers))
    }

    fn workers(&self) -> std::sync::MutexGuard<'_, Vec<Standing>> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed(workers: &[Standing]) -> u64 {
    workers.iter().map(|worker| worker.closed).sum()
}

/// One thread's view. Cost of a look: one relaxed load while nothing changed; no counter that another core writes.
#[derive(Debug)]
pub struct LiveReader {
    cache: Cache<Arc<ArcSwap<Published>>, Arc<Published>>,
    live: Live,
}

impl LiveReader {
    /// What is in force now.
    pub fn load(&mut self) -> &Arc<Published> {
        self.cache.load()
    }

    /// For how long the keys in force may be trusted.
    pub fn lease(&self) -> &Lease {
        self.live.lease()
    }
}

/// Tells one worker of publications, and the control side how far the worker is. Dropped, the worker has ended.
#[derive(Debug)]
pub struct Enforcer {
    live: Live,
    sequence: watch::Receiver<u64>,
    worker: usize,
}

impl Enforcer {
    /// Waits for the next publication that this worker has not put in force yet.
    pub async fn next(&mut self) -> Publication {
        if self.sequence.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        Publication(*self.sequence.borrow_and_update())
    }

    /// No request of this worker is under way that `publication` does not permit; `closed` were ended for it.
    pub fn done(&self, publication: Publication, closed: u64) {
        if let Some(worker) = self.live.workers().get_mut(self.worker) {
            worker.sequence = publication.0;
            worker.closed += closed;
        }
        self.live.0.reports.send_modify(|count| *count += 1);
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        if let Some(worker) = self.live.workers().get_mut(self.worker) {
            worker.is_gone = true;
        }
        self.live.0.reports.send_modify(|count| *count += 1);
    }
}

/// For how long the keys in force may be trusted, on the boot clock, which goes on while the machine sleeps and which
/// nobody sets (see [`crate::clock::boot`]). Endless unless the control side says otherwise.
#[derive(Debug)]
pub struct Lease(AtomicI64);

impl Lease {
    fn endless() -> Self {
        Self(AtomicI64::new(i64::MAX))
    }

    /// Whether it ends at all; only then need the clock be asked.
    pub fn is_endless(&self) -> bool {
        self.0.load(Ordering::Acquire) == i64::MAX
    }

    /// Whether it runs at `boot`.
    pub fn runs_at(&self, boot: Duration) -> bool {
        let end = self.0.load(Ordering::Acquire);
        end == i64::MAX || i64::try_from(boot.as_millis()).is_ok_and(|now| now < end)
    }

    /// It runs on.
    pub fn never_ends(&self) {
        self.0.store(i64::MAX, Ordering::Release);
    }

    /// It runs until `boot`, and no longer.
    pub fn ends_at(&self, boot: Duration) {
        self.0.store(i64::try_from(boot.as_millis()).unwrap_or(i64::MAX - 1), Ordering::Release);
    }
}
