//! `POST /api/v1/people/{id}/disable`.

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

/// Stop every key of a person.
///
/// They cannot sign in either, and their sessions end. Waits ten seconds, unless `wait` says otherwise, until every liven/// replica refuses their keys.
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
    let id = person_id(&id)?;
    let administration = state.administration(&caller, asked.submission(caller.actor.in_full()));
    let update = PersonUpdate { disabled: Some(true), ..PersonUpdate::default() };
    let outcome =
        people_admin::update(&administration, &id, &update, asked.seen.as_ref(), "people disable").await;
    let change = Change::of_outcome(&administration, outcome, wait.unwrap_or(PATIENCE)).await?;
    let status = change.status();
    Ok((status, changed(&administration, &id, change).await?).into_response())
}
