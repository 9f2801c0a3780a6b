//! The listener for whoever finds a key: put together here.

use std::sync::Arc;

use super::{
    StartError,
    admin::{AdminSources, kept},
    bind_one,
};
use crate::{
    admin::{
        guard::Guard,
        listener::connections_within,
        possession,
        thread::{AdminThread, AdminThreadParts},
    },
    clock::SystemClock,
    config::model::PossessionConfig,
    control::possession::Possession,
    net::{
        drain::Shutdown,
        listener::{ListenAddress, ListeningSocket},
        tls::CertificateStore,
    },
};

/// The listener, bound and not yet served.
pub(super) struct PossessionDoor {
    config: PossessionConfig,
    pub(super) address: ListenAddress,
    socket: ListeningSocket,
}

impl PossessionDoor {
    pub(super) fn bind(config: PossessionConfig) -> Result<Self, StartError> {
        let (address, socket) = bind_one("revocation", config.address.clone())?;
        Ok(Self { config, address, socket })
    }

    pub(super) fn open(
        self,
        certificates: Option<Arc<CertificateStore>>,
        open_files: usize,
        shutdown: Shutdown,
        sources: &AdminSources,
    ) -> Result<AdminThread, StartError> {
        let Self { config, socket, .. } = self;
        let guard = Guard::open(config.tls.is_some(), config.trusted_proxies);
        let connections = connections_within(open_files);
        let (thread, name) = ("keygate-revoke", "revocation");
        let parts = AdminThreadParts { thread, name, socket, guard, certificates, connections, shutdown };
        let (kept, _) = kept(sources)?;
        let live = sources.live.clone();
        let router = move || {
            let (possession, reports) = Possession::new();
            // It ends with the last handler, once it has done what was taken.
            let revoking = tokio::spawn(reports.revoke_all(kept, live, Arc::new(SystemClock)));
            (possession::router(Arc::new(possession)), Some(revoking))
        };
        Ok(AdminThread::start(parts, router)
            .map_err(|error| format!("the listener for revocation cannot be served: {error}"))?)
    }
}
