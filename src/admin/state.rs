//! What the admin API and the console work with.

use std::{net::IpAddr, sync::Arc};

use crate::{
    clock::Clock,
    control::{
        actor::Actor,
        administration::{Administration, Kept},
        reload_thread::ReloadHandle,
        sign_in::SignIn,
    },
    live::{Live, Published},
    store::contract::Submission,
    telemetry::{history::History, metrics::Metrics, operator::Operator},
};

use super::caller::Caller;

/// What the admin API and the console work with; cheap to clone.
#[derive(Clone, Debug)]
pub struct AdminState(Arc<AdminParts>);

/// The parts of an [`AdminState`].
#[derive(Debug)]
pub struct AdminParts {
    /// Where records are kept.
    pub kept: Kept,
    /// What is in force in this process.
    pub live: Live,
    /// Asks this process to look at its sources.
    pub reload: ReloadHandle,
    /// Signs people in.
    pub sign_in: SignIn,
    /// This process's traffic.
    pub history: Arc<History>,
    /// What is counted, and how each source stands.
    pub metrics: Metrics,
    /// Where people find the console, as `https://keys.example.com`; `None` behind a Unix socket.
    pub url: Option<String>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl AdminState {
    /// The state of `parts`.
    pub fn new(parts: AdminParts) -> Self {
        Self(Arc::new(parts))
    }

    /// What is in force now.
    pub fn published(&self) -> Arc<Published> {
        self.0.live.current()
    }

    /// The records, as the listener itself looks at them to learn who somebody is.
    pub fn on_its_own(&self, address: Option<IpAddr>) -> Administration {
        let published = self.published();
        Administration {
            kept: self.0.kept.clone(),
            rules: Some(published.config.key_rules()),
            key_creation: published.config.key_creation,
            actor: Actor::Operator(Operator::of_process()),
            address,
            submission: None,
        }
    }

    /// The records, as `caller` may see and change them by the config in force.
    pub fn administration(&self, caller: &Caller, submission: Option<Submission>) -> Administration {
        Administration { actor: caller.actor.clone(), submission, ..self.on_its_own(caller.address) }
    }
}

impl std::ops::Deref for AdminState {
    type Target = AdminParts;

    fn deref(&self) -> &AdminParts {
        &self.0
    }
}
