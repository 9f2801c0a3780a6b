//! What is done with the projects that an organization declares: create, remove.

use super::{
    actor::Action,
    administration::{AdminError, Administration, Changed, Refusal, Work},
    listing,
    record_check::{demand_new_id, problems_of_organizations},
};
use crate::{
    keys::record::{KeyId, KeyRecord, Organization, OrganizationId, Person, PersonId},
    policy::project::ProjectSet,
    store::contract::Committed,
};

/// How many records are looked at at once.
const PAGE: usize = 1000;

/// How many records that stand in the way are named.
const TOLD_MAX: usize = 10;

/// A project that shall be declared.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// Its id.
    pub id: String,
    /// Whose; `None`: the only organization.
    pub organization: Option<OrganizationId>,
    /// Whether an organization that declared none may begin: from then on every other id is nobody's.
    pub may_be_first: bool,
}

/// Declares a project. Cost: where it is the first, that of reading every key and person.
///
/// # Errors
/// Where it would be the first unasked, or others named already would become nobody's, whoever asks may not, or it
/// could not be written; then nothing was changed.
pub async fn create(administration: &Administration, new: &NewProject) -> Result<Committed, AdminError> {
    let mut work = administration.change().await?;
    let before = work.organization(new.organization.as_ref().or(work.own()))?;
    work.demand(Action::ManageProjects, &before.id)?;
    let is_odd = |character: char| character == '/' || character.is_whitespace() || character.is_control();
    if new.id.is_empty() || new.id.contains(is_odd) {
        let reason = "the id of a project has no spaces and slashes, and stands so in requests";
        return Err(AdminError::Refused(vec![Refusal::of("id", reason)]));
    }
    if before.projects.as_ref().is_some_and(|declared| declared.contains(&new.id)) {
        return Ok(Committed::Unchanged);
    }
    demand_new_id("id", &new.id)?;
    let is_first = before.projects.is_none();
    if is_first && !new.may_be_first {
        return Err(AdminError::refused(format!(
            "the organization {} declares no projects, so that any id is its own; once it declares one, every other id \
             is answered 404; say --first to begin",
            before.id
        )));
    }
    let projects = before.projects.into_iter().flatten().chain([new.id.clone()]).collect();
    let after = Organization { projects: Some(projects), ..before };
    put(&mut work, &after).await?;
    if is_first {
        let others = named_otherwise(&mut work, &after, &new.id).await?;
        if !others.is_empty() {
            return Err(AdminError::Refused(others));
        }
    }
    let what = format!("declared by {}", after.id);
    work.commit("projects create", &[Changed::new("project", &new.id, what).within(&after.id)]).await
}

async fn put(work: &mut Work<'_>, after: &Organization) -> Result<(), AdminError> {
    match work.organizations.iter_mut().find(|known| known.id == after.id) {
        Some(known) => *known = after.clone(),
        None => work.organizations.push(after.clone()),
    }
    let problems = problems_of_organizations(work, &work.administration.rules_for([]));
    if problems.is_empty() {
        Ok(work.transaction.put_organization(after).await?)
    } else {
        Err(AdminError::Refused(problems))
    }
}

/// Keys and people of `organization` that name another project than `only`.
async fn named_otherwise(
    work: &mut Work<'_>,
    organization: &Organization,
    only: &str,
) -> Result<Vec<Refusal>, AdminError> {
    let mut told: Vec<Refusal> = Vec::new();
    let mut tell = |record: String, projects: &ProjectSet| {
        let ProjectSet::Only(ids) = projects else { return };
        if let Some(other) = ids.iter().find(|id| ***id != *only).filter(|_| told.len() < TOLD_MAX) {
            let kind = record.split(' ').next().unwrap_or_default();
            told.push(Refusal::from(format!(
                "{record} names the project {other}, which {} would not declare; change the {kind}",
                organization.id,
            )));
        }
    };
    let mut after: Option<PersonId> = None;
    loop {
        let people: Vec<Person> = work.transaction.people(after.as_ref(), PAGE).await?;
        let is_theirs = |person: &&Person| {
            person.organization.as_ref().is_none_or(|organization_id| *organization_id == organization.id)
        };
        people.iter().filter(is_theirs).for_each(|one| tell(format!("person {}", one.id), &one.projects));
        match people.last() {
            Some(last) => after = Some(last.id.clone()),
            None => break,
        }
    }
    let mut after: Option<KeyId> = None;
    loop {
        let keys: Vec<KeyRecord> = work.transaction.keys(after.as_ref(), PAGE).await?;
        let Some(last) = keys.last() else { break };
        after = Some(last.id);
        for key in &keys {
            let owner = work.owner(key).await?;
            if work.organization_of_key(key, owner.as_ref())?.id == organization.id {
                tell(format!("key {}", key.id), &key.projects);
            }
        }
    }
    Ok(told)
}

/// Takes back the declaration of a project; from then on it is nobody's.
///
/// # Errors
/// Where it is not declared, a key or person names it, whoever asks may not, or it could not be written; then nothing
/// was changed.
pub async fn remove(administration: &Administration, id: &str) -> Result<Committed, AdminError> {
    let mut work = administration.change().await?;
    let is_seen = work.acting.person().is_none_or(|person| person.projects.contains(id));
    let declares =
        |organization: &Organization| organization.projects.iter().flatten().any(|project| project == id);
    let Some(organization) = listing::organizations(&work).into_iter().filter(|_| is_seen).find(declares)
    else {
        return Err(AdminError::NotFound(format!(
            "no organization declares the project {id}; `keygate projects list` shows them"
        )));
    };
    work.demand(Action::ManageProjects, &organization.id)?;
    if let Some(who) = work.transaction.who_names(&organization.id, id).await? {
        return Err(AdminError::refused(format!(
            "{who} names the project {id}; give them other projects, or revoke what is not needed"
        )));
    }
    let projects = organization.projects.into_iter().flatten().filter(|project| project != id).collect();
    let after = Organization { projects: Some(projects), ..organization };
    put(&mut work, &after).await?;
    let what = format!("no longer declared by {}", after.id);
    work.commit("projects remove", &[Changed::new("project", id, what).within(&after.id)]).await
}
