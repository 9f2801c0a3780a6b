//! `DELETE /api/v1/projects/{id}`.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};

use crate::{
    admin::{
        asked::{Asked, Id, Nothing, Wait, WaitQuery},
        caller::Caller,
        change::Change,
        problem::Problem,
        state::AdminState,
    },
    control::project_admin,
};

/// Take back the declaration of a project.
///
/// From then on requests that name it are answered 404. Not while a key or person names it.
#[utoipa::path(
    delete,
    path = "/api/v1/projects/{id}",
    tag = "projects",
    params(
        ("id" = String, Path, description = "The id of the project."), WaitQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "Names this change, so that it is made once."),
    ),
    responses(
        (status = 200, description = "It is nobody's now.", body = Change),
        (status = 202, description = "It is nobody's, but not every replica has confirmed it.", body = Change),
    )
)]
pub(in crate::admin) async fn remove_project(
    State(state): State<AdminState>,
    caller: Caller,
    Id(id): Id,
    Wait(wait): Wait,
    asked: Asked<Nothing>,
) -> Result<Response, Problem> {
    let administration = state.administration(&caller, asked.submission(caller.actor.in_full()));
    let outcome = project_admin::remove(&administration, &id).await;
    let change = Change::of_outcome(&administration, outcome, wait.unwrap_or(Duration::ZERO)).await?;
    Ok((change.status(), Json(change)).into_response())
}
