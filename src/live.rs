//! What is in force: the one place where the control side hands it to the data path.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use crate::{config::model::Config, keys::snapshot::KeySnapshot};

/// Config and keys that are in force together. A request is judged by one of these from its first byte to its verdict.
#[derive(Debug)]
pub struct Published {
    /// Grows by one with every change.
    pub revision: u64,
    /// Routes, upstreams and everything else of `keygate.yaml`.
    pub config: Arc<Config>,
    /// Keys and people; `None` until they were read for the first time.
    pub keys: Option<KeySnapshot>,
}

/// The handle through which changes come into force: cheap to clone, one per process.
#[derive(Debug, Clone)]
pub struct Live(Arc<ArcSwap<Published>>);

impl Live {
    /// Starts with `first` in force.
    pub fn new(first: Published) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(first)))
    }

    /// Puts `next` in force: every verdict that begins after this returns is made by it, or by a later one.
    pub fn publish(&self, next: Published) {
        self.0.store(Arc::new(next));
    }

    /// What is in force now.
    pub fn current(&self) -> Arc<Published> {
        self.0.load_full()
    }

    /// A reader for one thread.
    pub fn reader(&self) -> LiveReader {
        LiveReader(Cache::new(Arc::clone(&self.0)))
    }
}

/// One thread's view. Cost of a look: one relaxed load while nothing changed; no counter that another core writes.
#[derive(Debug)]
pub struct LiveReader(Cache<Arc<ArcSwap<Published>>, Arc<Published>>);

impl LiveReader {
    /// What is in force now.
    pub fn load(&mut self) -> &Arc<Published> {
        self.0.load()
    }
}
