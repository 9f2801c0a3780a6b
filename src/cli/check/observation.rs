//! Routes that observe, so that nobody forgets them, and whether anybody would see what they record.

use crate::{
    cli::{deployment::Deployment, finding::Finding},
    clock::{Clock as _, SystemClock},
    config::model::AccessLogMode,
    control::observation::{Phase, observed_routes},
};

/// Warnings of every route that says `observe`.
pub(super) fn of(deployment: &Deployment) -> Vec<Finding> {
    let config = &deployment.config;
    let mut warnings: Vec<Finding> = Vec::new();
    let mut any = false;
    for route in observed_routes(config, SystemClock.now()) {
        any |= route.phase != Phase::Over;
        let place = deployment.route_place(route.index).unwrap_or_default();
        warnings.push(Finding::at(&deployment.path, place, &route.to_string(), route.remedy()));
    }
    if any && config.access_log.mode == AccessLogMode::Off {
        let message =
            "routes observe, and the access log is off, so nobody learns whom they would refuse; turn it on";
        warnings.push(Finding::of_file(&deployment.path, message));
    }
    warnings
}
