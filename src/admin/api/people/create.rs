//! `POST /api/v1/people`.

use std::time::Duration;

use axum::{
    extract::State,
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ChangedPerson, RoleAsked, changed};
use crate::{
    admin::{
        api::keys::create::ProjectsAsked,
        asked::{Asked, Wait, WaitQuery},
        caller::Caller,
        change::Change,
        path_segment::path_segment,
        problem::Problem,
        state::AdminState,
    },
    control::{administration::AdminError, people_admin, person_form::PersonForm},
};

/// A person who shall be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct NewPerson {
    /// Unique among all people: an account name, an e-mail address, a subject of an identity provider.
    #[schema(example = "ada", max_length = 128)]
    id: String,
    /// The e-mail address.
    #[schema(example = "ada@example.com", max_length = 254)]
    email: String,
    /// What people call them.
    #[schema(max_length = 128)]
    name: Option<String>,
    /// Where there are several.
    organization: Option<String>,
    /// Caps the scopes of their keys.
    role: RoleAsked,
    /// The projects that their keys may have at most; all, if it is left out.
    projects: Option<ProjectsAsked>,
}

/// Add a person.
///
/// Nobody adds people of a higher role or with more projects than their own. To sign in, they need an invitation.
#[utoipa::path(
    post,
    path = "/api/v1/people",
    tag = "people",
    params(WaitQuery, ("Idempotency-Key" = Option<String>, Header, description = "Names this change, so that it is made once.")),
    request_body = NewPerson,
    responses(
        (status = 201, description = "They were added.", body = ChangedPerson, headers(("ETag" = String), ("Location" = String))),
        (status = 200, description = "They were added before, by the same request.", body = ChangedPerson, headers(("ETag" = String), ("Location" = String))),
    )
)]
pub(in crate::admin) async fn create_person(
    State(state): State<AdminState>,
    caller: Caller,
    Wait(wait): Wait,
    asked: Asked<NewPerson>,
) -> Result<Response, Problem> {
    let administration = state.administration(&caller, asked.submission(caller.actor.in_full()));
    let person = asked.body.form().read().map_err(AdminError::Refused)?;
    let outcome = people_admin::create(&administration, &person).await;
    let change = Change::of_outcome(&administration, outcome, wait.unwrap_or(Duration::ZERO)).await?;
    let status = if change.changed { StatusCode::CREATED } else { StatusCode::OK };
    let location = [(LOCATION, format!("/api/v1/people/{}", path_segment(person.id.as_str())))];
    Ok((status, location, changed(&administration, &person.id, change).await?).into_response())
}

impl NewPerson {
    fn form(self) -> PersonForm {
        PersonForm {
            id: self.id,
            email: self.email,
            name: self.name.unwrap_or_default(),
            organization: self.organization.unwrap_or_default(),
            role: self.role.name(),
            projects: self.projects.and_then(ProjectsAsked::ids),
        }
    }
}
