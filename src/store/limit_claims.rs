//! What replicas tell each other of the limits of keys.

use std::time::Duration;

use crate::{keys::record::KeyId, limit::share::Claim};

/// A replica that was heard of within this time counts as living where limits are divided.
pub const LIVE_WITHIN: Duration = Duration::from_secs(5);

/// So many claims are read at once, those of the greatest demand; more would say little.
pub const CLAIMS_READ: usize = 10_000;

/// What a fleet says of limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetLimits {
    /// Replicas that live, by id.
    pub replicas: Vec<String>,
    /// What they say; nothing of a key of which they are asked for little.
    pub claims: Vec<LimitClaim>,
}

/// What a replica says of the limits of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitClaim {
    /// Its id.
    pub replica: String,
    /// The key.
    pub key: KeyId,
    /// Of requests in time.
    pub rate: Claim,
    /// Of requests at once.
    pub concurrent: Claim,
}
