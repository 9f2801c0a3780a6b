//! `GET /api/v1/replicas`.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::{caller::Caller, problem::Problem, state::AdminState},
    control::{administration::AdminError, replica_view::ReplicaView},
};

/// The replicas, and where their database stands.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct ReplicaList {
    /// The newest revision; `null` where keys are kept in files, of which each gateway has its own.
    revision: Option<u64>,
    /// By id.
    items: Vec<ReplicaView>,
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
