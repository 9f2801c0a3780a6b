//! `POST /api/v1/people/{id}/enable`.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};

use super::{ChangedPerson, changed, person_id};
use crate::{
    admin::{
        api::keys::revoke::PATIENCE,
        asked::{Asked, Id, Nothing, Wait, WaitQuery},
        caller::Caller,
        change::Change,
        problem::Problem,
        state::AdminState,
    },
    control::people_admin::{self, PersonUpdate},
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
    let id = person_id(&id)?;
    let administration = state.administration(&caller, asked.submission(caller.actor.in_full()));
    let update = PersonUpdate { disabled: Some(false), ..PersonUpdate::default() };
    let outcome =
        people_admin::update(&administration, &id, &update, asked.seen.as_ref(), "people enable").await;
    let change = Change::of_outcome(&administration, outcome, wait.unwrap_or(PATIENCE)).await?;
    let status = change.status();
    Ok((status, changed(&administration, &id, change).await?).into_response())
}
