//! `POST /api/v1/people/{id}/invitation`.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::person_id;
use crate::{
    admin::{
        asked::{Asked, Id, Nothing},
        caller::Caller,
        origin::Origin,
        problem::Problem,
        state::AdminState,
    },
    control::{sign_in::INVITATION_VALID, term},
};

/// A link that works once.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Invitation {
    /// The link; nobody can ask for it again.
    #[schema(value_type = String)]
    url: Zeroizing<String>,
    /// From when on it does nothing.
    expires_at: String,
}

/// Make a link by which a person gives themselves a password.
///
/// It works once, for seven days, and takes the place of any other for them. Whoever has it can sign in as them: send it by
/// a way that only they read.
#[utoipa::path(
    post,
    path = "/api/v1/people/{id}/invitation",
    tag = "people",
    params(("id" = String, Path, description = "The id of the person.")),
    responses((status = 201, description = "The link, this once.", body = Invitation))
)]
pub(in crate::admin) async fn invite_person(
    State(state): State<AdminState>,
    caller: Caller,
    Origin(origin): Origin,
    Id(id): Id,
    _: Asked<Nothing>,
) -> Result<Response, Problem> {
    let id = person_id(&id)?;
    let valid_for = INVITATION_VALID.unsigned_abs();
    let expires_at = term::after(state.clock.now(), valid_for).unwrap_or(jiff::Timestamp::MAX).to_string();
    let token = state.sign_in.invite(&state.administration(&caller, None), &id).await?;
    let url = Zeroizing::new(format!("{origin}/invitation/{}", token.expose()));
    let headers = [(CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(Invitation { url, expires_at })).into_response())
}
