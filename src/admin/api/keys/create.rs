//! `POST /api/v1/keys`.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::view;
use crate::{
    admin::{
        answer::Tagged,
        asked::{Asked, Wait, WaitQuery},
        caller::Caller,
        change::Change,
        problem::Problem,
        state::AdminState,
    },
    control::{administration::AdminError, key_admin, key_form::KeyForm, key_view::KeyView},
    keys::record::KeyId,
    store::contract::Remembered,
};

/// A key that shall be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct NewKey {
    /// What people shall call it.
    #[schema(example = "GitHub Actions - staging", max_length = 128)]
    name: String,
    /// For machines.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// The id of the person it shall belong to; yourself, if it is left out.
    owner: Option<String>,
    /// Where there are several organizations and the owner does not say it.
    organization: Option<String>,
    /// Names of scopes.
    #[schema(example = json!(["write"]))]
    scopes: Vec<String>,
    /// `all`, or a list of ids.
    projects: ProjectsAsked,
    /// `live` or `test`: what its secret says it is for.
    #[serde(default)]
    environment: Environment,
    /// An instant or a day from which on it works; at once, if it is left out.
    not_before: Option<String>,
    /// When it stops: a duration such as `30d`, an instant, a day, or `never`.
    #[schema(example = "30d")]
    expires: String,
    /// Networks it may be used from; anywhere, if it is left out.
    #[serde(default)]
    addresses: Vec<String>,
    /// How much it may ask for: a plan of the gateway's config. What that says of keys without one, if it is left out.
    plan: Option<String>,
}

/// `live` or `test`.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin) enum Environment {
    /// For real use.
    #[default]
    Live,
    /// For tests.
    Test,
}

/// `all`, or a list of ids.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "must be \"all\" or a list of project ids")]
pub(in crate::admin) enum ProjectsAsked {
    /// Every one of its owner and organization.
    All(All),
    /// These.
    Only(Vec<String>),
}

/// The word `all`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin) enum All {
    /// Every one.
    All,
}

impl ProjectsAsked {
    /// `None`: all.
    pub(in crate::admin) fn ids(self) -> Option<Vec<String>> {
        match self {
            Self::All(All::All) => None,
            Self::Only(ids) => Some(ids),
        }
    }
}

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct CreatedKey {
    /// The key.
    key: KeyView,
    /// Its secret, this once. `null` where this request was made before: then nobody can ask for it again, and whoever
    /// did not keep it rotates the key.
    #[schema(value_type = Option<String>)]
    secret: Option<Zeroizing<String>>,
    /// What became of the change.
    change: Change,
}

/// Make a key.
///
/// The secret is in the answer, this once. With an `Idempotency-Key`, a request that is sent twice makes one key; the
/// second answer has no secret.
#[utoipa::path(
    post,
    path = "/api/v1/keys",
    tag = "keys",
    params(WaitQuery, ("Idempotency-Key" = Option<String>, Header, description = "Names this change, so that it is made once.")),
    request_body = NewKey,
    responses(
        (status = 201, description = "It was made.", body = CreatedKey, headers(("ETag" = String), ("Location" = String))),
        (status = 200, description = "It was made before, by the same request.", body = CreatedKey),
    )
)]
pub(in crate::admin) async fn create_key(
    State(state): State<AdminState>,
    caller: Caller,
    Wait(wait): Wait,
    asked: Asked<NewKey>,
) -> Result<Response, Problem> {
    let now = state.clock.now();
    let administration = state.administration(&caller, asked.submission(caller.actor.in_full()));
    let new = asked.body.form().read(now).map_err(AdminError::Refused)?;
    let issued = match key_admin::create(&administration, new, now).await {
        Ok(issued) => issued,
        Err(AdminError::Done(before)) => return made_before(&state, &caller, &before).await,
        Err(error) => return Err(error.into()),
    };
    let change = Change::confirmed(&administration, &issued.committed, wait.unwrap_or(Duration::ZERO)).await;
    let (tag, key) = view(&mut administration.look().await?, &issued.id, now).await?;
    let secret = Some(Zeroizing::new(issued.secret.expose().to_owned()));
    let location = [(LOCATION, format!("/api/v1/keys/{}", issued.id))];
    let created = Json(CreatedKey { key, secret, change });
    Ok((StatusCode::CREATED, location, Tagged(tag, created)).into_response())
}

async fn made_before(state: &AdminState, caller: &Caller, before: &Remembered) -> Result<Response, Problem> {
    let administration = state.administration(caller, None);
    let id = KeyId::parse(&before.id).map_err(|_| AdminError::NotFound("the key is gone".to_owned()))?;
    let (tag, key) = view(&mut administration.look().await?, &id, state.clock.now()).await?;
    let change = Change { revision: Some(before.revision), ..Change::default() };
    Ok(Tagged(tag, Json(CreatedKey { key, secret: None, change })).into_response())
}

impl NewKey {
    fn form(self) -> KeyForm {
        let environment = match self.environment {
            Environment::Live => "live",
            Environment::Test => "test",
        };
        KeyForm {
            name: self.name,
            labels: self.labels,
            owner: self.owner.unwrap_or_default(),
            organization: self.organization.unwrap_or_default(),
            scopes: self.scopes,
            projects: self.projects.ids(),
            environment: environment.to_owned(),
            not_before: self.not_before.unwrap_or_default(),
            expires: self.expires,
            addresses: self.addresses,
            plan: self.plan.unwrap_or_default(),
        }
    }
}
