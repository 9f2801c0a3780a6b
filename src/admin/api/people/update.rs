//! `PATCH /api/v1/people/{id}`.

use std::time::Duration;

use axum::{extract::State, response::Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ChangedPerson, Command, RoleAsked, change};
use crate::{
    admin::{
        api::keys::create::ProjectsAsked,
        asked::{Asked, Id, Wait, WaitQuery},
        caller::Caller,
        problem::Problem,
        state::AdminState,
    },
    control::{
        administration::AdminError,
        person_form::{PersonUpdateForm, ProjectsTyped},
    },
};

/// What of a person shall be another. What is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct PersonChange {
    /// The e-mail address.
    #[schema(max_length = 254)]
    email: Option<String>,
    /// What people call them.
    #[schema(max_length = 128)]
    name: Option<String>,
    /// Caps the scopes of their keys.
    role: Option<RoleAsked>,
    /// The projects that their keys may have at most.
    projects: Option<ProjectsAsked>,
}

/// Change a person.
///
/// Every key of theirs follows at once. Nobody changes people of a higher role, or gives a role or projects that they lack.
#[utoipa::path(
    patch,
    path = "/api/v1/people/{id}",
    tag = "people",
    params(
        ("id" = String, Path, description = "The id of the person."), WaitQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag of the person as you have seen them."),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this change, so that it is made once."),
    ),
    request_body = PersonChange,
    responses(
        (status = 200, description = "It is so.", body = ChangedPerson, headers(("ETag" = String))),
        (status = 202, description = "It is so, but not every replica has confirmed it.", body = ChangedPerson, headers(("ETag" = String))),
    )
)]
pub(in crate::admin) async fn update_person(
    State(state): State<AdminState>,
    caller: Caller,
    Id(id): Id,
    Wait(wait): Wait,
    asked: Asked<PersonChange>,
) -> Result<Response, Problem> {
    let command = |body: PersonChange| {
        let update = body.form().read().map_err(AdminError::Refused)?;
        Ok(Command { name: "people update", update, patience: wait.unwrap_or(Duration::ZERO) })
    };
    change(&state, &caller, &id, asked, command).await
}

impl PersonChange {
    fn form(self) -> PersonUpdateForm {
        let Self { email, name, role, projects } = self;
        let projects =
            projects.map(|projects| projects.ids().map_or(ProjectsTyped::All, ProjectsTyped::Only));
        PersonUpdateForm { email, name, role: role.map(RoleAsked::name), projects }
    }
}
