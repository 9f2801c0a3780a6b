//! `GET /api/v1/keys/{id}`.

use axum::{Json, extract::State};

use super::{key_id, view};
use crate::{
    admin::{answer::Tagged, asked::Id, caller::Caller, problem::Problem, state::AdminState},
    control::key_view::KeyView,
};

/// Show a key.
///
/// The `ETag` tells this state of it from every other; give it as `If-Match` where you change the key.
#[utoipa::path(
    get,
    path = "/api/v1/keys/{id}",
    tag = "keys",
    params(("id" = String, Path, description = "The id of the key.")),
    responses(
        (status = 200, description = "The key.", body = KeyView, headers(("ETag" = String))),
    )
)]
pub(in crate::admin) async fn show_key(
    State(state): State<AdminState>,
    caller: Caller,
    Id(id): Id,
) -> Result<Tagged<Json<KeyView>>, Problem> {
    let administration = state.administration(&caller, None);
    let (tag, key) = view(&mut administration.look().await?, &key_id(&id)?, state.clock.now()).await?;
    Ok(Tagged(tag, Json(key)))
}
