//! The admin listener: what it serves is put together here.

use std::sync::Arc;

use axum::Router;
use jiff::SignedDuration;

use super::{StartError, bind_one, first_owner};
use crate::{
    admin::{
        self,
        guard::Guard,
        listener::connections_within,
        state::{AdminParts, AdminState},
        thread::{AdminThread, AdminThreadParts},
    },
    clock::{Clock, SystemClock},
    config::model::{AdminConfig, KeySource, SessionLifetimes},
    console,
    control::{
        administration::Kept,
        local_revocation::ServedKeys,
        reload_thread::ReloadHandle,
        sign_in::{Lifetimes, SignIn, SignInParts},
    },
    live::Live,
    net::{
        drain::Shutdown,
        listener::{ListenAddress, ListeningSocket},
        tls::CertificateStore,
    },
    store::{
        accounts::Accounts, file_store::ServedFiles, key_files::Location, memory_accounts::MemoryAccounts,
        records_in_force::RecordsInForce, sql,
    },
    telemetry::{audit::AuditLog, history::History, metrics::Metrics},
};

/// The admin listener, bound and not yet served.
pub(super) struct AdminDoor {
    config: AdminConfig,
    pub(super) address: ListenAddress,
    socket: ListeningSocket,
}

/// What the admin listener shows and changes.
pub(super) struct AdminSources {
    /// Where keys are kept.
    pub(super) keys: KeySource,
    /// What is in force.
    pub(super) live: Live,
    /// The records of key files that are in force.
    pub(super) records: RecordsInForce,
    /// What looks at the sources.
    pub(super) reload: ReloadHandle,
    /// What is counted.
    pub(super) metrics: Metrics,
    /// Where sign-ins are told.
    pub(super) audit: Arc<AuditLog>,
    /// What tells this gateway from others of its database.
    pub(super) place: String,
}

impl AdminDoor {
    pub(super) fn bind(config: AdminConfig) -> Result<Self, StartError> {
        let (address, socket) = bind_one("admin", config.address.clone())?;
        Ok(Self { config, address, socket })
    }

    pub(super) fn open(
        self,
        certificates: Option<Arc<CertificateStore>>,
        open_files: usize,
        shutdown: Shutdown,
        sources: AdminSources,
    ) -> Result<AdminThread, StartError> {
        let guard = Guard::new(&self.config, &self.address);
        let connections = connections_within(open_files);
        let (thread, name, socket) = ("keygate-admin", "admin", self.socket);
        let parts = AdminThreadParts { thread, name, socket, guard, certificates, connections, shutdown };
        let (kept, accounts) = kept(&sources)?;
        let SessionLifetimes { idle, absolute } = self.config.sessions;
        let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        let lifetimes = Lifetimes { idle: signed(idle), absolute: signed(absolute) };
        let place = Place { url: self.config.url(&self.address), name: sources.place.clone() };
        let router = move || (router(sources, kept, accounts, lifetimes, place), None);
        Ok(AdminThread::start(parts, router)
            .map_err(|error| format!("the admin listener cannot be served: {error}"))?)
    }
}

/// Where this listener is.
struct Place {
    /// For people.
    url: Option<String>,
    /// Among all gateways of a database.
    name: String,
}

fn router(
    sources: AdminSources,
    kept: Kept,
    accounts: Arc<dyn Accounts>,
    lifetimes: Lifetimes,
    place: Place,
) -> Router {
    let AdminSources { live, reload, metrics, audit, .. } = sources;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let history = Arc::new(History::new(metrics.clone(), clock.now()));
    let samples = Arc::clone(&history);
    tokio::spawn(async move { samples.run().await });
    let sign_in = SignIn::new(SignInParts {
        kept: kept.clone(),
        accounts,
        audit,
        clock: Arc::clone(&clock),
        lifetimes,
    });
    let folder = live.current().config.state.clone();
    let url = place.url;
    let state = AdminState::new(AdminParts { kept, live, reload, sign_in, history, metrics, url, clock });
    tokio::spawn(first_owner::offer(state.clone(), place.name, folder));
    admin::router().merge(console::router(&state)).with_state(state)
}

/// Where the admin listener looks and writes. A database of its own: nothing is said to it before the first request.
pub(super) fn kept(sources: &AdminSources) -> Result<(Kept, Arc<dyn Accounts>), StartError> {
    let location = match &sources.keys {
        KeySource::Database(source) => {
            let database = sql::database(&source.url, source.listen_url.as_ref());
            let database = database.map_err(|error| error.to_string())?;
            let accounts = database.accounts();
            return Ok((Kept::Database(database), accounts));
        }
        KeySource::File(path) => Location::File(path.clone()),
        KeySource::Directory(path) => Location::Directory(path.clone()),
    };
    let state = sources.live.current().config.state.clone();
    let served = ServedKeys {
        files: ServedFiles::new(location, state.clone(), sources.records.clone()),
        state,
        reload: sources.reload.clone(),
        live: sources.live.clone(),
    };
    Ok((Kept::Served(Arc::new(served)), Arc::new(MemoryAccounts::default())))
}
