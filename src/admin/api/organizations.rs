//! `GET /api/v1/organizations`.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::{caller::Caller, problem::Problem, state::AdminState},
    control::listing,
    keys::record::Organization,
};

/// The organizations.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct OrganizationList {
    /// By id.
    items: Vec<OrganizationView>,
}

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct OrganizationView {
    /// Its id.
    id: String,
    /// What people call it.
    name: Option<String>,
    /// Whether it declares its projects; else any id is its own.
    declares_projects: bool,
}

/// List the organizations that you may see: your own.
#[utoipa::path(
    get,
    path = "/api/v1/organizations",
    tag = "organizations",
    responses((status = 200, description = "The organizations.", body = OrganizationList))
)]
pub(in crate::admin) async fn list_organizations(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<OrganizationList>, Problem> {
    let administration = state.administration(&caller, None);
    let organizations = listing::organizations(&administration.look().await?);
    Ok(Json(OrganizationList { items: organizations.into_iter().map(OrganizationView::from).collect() }))
}

impl From<Organization> for OrganizationView {
    fn from(organization: Organization) -> Self {
        let Organization { id, name, projects } = organization;
        Self {
            id: id.to_string(),
            name: name.map(|name| name.to_string()),
            declares_projects: projects.is_some(),
        }
    }
}
