//! `POST /api/v1/people/{id}/disable`.

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

/// Stop every key of a person.
///
/// They cannot sign in either, and their sessions end. Waits ten seconds, unless `wait` says otherwise, until every live
/// replica refuses their keys.
#[utoipa::path(
    post,
    path = "/api/v1/people/{id}/disable",
    tag = "people",
    params(
        ("id" = String, Path, description = "The id of the person."), WaitQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag of the person as you have seen them."),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this change, so that it is made once."),
    ),
    responses(
        (status = 200, description = "They are disabled.", body = ChangedPerson, headers(("ETag" = String))),
        (status = 202, description = "They are disabled, but not every replica has confirmed it.", body = ChangedPerson, headers(("ETag" = String))),
    )
)]
pub(in crate::admin) async fn disable_person(
    State(state): State<AdminState>,
    caller: Caller,
    Id(id): Id,
    Wait(wait): Wait,
    asked: Asked<Nothing>,
) -> Result<Response, Problem> {
    let update = PersonUpdate { disabled: Some(true), ..PersonUpdate::default() };
    let command = Command { name: "people disable", update, patience: wait.unwrap_or(PATIENCE) };
    change(&state, &caller, &id, asked, |Nothing {}| Ok(command)).await
}
