//! `POST /api/v1/people/{id}/sign-out`.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::person_id;
use crate::{
    admin::{
        asked::{Asked, Id, Nothing},
        caller::Caller,
        problem::Problem,
        state::AdminState,
    },
    control::{administration::AdminError, people_admin},
};

/// Sessions that were ended.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct SignedOut {
    /// How many.
    ended: u64,
}

/// End every session of a person.
///
/// Their keys go on. Everybody may do it for themselves.
#[utoipa::path(
    post,
    path = "/api/v1/people/{id}/sign-out",
    tag = "people",
    params(("id" = String, Path, description = "The id of the person.")),
    responses((status = 200, description = "They are signed out everywhere.", body = SignedOut))
)]
pub(in crate::admin) async fn sign_out_person(
    State(state): State<AdminState>,
    caller: Caller,
    Id(id): Id,
    _: Asked<Nothing>,
) -> Result<Json<SignedOut>, Problem> {
    let id = person_id(&id)?;
    people_admin::demand_sign_out(&state.administration(&caller, None), &id).await?;
    let ended = state.sign_in.sign_out_everywhere(&id, caller.address).await.map_err(AdminError::from)?;
    Ok(Json(SignedOut { ended }))
}
