//! `/projects`: what the organization declares, and which keys and people name it.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    response::Response,
    routing::{get, post},
};

use super::{
    address,
    answer::{Failure, html_as, see_other},
    form::{Form, Query, Typed, refusals},
    overseer::Overseer,
    page::{Notice, Page},
    surveys::Surveys,
};
use crate::{
    admin::state::AdminState,
    control::{
        actor::{Acting, Action},
        administration::{AdminError, Refusal, Work},
        listing, project_admin,
        project_admin::NewProject,
    },
    keys::record::Organization,
    policy::project::ProjectSet,
    store::contract::PersonQuery,
};

/// How many people are read at once to be counted.
const PEOPLE_PAGE: usize = 1000;

/// Everything under `/projects`.
pub fn router() -> Router<AdminState> {
    Router::new().route("/projects", get(show).post(declare)).route("/projects/{id}/remove", post(remove))
}

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage {
    page: Page,
    declared: bool,
    may_change: bool,
    projects: Vec<ProjectRow>,
    form: Form,
}

struct ProjectRow {
    id: String,
    keys: usize,
    keys_href: String,
    people: usize,
    remove_href: String,
}

async fn show(overseer: Overseer, surveys: Surveys, query: Query) -> Result<Response, Failure> {
    let notice = match query.get("done") {
        Some("declared") => Some(Notice::ok("Declared. It is in force on every request at once.")),
        Some("removed") => {
            Some(Notice::ok("Removed. A request that names it is answered 404, as if it never was."))
        }
        Some(_) | None => None,
    };
    projects_page(&overseer, &surveys, StatusCode::OK, Form::new([]), notice).await
}

/// Declares a project. The first one makes every other id nobody's, which has to be wanted.
async fn declare(overseer: Overseer, surveys: Surveys, typed: Typed) -> Result<Response, Failure> {
    let consents = typed.get("first") == "yes";
    let id = typed.get("id").trim().to_owned();
    let outcome = if consents || own_organization(&overseer).await?.projects.is_some() {
        let new = NewProject { id, organization: None, may_be_first: consents };
        let new = NewProject { organization: Some(own_organization(&overseer).await?.id), ..new };
        project_admin::create(&overseer.submitting(&typed), &new).await
    } else {
        Err(AdminError::Refused(vec![Refusal::of(
            "first",
            "Say that you want to begin; read what it means.",
        )]))
    };
    match outcome {
        Ok(_) | Err(AdminError::Done(_)) => Ok(see_other("/projects?done=declared")),
        Err(error) => {
            let form = typed.again(refusals(error)?);
            projects_page(&overseer, &surveys, StatusCode::UNPROCESSABLE_ENTITY, form, None).await
        }
    }
}

/// Takes a declaration back, unless a key or person names the project.
async fn remove(overseer: Overseer, surveys: Surveys, Path(id): Path<String>) -> Result<Response, Failure> {
    match project_admin::remove(&overseer.administration(), &id).await {
        Ok(_) => Ok(see_other("/projects?done=removed")),
        Err(error) => {
            let form = Form::new([]).with(refusals(error)?);
            projects_page(&overseer, &surveys, StatusCode::UNPROCESSABLE_ENTITY, form, None).await
        }
    }
}

async fn own_organization(overseer: &Overseer) -> Result<Organization, AdminError> {
    let administration = overseer.administration();
    let work = administration.look().await?;
    organization_of(&work)
}

fn organization_of(work: &Work<'_>) -> Result<Organization, AdminError> {
    match &work.acting {
        Acting::Person(_, own) => work.organization(Some(own)),
        Acting::Operator => work.organization(None),
    }
}

async fn projects_page(
    overseer: &Overseer,
    surveys: &Surveys,
    status: StatusCode,
    form: Form,
    notice: Option<Notice>,
) -> Result<Response, Failure> {
    let survey = surveys.of(overseer).await?;
    let administration = overseer.administration();
    let mut work = administration.look().await?;
    let organization = organization_of(&work)?;
    let people = people_by_project(&mut work).await?;
    let row = |id: &String| ProjectRow {
        keys: survey.projects.get(id).copied().unwrap_or(0),
        people: people.get(id).copied().unwrap_or(0),
        keys_href: address::with_query("/keys", [("project", Some(id.as_str()))]),
        remove_href: format!("/projects/{}/remove", address::path_segment(id)),
        id: id.clone(),
    };
    let page = ProjectsPage {
        page: overseer.page("Projects", "projects").noticing(notice),
        declared: organization.projects.is_some(),
        may_change: work.permits(Action::ManageProjects, &organization.id),
        projects: organization.projects.iter().flatten().map(row).collect(),
        form,
    };
    Ok(html_as(status, &page))
}

/// How many people name each project. Cost: reads everybody of the organization.
async fn people_by_project(work: &mut Work<'_>) -> Result<BTreeMap<String, usize>, AdminError> {
    let (mut counts, mut after) = (BTreeMap::new(), None);
    loop {
        let query = PersonQuery { after: after.take(), limit: PEOPLE_PAGE, ..PersonQuery::default() };
        let page = listing::people_page(work, query).await?;
        for person in &page.records {
            if let ProjectSet::Only(ids) = &person.projects {
                ids.iter().for_each(|id| *counts.entry(id.to_string()).or_default() += 1);
            }
        }
        after = page.records.last().map(|last| last.id.clone());
        if !page.has_more {
            return Ok(counts);
        }
    }
}
