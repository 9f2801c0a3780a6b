//! `GET /api/v1/people/{id}`.

use axum::{Json, extract::State};

use super::{person_id, view};
use crate::{
    admin::{answer::Tagged, asked::Id, caller::Caller, problem::Problem, state::AdminState},
    control::person_view::PersonView,
};

/// Show a person.
///
/// The `ETag` tells this state of them from every other; give it as `If-Match` where you change them.
#[utoipa::path(
    get,
    path = "/api/v1/people/{id}",
    tag = "people",
    params(("id" = String, Path, description = "The id of the person.")),
    responses((status = 200, description = "The person.", body = PersonView, headers(("ETag" = String))))
)]
pub(in crate::admin) async fn show_person(
    State(state): State<AdminState>,
    caller: Caller,
    Id(id): Id,
) -> Result<Tagged<Json<PersonView>>, Problem> {
    let (tag, person) = view(&state.administration(&caller, None), &person_id(&id)?).await?;
    Ok(Tagged(tag, Json(person)))
}
