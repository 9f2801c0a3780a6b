//! Pages about people: who owns keys, and who manages them.

mod change;
mod invite;
mod list;
mod new;
mod show;

use axum::{
    Router,
    routing::{get, post},
};

use super::{
    form::Typed,
    parts::{Badge, Choice},
    sign_in::means,
};
use crate::{
    admin::state::AdminState,
    control::{
        actor::Action,
        administration::{AdminError, Work},
        listing,
    },
    keys::record::{Person, PersonId},
    policy::{principal::Role, project::ProjectSet},
};

/// Everything under `/people`.
pub fn router() -> Router<AdminState> {
    Router::new()
        .route("/people", get(list::show).post(new::create))
        .route("/people/new", get(new::show))
        .route("/people/{id}", get(show::show).post(change::save))
        .route("/people/{id}/disable", post(change::disable))
        .route("/people/{id}/enable", post(change::enable))
        .route("/people/{id}/invite", post(invite::invite))
        .route("/people/{id}/sign-out", post(change::sign_out))
}

/// The person that an address names.
///
/// # Errors
/// Where it can name none.
fn person_id(text: &str) -> Result<PersonId, AdminError> {
    PersonId::parse(text).map_err(|_| AdminError::NotFound("no person has this id".to_owned()))
}

/// Whether somebody's keys work.
fn badge(person: &Person) -> Badge {
    if person.disabled { Badge::new("off", "disabled") } else { Badge::new("ok", "active") }
}

/// The roles that whoever is at work may give to `person`.
fn roles(work: &Work<'_>, before: Option<&Person>, person: &Person) -> Vec<Choice> {
    let Ok(organization) = work.organization(person.organization.as_ref()) else { return Vec::new() };
    let may_be = |role: &Role| {
        let after = Person { role: *role, ..person.clone() };
        work.permits(Action::PutPerson { before, after: &after }, &organization.id)
    };
    let choice = |role: Role| Choice {
        value: role.as_str().to_owned(),
        label: role.as_str().to_owned(),
        hint: means(role).to_owned(),
    };
    Role::ALL.into_iter().rev().filter(may_be).map(choice).collect()
}

/// The projects to choose from: those that the organization declares and whoever is at work has.
fn projects(work: &Work<'_>) -> Vec<Choice> {
    let declared = listing::organizations(work).into_iter().filter_map(|organization| organization.projects);
    let has = |id: &String| work.acting.person().is_none_or(|person| person.projects.contains(id));
    declared.flatten().filter(has).map(Choice::plain).collect()
}

/// The projects that were chosen; `None`: all.
fn chosen_projects(typed: &Typed) -> Option<Vec<String>> {
    if typed.get("projects") == "all" {
        return None;
    }
    let mut ids = typed.all("project");
    ids.extend(typed.lines("project_ids"));
    Some(ids)
}

/// The values of the fields that say `projects`, where these are `declared`.
fn project_fields<'p>(projects: &'p ProjectSet, declared: &[Choice]) -> Vec<(&'static str, &'p str)> {
    match projects {
        ProjectSet::All => vec![("projects", "all")],
        ProjectSet::Only(ids) => {
            let is_declared = |id: &str| declared.iter().any(|choice| choice.value == id);
            let chosen = ids.iter().filter(|id| is_declared(id)).map(|id| ("project", &**id));
            [("projects", "chosen")].into_iter().chain(chosen).collect()
        }
    }
}

/// Ids of `projects` that cannot be chosen from `declared`, to be typed: those of an organization that declares none.
fn typed_projects(projects: &ProjectSet, declared: &[Choice]) -> String {
    match projects {
        ProjectSet::Only(ids) if declared.is_empty() => ids.join(", "),
        ProjectSet::Only(_) | ProjectSet::All => String::new(),
    }
}
