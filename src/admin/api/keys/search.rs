//! `POST /api/v1/keys/search`.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::view;
use crate::{
    admin::{answer::Tagged, asked::Asked, caller::Caller, problem::Problem, state::AdminState},
    control::{administration::AdminError, key_view::KeyView, listing},
    keys::digest::KeyDigest,
};

/// What somebody has found.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Found {
    /// The secret of a key.
    #[schema(value_type = String, max_length = 4096)]
    secret: Zeroizing<String>,
}

/// Find the key of a secret.
///
/// For a secret that turned up somewhere. Also one from before a rotation is found, as long as the key knows it.
#[utoipa::path(
    post,
    path = "/api/v1/keys/search",
    tag = "keys",
    request_body = Found,
    responses((status = 200, description = "The key.", body = KeyView, headers(("ETag" = String))))
)]
pub(in crate::admin) async fn search_key(
    State(state): State<AdminState>,
    caller: Caller,
    asked: Asked<Found>,
) -> Result<Response, Problem> {
    let unknown = || AdminError::NotFound("no key that you may see has this secret".to_owned());
    let administration = state.administration(&caller, None);
    let mut work = administration.look().await?;
    let digest = KeyDigest::of(asked.body.secret.trim().as_bytes());
    let owned = listing::key_of(&mut work, digest).await.map_err(|error| match error {
        // Whether there is a key that they may not see is not theirs to know.
        AdminError::Forbidden(_) => unknown(),
        error => error,
    })?;
    let id = owned.ok_or_else(unknown)?.key.id;
    let (tag, key) = view(&mut work, &id, state.clock.now()).await?;
    Ok(Tagged(tag, Json(key)).into_response())
}
