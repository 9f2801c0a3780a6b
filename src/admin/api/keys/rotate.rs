//! `POST /api/v1/keys/{id}/rotate`.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{key_id, revoke::PATIENCE, view};
use crate::{
    admin::{
        answer::Tagged,
        asked::{Asked, Id, Wait, WaitQuery},
        caller::Caller,
        change::Change,
        problem::Problem,
        state::AdminState,
    },
    control::{
        administration::{AdminError, Refusal},
        key_admin,
        key_view::KeyView,
        term,
    },
};

/// How a key is rotated.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Rotation {
    /// How long the secret it has works on: `0`, `1h`, `24h`, `7d`; never past the key's end. `24h`, if it is left out.
    #[schema(example = "24h")]
    overlap: Option<String>,
}

/// A key with its new secret.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct RotatedKey {
    /// The key.
    key: KeyView,
    /// Its new secret, this once. `null` where this request was made before: then rotate it again.
    #[schema(value_type = Option<String>)]
    secret: Option<Zeroizing<String>>,
    /// What became of the change.
    change: Change,
}

/// Give a key a new secret.
///
/// The old one works on for the overlap. Waits ten seconds, unless `wait` says otherwise, until every live replica knows
/// the new one.
#[utoipa::path(
    post,
    path = "/api/v1/keys/{id}/rotate",
    tag = "keys",
    params(
        ("id" = String, Path, description = "The id of the key."), WaitQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag of the key as you have seen it."),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this change, so that it is made once."),
    ),
    request_body = Rotation,
    responses(
        (status = 200, description = "It has a new secret.", body = RotatedKey, headers(("ETag" = String))),
        (status = 202, description = "It has a new secret, but not every replica has confirmed it.", body = RotatedKey),
    )
)]
pub(in crate::admin) async fn rotate_key(
    State(state): State<AdminState>,
    caller: Caller,
    Id(id): Id,
    Wait(wait): Wait,
    asked: Asked<Rotation>,
) -> Result<Response, Problem> {
    let (now, id) = (state.clock.now(), key_id(&id)?);
    let administration = state.administration(&caller, asked.submission(caller.actor.in_full()));
    let Asked { body, seen, .. } = asked;
    let overlap = term::duration(body.overlap.as_deref().unwrap_or("24h").trim())
        .map_err(|reason| AdminError::Refused(vec![Refusal::of("overlap", reason)]))?;
    let rotated = key_admin::rotate(&administration, &id, overlap, None, seen.as_ref(), now).await;
    let (secret, change) = match rotated {
        Ok(rotated) => {
            let issued = rotated.issued;
            let change =
                Change::confirmed(&administration, &issued.committed, wait.unwrap_or(PATIENCE)).await;
            (Some(Zeroizing::new(issued.secret.expose().to_owned())), change)
        }
        Err(AdminError::Done(before)) => {
            (None, Change { revision: Some(before.revision), ..Change::default() })
        }
        Err(error) => return Err(error.into()),
    };
    let (tag, key) = view(&mut administration.look().await?, &id, now).await?;
    Ok((change.status(), Tagged(tag, Json(RotatedKey { key, secret, change }))).into_response())
}
