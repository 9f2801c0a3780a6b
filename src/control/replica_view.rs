//! A gateway that follows a database, as it is shown.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::contract::Replica;

/// A gateway that follows the database.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplicaView {
    /// Its id, new with each process.
    pub replica: String,
    /// Where it can be found: a host name.
    pub address: String,
    /// Its version.
    pub version: String,
    /// The revision it has in force; 0 before it has loaded any.
    pub revision: u64,
    /// Revisions that it lacks.
    pub behind: u64,
    /// How long it was not heard of, in milliseconds.
    pub silent_ms: u64,
    /// How long it goes on without its database, in milliseconds.
    pub lease_ms: u64,
    /// And what then: `serve` with what it has, or `reject` with 503.
    pub when_stale: &'static str,
    /// When it started.
    pub started_at: String,
}

impl ReplicaView {
    /// `replica`, of a database that has come to the revision `head`.
    pub fn new(replica: &Replica, head: u64) -> Self {
        let Replica { beat, started_at, silent, .. } = replica;
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            replica: beat.replica.clone(),
            address: beat.address.clone(),
            version: beat.version.clone(),
            revision: beat.revision,
            behind: head.saturating_sub(beat.revision),
            silent_ms: milliseconds(*silent),
            lease_ms: milliseconds(beat.lease),
            when_stale: beat.when_stale.as_str(),
            started_at: started_at.to_string(),
        }
    }
}
