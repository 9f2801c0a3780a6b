//! `POST /api/v1/keys/{id}/revoke`.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{key_id, update::ChangedKey, view};
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
    },
    keys::record::Name,
};

/// How long a revocation waits for its receipt where nothing is said.
pub(in crate::admin) const PATIENCE: Duration = Duration::from_secs(10);

/// Why a key is revoked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Revocation {
    /// Kept with the key, and in the audit trail.
    #[schema(example = "found in a public repository", max_length = 128)]
    reason: Option<String>,
}

/// Revoke a key, for good.
///
/// Waits ten seconds, unless `wait` says otherwise, until every live replica refuses it: then the answer is 200 and the
/// receipt says so. 202 names the replicas that have not confirmed it. A key that is revoked already stays as it is, and
/// the answer tells where that is in force. Where keys are kept in files, the key is refused at once by this process,
/// and `change.paste` is what the file has to say for every other.
#[utoipa::path(
    post,
    path = "/api/v1/keys/{id}/revoke",
    tag = "keys",
    params(
        ("id" = String, Path, description = "The id of the key."), WaitQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag of the key as you have seen it. A key that is revoked already is answered as such, whatever you have seen."),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this change, so that it is made once."),
    ),
    request_body(content = Option<Revocation>, description = "Why; may be left out."),
    responses(
        (status = 200, description = "It is revoked wherever that was waited for.", body = ChangedKey, headers(("ETag" = String))),
        (status = 202, description = "It is revoked, but not every replica has confirmed it.", body = ChangedKey),
    )
)]
pub(in crate::admin) async fn revoke_key(
    State(state): State<AdminState>,
    caller: Caller,
    Id(id): Id,
    Wait(wait): Wait,
    asked: Asked<Revocation>,
) -> Result<Response, Problem> {
    let (now, id) = (state.clock.now(), key_id(&id)?);
    // Whoever revokes a key twice finds it revoked: there is nothing to remember.
    let administration = state.administration(&caller, None);
    let Asked { body, seen, .. } = asked;
    let reason = body.reason.filter(|reason| !reason.trim().is_empty());
    let reason = reason.map(|reason| Name::parse(reason.trim())).transpose();
    let reason =
        reason.map_err(|error| AdminError::Refused(vec![Refusal::of("reason", error.to_string())]))?;
    let revoked = key_admin::revoke(&administration, &id, reason.as_ref(), seen.as_ref(), now).await?;
    let change = match &revoked.here {
        Some(here) => Change::here(here, revoked.before.is_none()),
        None => Change::confirmed(&administration, &revoked.committed, wait.unwrap_or(PATIENCE)).await,
    };
    let (tag, key) = view(&mut administration.look().await?, &id, now).await?;
    Ok((change.status(), Tagged(tag, Json(ChangedKey { key, change }))).into_response())
}
