//! `POST /api/v1/projects`.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    admin::{
        asked::{Asked, Wait, WaitQuery},
        caller::Caller,
        change::Change,
        problem::Problem,
        state::AdminState,
    },
    control::{
        administration::{AdminError, Refusal},
        project_admin,
    },
    keys::record::OrganizationId,
};

/// A project that shall be declared.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct NewProject {
    /// Its id, as requests name it.
    #[schema(example = "alpha", max_length = 128)]
    id: String,
    /// Where there are several.
    organization: Option<String>,
    /// Let an organization that declared none begin: from then on every other id is answered 404.
    #[serde(default)]
    first: bool,
}

/// Declare a project.
#[utoipa::path(
    post,
    path = "/api/v1/projects",
    tag = "projects",
    params(WaitQuery, ("Idempotency-Key" = Option<String>, Header, description = "Names this change, so that it is made once.")),
    request_body = NewProject,
    responses(
        (status = 201, description = "It is declared.", body = Change),
        (status = 200, description = "It was declared before.", body = Change),
    )
)]
pub(in crate::admin) async fn create_project(
    State(state): State<AdminState>,
    caller: Caller,
    Wait(wait): Wait,
    asked: Asked<NewProject>,
) -> Result<Response, Problem> {
    let administration = state.administration(&caller, asked.submission(caller.actor.in_full()));
    let NewProject { id, organization, first } = asked.body;
    let organization = organization.as_deref().map(OrganizationId::parse).transpose();
    let organization = organization
        .map_err(|error| AdminError::Refused(vec![Refusal::of("organization", error.to_string())]))?;
    let new = project_admin::NewProject { id, organization, may_be_first: first };
    let outcome = project_admin::create(&administration, &new).await;
    let change = Change::of_outcome(&administration, outcome, wait.unwrap_or(Duration::ZERO)).await?;
    let status = if change.changed { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(change)).into_response())
}
