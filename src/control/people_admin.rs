//! What an operator does with people: create, change, disable.

use jiff::Timestamp;

use super::administration::{AdminError, Administration, Changed, Outcome, Records};
use crate::{
    keys::record::{Email, Name, Person, PersonId},
    policy::{principal::Role, project::ProjectSet},
    store::record_yaml,
    yaml::edit::{NewValue, Step},
};

/// Adds a person.
///
/// # Errors
/// Where the id is taken, or it would make a wrong file, or could not be written; then nothing was changed.
pub fn create(
    administration: &Administration,
    person: &Person,
    now: Timestamp,
) -> Result<Outcome, AdminError> {
    let mut records = administration.hold()?;
    let file = records.file_for_new()?;
    let mut edit = records.edit(file)?;
    edit.extend("people", vec![record_yaml::person(person)])?;
    let what = format!("created: role={}", person.role.as_str());
    edit.commit("people create", &[Changed::new("person", person.id.as_str(), &what)], now)
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
    /// The fields of `person` that become others: name, value, and what the audit log says.
    fn changes(&self, person: &Person) -> Vec<(&'static str, NewValue, String)> {
        let mut changes = Vec::new();
        if let Some(role) = self.role.filter(|role| *role != person.role) {
            let what = format!("role {} -> {}", person.role.as_str(), role.as_str());
            changes.push(("role", role.as_str().into(), what));
        }
        if let Some(projects) = self.projects.as_ref().filter(|projects| **projects != person.projects) {
            changes.push(("projects", record_yaml::projects(projects), "projects".to_owned()));
        }
        if let Some(email) = self.email.as_ref().filter(|email| **email != person.email) {
            changes.push(("email", email.as_str().into(), "email".to_owned()));
        }
        if let Some(name) = self.name.as_ref().filter(|name| Some(*name) != person.name.as_ref()) {
            changes.push(("name", name.as_str().into(), "name".to_owned()));
        }
        if let Some(disabled) = self.disabled.filter(|disabled| *disabled != person.disabled) {
            let what = if disabled { "disabled" } else { "enabled" };
            changes.push(("disabled", NewValue::Bool(disabled), what.to_owned()));
        }
        changes
    }
}

/// Changes the person `id`; every key of theirs follows.
///
/// # Errors
/// Where there is no such person, or it would make a wrong file, or could not be written; then nothing was changed.
pub fn update(
    administration: &Administration,
    id: &PersonId,
    update: &PersonUpdate,
    command: &str,
    now: Timestamp,
) -> Result<Outcome, AdminError> {
    let records = administration.hold()?;
    let changes = find(&records, id).map(|person| update.changes(person))?;
    if changes.is_empty() {
        return Ok(Outcome::Unchanged);
    }
    let file = records.files_with("people", id.as_str()).first().copied().unwrap_or(0);
    let mut edit = records.edit(file)?;
    let mut told = Vec::new();
    for (name, value, what) in changes {
        let path = [Step::Key("people"), Step::Where { key: "id", is: id.as_str() }, Step::Key(name)];
        edit.set(&path, value)?;
        told.push(what);
    }
    edit.commit(command, &[Changed::new("person", id.as_str(), &told.join(", "))], now)
}

/// The person `id`.
///
/// # Errors
/// Where there is none.
pub fn find<'r>(records: &'r Records<'_>, id: &PersonId) -> Result<&'r Person, AdminError> {
    records.people().find(|person| person.id == *id).ok_or_else(|| {
        let wrong = records.wrong();
        if wrong.is_empty() {
            AdminError::refused(format!("no person has the id {id}; `keygate people list` shows them"))
        } else {
            AdminError::WrongFiles(wrong)
        }
    })
}
