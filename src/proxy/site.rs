//! What a worker makes of the config in force: a pool for each upstream, and counters for each plan.

use std::{rc::Rc, sync::Arc};

use crate::{
    config::model::{Config, UpstreamConfig},
    net::tls::{ClientTls, ClientTlsOptions},
    telemetry::{metrics::PlanMetrics, worker::WorkerTelemetry},
};

use super::upstream::{Pool, UpstreamSecurity, Upstreams};

/// What this worker made of the config in force.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) config: Arc<Config>,
    pub(super) pools: Vec<Rc<Pool>>,
    pub(super) plans: Vec<PlanMetrics>,
}

impl Site {
    /// What this worker makes of `config`; pools of upstreams that did not change are kept.
    pub(super) fn new(
        config: Arc<Config>,
        upstreams: &Upstreams,
        telemetry: &WorkerTelemetry,
        old: Option<&Self>,
    ) -> Self {
        telemetry.set_scopes(&config.policy.scopes);
        let observing = config.policy.routes.routes().iter().filter(|route| route.observed_until.is_some());
        telemetry.set_observing(observing.map(|route| &*route.pattern));
        let pools = config
            .upstreams
            .iter()
            .map(|upstream| {
                let kept = old.and_then(|old| old.pools.iter().find(|pool| pool.config == *upstream));
                kept.map_or_else(
                    || {
                        let metrics = telemetry.upstream(&upstream.name);
                        Pool::new(upstream.clone(), client_tls(upstream), upstreams, metrics)
                    },
                    Rc::clone,
                )
            })
            .collect();
        let plans = config.policy.plans.iter().map(|plan| telemetry.plan(plan.name())).collect();
        Self { config, pools, plans }
    }
}

/// TLS towards `upstream`, if its URL is `https:`. One whose certificate authorities cannot be used is not connected to.
fn client_tls(upstream: &UpstreamConfig) -> UpstreamSecurity {
    let Some(tls) = &upstream.tls else { return UpstreamSecurity::Clear };
    let options = ClientTlsOptions { ca: tls.ca_pem.as_deref().map(<[u8]>::to_vec), server_name: None };
    match ClientTls::new(&tls.server_name, &options) {
        Ok(tls) => UpstreamSecurity::Tls(tls),
        Err(problem) => {
            tracing::error!(upstream = %upstream.name, %problem, "TLS towards the upstream cannot be set up");
            UpstreamSecurity::Broken
        }
    }
}
