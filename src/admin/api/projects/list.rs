//! `GET /api/v1/projects`.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    admin::{asked::Queried, caller::Caller, problem::Problem, state::AdminState},
    control::listing::{self, ListedProject},
};

/// What of the projects.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Filter {
    /// For owners and admins: also those that only keys or people name, and how many do. Every key is read for it.
    #[serde(default)]
    #[param(default = false)]
    count: bool,
}

/// The projects.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct ProjectList {
    /// By id.
    items: Vec<ProjectView>,
}

/// A project.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct ProjectView {
    /// Its id, as requests name it.
    id: String,
    /// Who declares it; `null`: nobody.
    organization: Option<String>,
    /// Keys that name it, if they were counted.
    keys: Option<usize>,
    /// People who name it, if they were counted.
    people: Option<usize>,
}

/// List the projects that are declared and that you have.
#[utoipa::path(
    get,
    path = "/api/v1/projects",
    tag = "projects",
    params(Filter),
    responses((status = 200, description = "The projects.", body = ProjectList))
)]
pub(in crate::admin) async fn list_projects(
    State(state): State<AdminState>,
    caller: Caller,
    Queried(Filter { count }): Queried<Filter>,
) -> Result<Json<ProjectList>, Problem> {
    let count = count && caller.person.role.manages();
    let administration = state.administration(&caller, None);
    let projects = listing::projects(&mut administration.look().await?, count).await?;
    let view = |(id, project): (String, ListedProject)| ProjectView {
        id,
        organization: project.organization.map(|id| id.to_string()),
        keys: count.then_some(project.keys),
        people: count.then_some(project.people),
    };
    Ok(Json(ProjectList { items: projects.into_iter().map(view).collect() }))
}
