//! `GET /api/v1/sessions`.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::SessionView;
use crate::{
    admin::{caller::Caller, problem::Problem, state::AdminState},
    control::administration::AdminError,
};

/// Sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct SessionList {
    /// The last used first.
    items: Vec<SessionView>,
}

/// List your sessions.
#[utoipa::path(
    get,
    path = "/api/v1/sessions",
    tag = "sessions",
    responses((status = 200, description = "The sessions.", body = SessionList))
)]
pub(in crate::admin) async fn list_sessions(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<SessionList>, Problem> {
    let sessions = state.sign_in.sessions(&caller.person.id).await.map_err(AdminError::from)?;
    Ok(Json(SessionList {
        items: sessions.iter().map(|session| SessionView::new(session, &caller)).collect(),
    }))
}
