//! `PATCH /api/v1/keys/{id}`.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{create::ProjectsAsked, key_id, view};
use crate::{
    admin::{
        answer::Tagged,
        asked::{Asked, Id, Wait, WaitQuery},
        caller::Caller,
        change::Change,
        problem::Problem,
        state::AdminState,
    },
    control::{administration::AdminError, key_admin, key_form::KeyUpdateForm, key_view::KeyView},
};

/// What of a key shall be another. What is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct KeyChange {
    /// What people shall call it.
    #[schema(max_length = 128)]
    name: Option<String>,
    /// All labels.
    labels: Option<BTreeMap<String, String>>,
    /// Names of all scopes: those it has, or ones that they imply.
    scopes: Option<Vec<String>>,
    /// All projects, which it must have.
    projects: Option<ProjectsAsked>,
    /// When it stops, not later than now.
    expires: Option<String>,
    /// All networks it may be used from, within those it has.
    addresses: Option<Vec<String>>,
    /// How much it may ask for, more or less than before: a plan of the gateway's config; empty for what that says of keys
    /// without one.
    plan: Option<String>,
}

/// A key that was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct ChangedKey {
    /// The key.
    pub(super) key: KeyView,
    /// What became of the change.
    pub(super) change: Change,
}

/// Rename a key, or give it less.
///
/// A key never gets more than it was granted: for that, make another. Its plan is no permission: owners and admins change it
/// either way.
#[utoipa::path(
    patch,
    path = "/api/v1/keys/{id}",
    tag = "keys",
    params(
        ("id" = String, Path, description = "The id of the key."), WaitQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag of the key as you have seen it."),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this change, so that it is made once."),
    ),
    request_body = KeyChange,
    responses(
        (status = 200, description = "It is so.", body = ChangedKey, headers(("ETag" = String))),
        (status = 202, description = "It is so, but not every replica has confirmed it.", body = ChangedKey),
    )
)]
pub(in crate::admin) async fn update_key(
    State(state): State<AdminState>,
    caller: Caller,
    Id(id): Id,
    Wait(wait): Wait,
    asked: Asked<KeyChange>,
) -> Result<Response, Problem> {
    let (now, id) = (state.clock.now(), key_id(&id)?);
    let administration = state.administration(&caller, asked.submission(caller.actor.in_full()));
    let Asked { body, seen, .. } = asked;
    let update = body.form().read(now).map_err(AdminError::Refused)?;
    let outcome = key_admin::update(&administration, &id, &update, seen.as_ref()).await;
    let change = Change::of_outcome(&administration, outcome, wait.unwrap_or(Duration::ZERO)).await?;
    let (tag, key) = view(&mut administration.look().await?, &id, now).await?;
    Ok((change.status(), Tagged(tag, Json(ChangedKey { key, change }))).into_response())
}

impl KeyChange {
    fn form(self) -> KeyUpdateForm {
        let Self { name, labels, scopes, projects, expires, addresses, plan } = self;
        // All is what it has already, or more than it may get.
        let projects = projects.and_then(ProjectsAsked::ids);
        KeyUpdateForm { name, labels, scopes, projects, expires, addresses, plan }
    }
}
