//! A person as they are shown.

use serde::Serialize;
use utoipa::ToSchema;

use super::{administration::Work, key_view::Projects, listing::ListedPerson};

/// A person.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PersonView {
    /// Unique among all people.
    pub id: String,
    /// The e-mail address.
    pub email: String,
    /// What people call them.
    pub name: Option<String>,
    /// The organization they belong to.
    pub organization: Option<String>,
    /// `viewer`, `member`, `admin` or `owner`: caps the scopes of their keys.
    pub role: &'static str,
    /// The projects that their keys may have at most.
    pub projects: Projects,
    /// Whether all their keys are stopped.
    pub disabled: bool,
    /// Keys they own, also those that no longer work.
    pub keys: u64,
}

impl PersonView {
    /// `listed`.
    pub fn new(listed: &ListedPerson, work: &Work<'_>) -> Self {
        let ListedPerson { person, keys } = listed;
        let only = Some(&work.organizations[..]).filter(|all| all.len() == 1).and_then(<[_]>::first);
        let organization = person.organization.as_ref().or(only.map(|only| &only.id));
        Self {
            id: person.id.to_string(),
            email: person.email.to_string(),
            name: person.name.as_ref().map(ToString::to_string),
            organization: organization.map(ToString::to_string),
            role: person.role.as_str(),
            projects: Projects::from(&person.projects),
            disabled: person.disabled,
            keys: *keys,
        }
    }
}
