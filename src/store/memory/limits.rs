//! What replicas say of limits, in memory.

use std::time::Duration;

use jiff::Timestamp;

use super::Followers;
use crate::store::contract::{FleetLimits, LIVE_WITHIN, LimitClaim};

/// See [`Database::share_limits`](crate::store::contract::Database::share_limits).
pub(super) fn share(
    followers: &mut Followers,
    replica: &str,
    divide: &mut (dyn FnMut(&FleetLimits) -> Vec<LimitClaim> + Send),
) {
    let now = Timestamp::now();
    let silence = |beat: Timestamp| Duration::try_from(now.duration_since(beat)).unwrap_or_default();
    let live = followers.replicas.values().filter(|known| LIVE_WITHIN > silence(known.beat_at));
    let replicas: Vec<_> = live.map(|known| known.beat.replica.clone()).collect();
    let mut claims = followers.limits.clone();
    claims.retain(|claim| replicas.contains(&claim.replica));
    let own = divide(&FleetLimits { replicas, claims });
    let known = &followers.replicas;
    followers.limits.retain(|claim| claim.replica != replica && known.contains_key(&claim.replica));
    followers.limits.extend(own);
}
