//! What keys name: people, organizations, projects, scopes; and what that means today. Entries of the table point here
//! by number, and numbers stay what they are while records change.

use super::{
    caps::RoleCaps,
    chunks::Chunks,
    grants::ScopeNames,
    plans::PlanNames,
    record::{Email, OrganizationId, PersonId},
    secret::Brand,
    table::KeyView,
};
use crate::policy::{principal::Role, project::ProjectSet};

#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) brand: Brand,
    pub(super) role_caps: RoleCaps,
    pub(super) scopes: ScopeNames,
    pub(super) plans: PlanNames,
    pub(super) organizations: Chunks<OrganizationEntry>,
    /// The only organization, to which everything belongs that names none.
    pub(super) sole_organization: Option<u32>,
    pub(super) people: Chunks<PersonEntry>,
    pub(super) project_sets: Chunks<ProjectSet>,
}

#[derive(Debug, Clone)]
pub(super) struct OrganizationEntry {
    pub(super) id: OrganizationId,
    /// [`ProjectSet::All`] if it declares none; `None` if it does not exist, but is named.
    pub(super) projects: Option<ProjectSet>,
}

#[derive(Debug, Clone)]
pub(super) struct PersonEntry {
    pub(super) id: PersonId,
    /// `None` if nobody has the id, but keys name it.
    pub(super) facts: Option<PersonFacts>,
}

#[derive(Debug, Clone)]
pub(super) struct PersonFacts {
    pub(super) email: Email,
    pub(super) role: Role,
    /// `None`: the only one.
    pub(super) organization: Option<u32>,
    pub(super) projects: ProjectSet,
    pub(super) disabled: bool,
}

/// A key's owner.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyOwner<'d> {
    pub(super) id: &'d PersonId,
    pub(super) facts: &'d PersonFacts,
}

/// Whom and what a key belongs to and is restricted to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Belonging<'d> {
    pub(super) owner: Option<KeyOwner<'d>>,
    pub(super) organization: &'d OrganizationId,
    /// What the organization declares.
    pub(super) declared: &'d ProjectSet,
    /// What the key was granted.
    pub(super) projects: &'d ProjectSet,
}

impl Directory {
    /// Whom the key belongs to. `None` if that cannot be said: its owner or organization does not exist or is not
    /// named, or it belongs elsewhere than its owner. Nobody can use such a key, as if it were unknown.
    pub(super) fn belonging(&self, view: &KeyView<'_>) -> Option<Belonging<'_>> {
        let owner = match view.owner {
            Some(at) => Some(self.owner(at)?),
            None => None,
        };
        let at = match (view.organization, owner) {
            (Some(named), Some(owner)) => (self.organization_of(owner.facts)? == named).then_some(named),
            (None, Some(owner)) => self.organization_of(owner.facts),
            (Some(named), None) => Some(named),
            (None, None) => self.sole_organization,
        }?;
        let organization = self.organizations.get(at)?;
        Some(Belonging {
            owner,
            organization: &organization.id,
            declared: organization.projects.as_ref()?,
            projects: self.project_sets.get(view.projects)?,
        })
    }

    /// The number of the organization a person belongs to.
    pub(super) fn organization_of(&self, person: &PersonFacts) -> Option<u32> {
        person.organization.or(self.sole_organization)
    }

    fn owner(&self, at: u32) -> Option<KeyOwner<'_>> {
        let person = self.people.get(at)?;
        Some(KeyOwner { id: &person.id, facts: person.facts.as_ref()? })
    }
}
