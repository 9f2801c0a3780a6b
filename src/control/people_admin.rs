//! What is done with people: create, change, disable.

use super::{
    actor::{Acting, Action},
    administration::{AdminError, Administration, Changed, Refusal, Work},
    record_check::problems_of_person,
    record_tag::RecordTag,
};
use crate::{
    keys::record::{Email, Name, Person, PersonId},
    policy::{principal::Role, project::ProjectSet},
    store::{accounts::LinkPurpose, contract::Committed},
};

/// Adds a person.
///
/// # Errors
/// Where the id is taken, they contradict other records, whoever asks may not, or it could not be written; then
/// nothing was changed.
pub async fn create(administration: &Administration, person: &Person) -> Result<Committed, AdminError> {
    create_in(administration.change().await?, person, "people create").await
}

async fn create_in(mut work: Work<'_>, person: &Person, command: &str) -> Result<Committed, AdminError> {
    let mut person = person.clone();
    let organization = work.organization_for_new(person.organization.as_ref()).await?;
    work.demand(Action::PutPerson { before: None, after: &person }, &organization.id)?;
    person.organization = work.named(person.organization.take(), &organization);
    if work.transaction.person(&person.id).await?.is_some() {
        return Err(AdminError::refused(format!(
            "person {}: this id is taken already; ids are unique",
            person.id
        )));
    }
    put(&mut work, &person).await?;
    let what = format!("created: role={}", person.role.as_str());
    let changed = Changed::new("person", &person.id, what).within(&organization.id);
    work.commit(command, &[changed]).await
}

/// Adds the first owner, who did not come by anybody else.
///
/// # Errors
/// As [`create`], and where there is an owner, disabled or not, or `person` is none.
pub async fn create_first_owner(
    administration: &Administration,
    person: &Person,
) -> Result<Committed, AdminError> {
    let mut work = administration.change().await?;
    if person.role != Role::Owner || is_owned(&mut work).await? {
        return Err(AdminError::Forbidden("there is an owner already, who adds others".to_owned()));
    }
    create_in(work, person, "people create first owner").await
}

/// Whether anybody is owner. Cost: reads all people, until one is found.
///
/// # Errors
/// Where the store cannot be read.
pub async fn has_owner(administration: &Administration) -> Result<bool, AdminError> {
    is_owned(&mut administration.look().await?).await
}

async fn is_owned(work: &mut Work<'_>) -> Result<bool, AdminError> {
    const PAGE: usize = 1000;
    let mut after: Option<PersonId> = None;
    loop {
        let page = work.transaction.people(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(false) };
        if page.iter().any(|person| person.role == Role::Owner) {
            return Ok(true);
        }
        after = Some(last.id.clone());
    }
}

/// That whoever asks may let the person `id` choose a password, with which they could sign in as them.
///
/// # Errors
/// Where there is no such person, they are disabled, or whoever asks may not change them.
pub(super) async fn demand_invitable(
    administration: &Administration,
    id: &PersonId,
) -> Result<(), AdminError> {
    let mut work = administration.look().await?;
    let person = find(&mut work, id).await?;
    let organization = work.organization(person.organization.as_ref())?.id;
    work.demand(Action::PutPerson { before: Some(&person), after: &person }, &organization)?;
    if person.disabled {
        return Err(AdminError::refused(format!("{id} is disabled and cannot sign in; enable them first")));
    }
    Ok(())
}

/// That whoever asks may end the sessions of the person `id`: their own, and those of people whom they may disable.
///
/// # Errors
/// Where there is no such person, or whoever asks may not.
pub async fn demand_sign_out(administration: &Administration, id: &PersonId) -> Result<(), AdminError> {
    let mut work = administration.look().await?;
    let person = find(&mut work, id).await?;
    if administration.actor.person() == Some(id) {
        return Ok(());
    }
    let organization = work.organization(person.organization.as_ref())?.id;
    let disabled = Person { disabled: true, ..person.clone() };
    work.demand(Action::PutPerson { before: Some(&person), after: &disabled }, &organization)
}

async fn put(work: &mut Work<'_>, person: &Person) -> Result<(), AdminError> {
    if let Acting::Person(..) = work.acting {
        demand_own_names(work, person).await?;
    }
    let problems = problems_of_person(work, &work.administration.rules_for([]), person);
    if problems.is_empty() {
        Ok(work.transaction.put_person(person).await?)
    } else {
        Err(AdminError::Refused(problems))
    }
}

/// That nobody else is called by the id or e-mail address of `person`, by which people sign in. The operator may know better.
async fn demand_own_names(work: &mut Work<'_>, person: &Person) -> Result<(), AdminError> {
    for (field, name) in [("id", person.id.as_str()), ("email", person.email.as_str())] {
        let mut others = work.transaction.people_with_email(name).await?;
        if let Ok(id) = PersonId::parse(name) {
            others.extend(work.transaction.person(&id).await?);
        }
        if others.iter().any(|other| other.id != person.id) {
            let reason = "this name cannot be used here; choose another";
            return Err(AdminError::Refused(vec![Refusal::of(field, reason)]));
        }
    }
    Ok(())
}

/// What of a person shall be another; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct PersonUpdate {
    /// The role.
    pub role: Option<Role>,
    /// The projects.
    pub projects: Option<ProjectSet>,
    /// The e-mail address.
    pub email: Option<Email>,
    /// The name.
    pub name: Option<Name>,
    /// Whether all their keys are stopped.
    pub disabled: Option<bool>,
}

impl PersonUpdate {
    /// `person` as they will be.
    fn apply(&self, person: &Person) -> Person {
        Person {
            id: person.id.clone(),
            email: self.email.clone().unwrap_or_else(|| person.email.clone()),
            name: self.name.clone().or_else(|| person.name.clone()),
            organization: person.organization.clone(),
            role: self.role.unwrap_or(person.role),
            projects: self.projects.clone().unwrap_or_else(|| person.projects.clone()),
            disabled: self.disabled.unwrap_or(person.disabled),
        }
    }
}

/// What the audit log says of a change.
fn differences(before: &Person, after: &Person) -> String {
    let mut told = Vec::new();
    if before.role != after.role {
        told.push(format!("role {} -> {}", before.role.as_str(), after.role.as_str()));
    }
    for (name, differs) in [
        ("projects", before.projects != after.projects),
        ("email", before.email != after.email),
        ("name", before.name != after.name),
    ] {
        told.extend(differs.then(|| name.to_owned()));
    }
    if before.disabled != after.disabled {
        told.push(if after.disabled { "disabled" } else { "enabled" }.to_owned());
    }
    told.join(", ")
}

/// Changes the person `id`; every key of theirs follows.
///
/// # Errors
/// Where there is no such person, the change contradicts other records, whoever asks may not, or it could not be
/// written; then nothing was changed.
pub async fn update(
    administration: &Administration,
    id: &PersonId,
    update: &PersonUpdate,
    seen: Option<&RecordTag>,
    command: &str,
) -> Result<Committed, AdminError> {
    let mut work = administration.change().await?;
    let before = find(&mut work, id).await?;
    let organization = work.organization(before.organization.as_ref())?.id;
    work.demand_seen(seen, &RecordTag::of_person(&before))?;
    let after = update.apply(&before);
    work.demand(Action::PutPerson { before: Some(&before), after: &after }, &organization)?;
    if before == after {
        return Ok(Committed::Unchanged);
    }
    put(&mut work, &after).await?;
    let changed = Changed::new("person", id, differences(&before, &after)).within(&organization);
    let committed = work.commit(command, &[changed]).await?;
    if (before.role, &before.projects, before.disabled) != (after.role, &after.projects, after.disabled) {
        end_invitation(administration, id).await?;
    }
    Ok(committed)
}

/// Ends the link by which the person `id` could still choose a password: whoever made it may not be one any more who may.
async fn end_invitation(administration: &Administration, id: &PersonId) -> Result<(), AdminError> {
    let Some(database) = administration.database() else { return Ok(()) };
    Ok(database.accounts().end_link(&LinkPurpose::Invitation(id.clone())).await?)
}

/// The person `id`, to be shown.
///
/// # Errors
/// Where there is none, or whoever asks may not see them.
pub async fn show(work: &mut Work<'_>, id: &PersonId) -> Result<Person, AdminError> {
    find(work, id).await
}

/// The person `id`, if whoever is at work may know that there is one.
async fn find(work: &mut Work<'_>, id: &PersonId) -> Result<Person, AdminError> {
    let unknown =
        || AdminError::NotFound(format!("no person has the id {id}; `keygate people list` shows them"));
    let person = work.transaction.person(id).await?.ok_or_else(unknown)?;
    if let Acting::Person(..) = work.acting {
        let organization = work.organization(person.organization.as_ref())?.id;
        if !work.permits(Action::SeePerson(id), &organization) {
            return Err(unknown());
        }
    }
    Ok(person)
}
