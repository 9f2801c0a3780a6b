//! Who changes or looks at records, and what they may (product rule: owners and admins of an organization manage its
//! keys, people and projects; with `key_creation: everyone` others have keys of their own).
//!
//! Two things follow from "nobody can create a key that exceeds themselves". A key speaks for its owner, so that nobody
//! makes one, or sees a new secret of one, for somebody of a higher role. And nobody gives a person a higher role or
//! more projects than their own: an admin cannot make an owner, nor change one.

use crate::{
    config::model::KeyCreation,
    keys::record::{KeyId, Name, OrganizationId, Person, PersonId},
    policy::{principal::Role, project::ProjectSet},
    telemetry::operator::Operator,
};

/// Who asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever runs the command line: they can read and write the store itself, so they may do everything.
    Operator(Operator),
    /// A person of the store.
    Person(PersonId),
    /// A person of the store, by a key of theirs that may manage; within the key's projects.
    Key(PersonId, KeyId),
    /// Whoever holds the one-time link for the first owner.
    FirstOwnerLink,
    /// Whoever shows a whole key, and so may end it; nothing else.
    Possessor,
}

impl Actor {
    /// As audit records name them.
    pub fn in_full(&self) -> String {
        match self {
            Self::Operator(operator) => operator.in_full(),
            Self::Person(id) => format!("person:{id}"),
            Self::Key(id, key) => format!("person:{id} key:{key}"),
            Self::FirstOwnerLink => "first-owner link".to_owned(),
            Self::Possessor => "by possession".to_owned(),
        }
    }

    /// As a revocation names them.
    pub fn name(&self) -> Option<Name> {
        match self {
            Self::Operator(operator) => operator.name(),
            Self::Person(id) | Self::Key(id, _) => Name::parse(id.as_str()).ok(),
            Self::FirstOwnerLink => Name::parse("first-owner link").ok(),
            Self::Possessor => Name::parse("by possession").ok(),
        }
    }

    /// The person, if it is one.
    pub fn person(&self) -> Option<&PersonId> {
        match self {
            Self::Person(id) | Self::Key(id, _) => Some(id),
            Self::Operator(_) | Self::FirstOwnerLink | Self::Possessor => None,
        }
    }
}

/// An [`Actor`] as the store knows them now.
#[derive(Debug, Clone)]
pub enum Acting {
    /// The operator.
    Operator,
    /// A person, and the organization they belong to.
    Person(Box<Person>, OrganizationId),
}

impl Acting {
    /// The person, if it is one.
    pub fn person(&self) -> Option<&Person> {
        match self {
            Self::Operator => None,
            Self::Person(person, _) => Some(person),
        }
    }

    /// A person with no more than these projects; the operator as they are.
    pub(super) fn within(self, projects: &ProjectSet) -> Self {
        match self {
            Self::Operator => Self::Operator,
            Self::Person(person, organization) => {
                let projects = person.projects.intersection(projects);
                Self::Person(Box::new(Person { projects, ..*person }), organization)
            }
        }
    }
}

/// What somebody wants to do within an organization.
#[derive(Debug, Clone, Copy)]
pub enum Action<'a> {
    /// See a key of this owner, or its uses.
    SeeKey(Option<&'a PersonId>),
    /// End a key of this owner.
    RevokeKey(Option<&'a PersonId>),
    /// Give a key of this owner another name, or less than it has.
    NarrowKey(Option<&'a PersonId>),
    /// Learn a secret of a key of this owner: create or rotate it.
    IssueSecret(Option<&'a Person>),
    /// See this person.
    SeePerson(&'a PersonId),
    /// Make, change, disable or enable a person: as they were, if they were, and as they will be.
    PutPerson {
        /// `None`: they are new.
        before: Option<&'a Person>,
        /// As they will be.
        after: &'a Person,
    },
    /// See what was changed.
    SeeAudit,
    /// See how the gateway runs and what it decides, or have it look at its sources.
    WatchGateway,
    /// Declare or remove projects.
    ManageProjects,
    /// Make or change organizations.
    ManageOrganizations,
}

/// Whether `acting` may do `action` with what belongs to `organization`.
///
/// # Errors
/// Why not, for them to read.
pub fn may(
    acting: &Acting,
    action: Action<'_>,
    organization: &OrganizationId,
    key_creation: KeyCreation,
) -> Result<(), String> {
    let Acting::Person(person, own) = acting else { return Ok(()) };
    let id = &person.id;
    if person.disabled {
        return Err(format!("{id} is disabled and may do nothing"));
    }
    if own != organization {
        return Err(format!("{id} belongs to the organization {own}; this belongs to {organization}"));
    }
    match action {
        Action::SeeKey(owner) | Action::RevokeKey(owner) | Action::NarrowKey(owner) => {
            own_or_managed(person, owner, key_creation)
        }
        Action::IssueSecret(owner) => {
            own_or_managed(person, owner.map(|owner| &owner.id), key_creation)?;
            below(person, owner.map(|owner| owner.role))
        }
        Action::SeePerson(seen) if seen == id => Ok(()),
        Action::SeePerson(_) | Action::SeeAudit | Action::WatchGateway => managed(person),
        // Declaring or removing one project changes what every key may see.
        Action::ManageProjects => {
            managed(person)?;
            within(person, &ProjectSet::All)
        }
        Action::PutPerson { before, after } => {
            managed(person)?;
            below(person, before.map(|before| before.role))?;
            below(person, Some(after.role))?;
            let is_only_disabled = before.is_some_and(|before| {
                after.disabled && *before == Person { disabled: before.disabled, ..after.clone() }
            });
            if is_only_disabled {
                return Ok(());
            }
            // Who takes somebody's projects away could invite themselves in their place, and wait.
            before.map_or(Ok(()), |before| within(person, &before.projects))?;
            // Also where the projects stay as they are: a role, or keys that work again, are as much as a project.
            within(person, &after.projects)
        }
        Action::ManageOrganizations => {
            Err(format!("{id} belongs to one organization; others are made by the operator"))
        }
    }
}

fn manages(person: &Person) -> bool {
    person.role.manages()
}

fn managed(person: &Person) -> Result<(), String> {
    if manages(person) {
        return Ok(());
    }
    Err(format!(
        "{} is {}; owners and admins of the organization may do this",
        person.id,
        person.role.as_str()
    ))
}

fn own_or_managed(
    person: &Person,
    owner: Option<&PersonId>,
    key_creation: KeyCreation,
) -> Result<(), String> {
    match key_creation {
        KeyCreation::Everyone if !manages(person) && owner == Some(&person.id) => Ok(()),
        KeyCreation::Everyone if !manages(person) => {
            Err(format!("{} is {}, who has keys of their own only", person.id, person.role.as_str()))
        }
        KeyCreation::Everyone | KeyCreation::Admins => managed(person),
    }
}

fn below(person: &Person, role: Option<Role>) -> Result<(), String> {
    match role {
        Some(role) if role > person.role => Err(format!(
            "{} is {}; what concerns people of the role {} is done by one of them",
            person.id,
            person.role.as_str(),
            role.as_str()
        )),
        Some(_) | None => Ok(()),
    }
}

fn within(person: &Person, projects: &ProjectSet) -> Result<(), String> {
    let ProjectSet::Only(own) = &person.projects else { return Ok(()) };
    if person.projects.includes(projects) {
        return Ok(());
    }
    Err(format!("{} has the projects {}, and gives no others", person.id, own.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::record::Email;

    fn person(id: &str, role: Role) -> Person {
        Person {
            id: PersonId::parse(id).unwrap(),
            email: Email::parse("a@b").unwrap(),
            name: None,
            organization: None,
            role,
            projects: ProjectSet::All,
            disabled: false,
        }
    }

    fn acting(person: &Person) -> Acting {
        Acting::Person(Box::new(person.clone()), OrganizationId::default())
    }

    #[derive(Debug, Clone, Copy)]
    enum Wish {
        SeeOwnKey,
        SeeAnothersKey,
        IssueForOneself,
        IssueFor(Role),
        IssueWithoutOwner,
        Make(Role),
        SeeAnother,
        DeclareProjects,
        MakeOrganizations,
    }

    fn is_granted(wish: Wish, role: Role, key_creation: KeyCreation) -> bool {
        let (me, other) = (person("me", role), |role| person("other", role));
        let whose = match wish {
            Wish::IssueFor(role) | Wish::Make(role) => Some(other(role)),
            Wish::IssueForOneself => Some(me.clone()),
            _ => None,
        };
        let stranger = PersonId::parse("other").unwrap();
        let action = match wish {
            Wish::SeeOwnKey => Action::SeeKey(Some(&me.id)),
            Wish::SeeAnothersKey => Action::SeeKey(Some(&stranger)),
            Wish::IssueForOneself | Wish::IssueFor(_) | Wish::IssueWithoutOwner => {
                Action::IssueSecret(whose.as_ref())
            }
            Wish::Make(_) => Action::PutPerson { before: None, after: whose.as_ref().unwrap() },
            Wish::SeeAnother => Action::SeePerson(&stranger),
            Wish::DeclareProjects => Action::ManageProjects,
            Wish::MakeOrganizations => Action::ManageOrganizations,
        };
        may(&acting(&me), action, &OrganizationId::default(), key_creation).is_ok()
    }

    /// A letter for owner, admin, member and viewer: first with `admins`, then with `everyone`.
    #[test]
    fn roles_actions_and_key_creation() {
        for (wish, admins, everyone) in [
            (Wish::SeeOwnKey, "yynn", "yyyy"),
            (Wish::SeeAnothersKey, "yynn", "yynn"),
            (Wish::IssueForOneself, "yynn", "yyyy"),
            (Wish::IssueFor(Role::Owner), "ynnn", "ynnn"),
            (Wish::IssueFor(Role::Admin), "yynn", "yynn"),
            (Wish::IssueFor(Role::Member), "yynn", "yynn"),
            (Wish::IssueFor(Role::Viewer), "yynn", "yynn"),
            (Wish::IssueWithoutOwner, "yynn", "yynn"),
            (Wish::Make(Role::Owner), "ynnn", "ynnn"),
            (Wish::Make(Role::Admin), "yynn", "yynn"),
            (Wish::Make(Role::Viewer), "yynn", "yynn"),
            (Wish::SeeAnother, "yynn", "yynn"),
            (Wish::DeclareProjects, "yynn", "yynn"),
            (Wish::MakeOrganizations, "nnnn", "nnnn"),
        ] {
            for (key_creation, expected) in [(KeyCreation::Admins, admins), (KeyCreation::Everyone, everyone)]
            {
                let found: String = [Role::Owner, Role::Admin, Role::Member, Role::Viewer]
                    .map(|role| if is_granted(wish, role, key_creation) { 'y' } else { 'n' })
                    .iter()
                    .collect();
                assert_eq!(found, expected, "{wish:?}, {key_creation:?}");
            }
        }
    }

    #[test]
    fn nobody_acts_when_disabled_or_elsewhere() {
        let mut me = person("me", Role::Owner);
        let elsewhere = OrganizationId::parse("elsewhere").unwrap();
        let everyone = KeyCreation::Everyone;
        assert!(may(&acting(&me), Action::ManageProjects, &elsewhere, everyone).is_err());
        assert!(may(&Acting::Operator, Action::ManageProjects, &elsewhere, everyone).is_ok());
        me.disabled = true;
        assert!(
            may(&acting(&me), Action::SeeKey(Some(&me.id)), &OrganizationId::default(), everyone).is_err()
        );
    }

    #[test]
    fn nobody_changes_a_higher_role_or_gives_projects_they_lack() {
        let mut admin = person("me", Role::Admin);
        admin.projects = ProjectSet::only(["alpha", "beta"]);
        let restricted = |projects| Person { projects, ..person("bob", Role::Member) };
        let (all, alpha, gamma) = (
            restricted(ProjectSet::All),
            restricted(ProjectSet::only(["alpha"])),
            restricted(ProjectSet::only(["gamma"])),
        );
        let owner = person("ada", Role::Owner);
        let demoted = person("ada", Role::Viewer);
        let disabled = Person { disabled: true, ..all.clone() };
        for (before, after, expected) in [
            (Some(&owner), &demoted, false),
            (Some(&alpha), &all, false),
            (Some(&alpha), &gamma, false),
            (Some(&all), &alpha, false),
            (Some(&all), &disabled, true),
            (Some(&disabled), &all, false),
            (Some(&all), &Person { role: Role::Admin, ..all.clone() }, false),
            (None, &all, false),
            (None, &alpha, true),
            (Some(&admin), &Person { projects: ProjectSet::All, ..admin.clone() }, false),
        ] {
            let action = Action::PutPerson { before, after };
            let may = may(&acting(&admin), action, &OrganizationId::default(), KeyCreation::Admins);
            assert_eq!(may.is_ok(), expected, "{before:?} {after:?}: {may:?}");
        }
    }
}
