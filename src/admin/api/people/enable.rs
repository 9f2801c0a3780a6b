//! `POST /api/v1/people/{id}/enable`.

use axum::{extract::State, response::Response};

use super::{ChangedPerson, Command, change};
use crate::{
    admin::{
        api::keys::revoke::PATIENCE,
        asked::{Asked, Id, Nothing, Wait, WaitQuery},
        caller::Caller,
        problem::Problem,
        state::AdminState,
    },
    control::people_admin::PersonUpdate,
};

/// Let the keys of a person work again.
///
/// Their role and projects are as before.
#[utoipa::path(
    post,
    path = "/api/v1/people/{id}/enable",
    tag = "people",
    params(
        ("id" = String, Path, description = "The id of the person."), WaitQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag of the person as you have seen them."),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this change, so that it is made once."),
    ),
    responses(
        (status = 200, description = "They are enabled.", body = ChangedPerson, headers(("ETag" = String))),
        (status = 202, description = "They are enabled, but not every replica has confirmed it.", body = ChangedPerson, headers(("ETag" = String))),
    )
)]
pub(in crate::admin) async fn enable_person(
    State(state): State<AdminState>,
    caller: Caller,
    Id(id): Id,
    Wait(wait): Wait,
    asked: Asked<Nothing>,
) -> Result<Response, Problem> {
    let update = PersonUpdate { disabled: Some(false), ..PersonUpdate::default() };
    let command = Command { name: "people enable", update, patience: wait.unwrap_or(PATIENCE) };
    change(&state, &caller, &id, asked, |Nothing {}| Ok(command)).await
}
