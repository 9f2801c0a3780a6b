//! `DELETE /api/v1/sessions/{id}`.

use axum::{extract::State, http::StatusCode};

use crate::{
    admin::{asked::Id, caller::Caller, problem::Problem, state::AdminState},
    control::administration::AdminError,
};

/// End one of your sessions.
#[utoipa::path(
    delete,
    path = "/api/v1/sessions/{id}",
    tag = "sessions",
    params(("id" = String, Path, description = "The id of the session.")),
    responses((status = 204, description = "It has ended."))
)]
pub(in crate::admin) async fn end_session(
    State(state): State<AdminState>,
    caller: Caller,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    let ended = state.sign_in.end_session(&caller.person.id, &id, caller.address).await;
    if ended.map_err(AdminError::from)? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(AdminError::NotFound("you have no session with this id".to_owned()).into())
}
