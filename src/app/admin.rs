//! The admin listener: what it serves is put together here.

use std::{path::PathBuf, sync::Arc};

use axum::Router;

use super::{StartError, bind_one};
use crate::{
    admin::{
        self,
        guard::Guard,
        listener::connections_within,
        state::{AdminParts, AdminState},
        thread::{AdminThread, AdminThreadParts},
    },
    clock::SystemClock,
    config::model::{AdminConfig, KeySource},
    control::{administration::Kept, reload_thread::ReloadHandle},
    live::Live,
    net::{
        drain::Shutdown,
        listener::{ListenAddress, ListeningSocket},
        tls::CertificateStore,
    },
    store::{
        file_store::{FileStore, FileStoreOptions},
        key_files::Location,
        sql,
    },
    telemetry::operator::Operator,
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
    /// What looks at the sources.
    pub(super) reload: ReloadHandle,
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
        let parts = AdminThreadParts { socket: self.socket, guard, certificates, connections, shutdown };
        let kept = kept(&sources)?;
        let router = move || router(sources, kept);
        Ok(AdminThread::start(parts, router)
            .map_err(|error| format!("the admin listener cannot be served: {error}"))?)
    }
}

fn router(sources: AdminSources, kept: Kept) -> Router {
    let AdminSources { live, reload, .. } = sources;
    let state = AdminState::new(AdminParts { kept, live, reload, clock: Box::new(SystemClock) });
    admin::router(state)
}

/// Where the admin listener looks and writes. A database of its own: nothing is said to it before the first request.
fn kept(sources: &AdminSources) -> Result<Kept, StartError> {
    let config = &sources.live.current().config;
    let location = match &sources.keys {
        KeySource::Database(source) => {
            let database = sql::database(&source.url, source.listen_url.as_ref());
            return Ok(Kept::Database(database.map_err(|error| error.to_string())?));
        }
        KeySource::File(path) => Location::File(path.clone()),
        KeySource::Directory(path) => Location::Directory(path.clone()),
    };
    let state: Option<PathBuf> = config.state.clone();
    let options = FileStoreOptions {
        location,
        rules: Some(config.key_rules()),
        state: state.clone(),
        new_records: None,
        operator: Operator::of_process(),
    };
    Ok(Kept::Files { store: Arc::new(FileStore::new(options)), state })
}
