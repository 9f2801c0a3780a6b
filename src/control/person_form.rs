//! A person as somebody asks for them: text as it was typed, read field by field.

use super::{
    administration::Refusal,
    key_form::{Fields, optional, projects, text},
    people_admin::PersonUpdate,
};
use crate::{
    keys::record::{Email, Name, OrganizationId, Person, PersonId},
    policy::{principal::Role, project::ProjectSet},
};

/// A person who shall be added, as it was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonForm {
    /// The id.
    pub id: String,
    /// The e-mail address.
    pub email: String,
    /// What people call them; empty: nothing.
    pub name: String,
    /// The organization; empty: the only one.
    pub organization: String,
    /// The role.
    pub role: String,
    /// Projects; `None`: all.
    pub projects: Option<Vec<String>>,
}

impl PersonForm {
    /// The person, if every field makes sense by itself.
    ///
    /// # Errors
    /// Everything that is wrong, each with its field.
    pub fn read(&self) -> Result<Person, Vec<Refusal>> {
        let mut fields = Fields::default();
        let id = fields.keep("id", text(&self.id, PersonId::parse_new));
        let email = fields.keep("email", text(&self.email, Email::parse));
        let name = fields.keep("name", optional(&self.name, Name::parse));
        let organization = fields.keep("organization", optional(&self.organization, OrganizationId::parse));
        let role = fields.keep("role", role(&self.role));
        let projects = fields.keep("projects", projects(self.projects.as_deref()));
        let person = || {
            Some(Person {
                id: id?,
                email: email?,
                name: name?,
                organization: organization?,
                role: role?,
                projects: projects?,
                disabled: false,
            })
        };
        person().ok_or(fields.wrong)
    }
}

/// What of a person shall be another, as it was typed; `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonUpdateForm {
    /// The e-mail address.
    pub email: Option<String>,
    /// What people call them.
    pub name: Option<String>,
    /// The role.
    pub role: Option<String>,
    /// The projects.
    pub projects: Option<ProjectsTyped>,
}

/// Projects as they were chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectsTyped {
    /// Every one.
    All,
    /// These.
    Only(Vec<String>),
}

impl ProjectsTyped {
    fn read(&self) -> Result<ProjectSet, String> {
        match self {
            Self::All => projects(None),
            Self::Only(ids) => projects(Some(ids)),
        }
    }
}

impl PersonUpdateForm {
    /// What shall be another, if every field makes sense by itself.
    ///
    /// # Errors
    /// Everything that is wrong, each with its field.
    pub fn read(&self) -> Result<PersonUpdate, Vec<Refusal>> {
        let mut fields = Fields::default();
        let update = PersonUpdate {
            email: fields.given("email", self.email.as_ref(), |email| text(email, Email::parse)),
            name: fields.given("name", self.name.as_ref(), |name| text(name, Name::parse)),
            role: fields.given("role", self.role.as_ref(), |name| role(name)),
            projects: fields.given("projects", self.projects.as_ref(), ProjectsTyped::read),
            disabled: None,
        };
        if fields.wrong.is_empty() { Ok(update) } else { Err(fields.wrong) }
    }
}

fn role(typed: &str) -> Result<Role, String> {
    Role::from_name(typed.trim()).ok_or_else(|| "must be viewer, member, admin or owner".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_told_with_its_field() {
        let wrong = PersonForm {
            id: "a b,".into(),
            email: "nobody".into(),
            role: "king".into(),
            projects: Some(Vec::new()),
            ..PersonForm::default()
        };
        let fields: Vec<_> = wrong.read().unwrap_err().iter().filter_map(|refusal| refusal.field).collect();
        assert_eq!(fields, ["id", "email", "role", "projects"]);
        let update = PersonUpdateForm { role: Some("king".into()), ..PersonUpdateForm::default() };
        assert_eq!(update.read().unwrap_err()[0].field, Some("role"));
        assert!(PersonUpdateForm::default().read().unwrap().projects.is_none());
    }
}
