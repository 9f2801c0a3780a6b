//! `GET /api/v1/replicas`.

use std::time::Duration;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::{caller::Caller, problem::Problem, state::AdminState},
    control::administration::AdminError,
    store::contract::Replica,
};

/// The replicas, and where their database stands.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct ReplicaList {
    /// The newest revision; `null` where keys are kept in files, of which each gateway has its own.
    revision: Option<u64>,
    /// By id.
    items: Vec<ReplicaView>,
}

/// A gateway that follows the database.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct ReplicaView {
    /// Its id, new with each process.
    replica: String,
    /// Where it can be found: a host name.
    address: String,
    /// Its version.
    version: String,
    /// The revision it has in force; 0 before it has loaded any.
    revision: u64,
    /// Revisions that it lacks.
    behind: u64,
    /// How long it was not heard of, in milliseconds.
    silent_ms: u64,
    /// How long it goes on without its database, in milliseconds.
    lease_ms: u64,
    /// And what then: `serve` with what it has, or `reject` with 503.
    when_stale: &'static str,
    /// When it started.
    started_at: String,
}

/// List the replicas.
///
/// For owners and admins.
#[utoipa::path(
    get,
    path = "/api/v1/replicas",
    tag = "gateway",
    responses((status = 200, description = "The replicas.", body = ReplicaList))
)]
pub(in crate::admin) async fn list_replicas(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<ReplicaList>, Problem> {
    let administration = state.administration(&caller, None);
    administration.demand_watcher().await?;
    let Some(database) = administration.database() else {
        return Ok(Json(ReplicaList { revision: None, items: Vec::new() }));
    };
    let replicas = database.replicas().await.map_err(AdminError::from)?;
    let head = database.head().await.map_err(AdminError::from)?.revision;
    let items = replicas.iter().map(|replica| ReplicaView::new(replica, head)).collect();
    Ok(Json(ReplicaList { revision: Some(head), items }))
}

impl ReplicaView {
    fn new(replica: &Replica, head: u64) -> Self {
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
