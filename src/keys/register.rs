//! The directory while records go into it: every id and set by its number, and everything that records say about one
//! another checked.
//!
//! A record may name what is not there. It then gets a number all the same, which nobody can use until it is: so it does
//! not matter in which order records come, and a wrong one does no harm to others.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use arrayvec::ArrayVec;

use super::{
    build::KeyPolicy,
    checksum::{ceil_ms, floor_ms},
    chunks::Chunks,
    directory::{Directory, OrganizationEntry, PersonEntry, PersonFacts},
    grants::{Grants, ScopeNames},
    plans::{PlanNames, PlanNumber},
    problem::{BuildProblem, Fault, Problems, RecordField, Subject},
    record::{ADDRESSES_MAX, KeyRecord, Organization, OrganizationId, Person, PersonId},
    table::{Entry, KeyTable, TableFull},
};
use crate::policy::{
    plan::{Plan, Plans},
    project::ProjectSet,
    scope::MANAGE,
};

/// Fewer project sets than this are never looked through for unused ones.
const SETS_SWEPT: usize = 1024;

#[derive(Debug)]
pub(super) struct Register {
    directory: Arc<Directory>,
    /// Those of the config.
    plans: Plans,
    organization_at: HashMap<OrganizationId, u32>,
    person_at: HashMap<PersonId, u32>,
    /// By their hash, so that no set is held twice; should two share one, the second is not found again.
    project_set_at: HashMap<u64, u32>,
    hasher: RandomState,
    /// How many project sets were in use when that was last looked at.
    sets_in_use: usize,
}

impl Register {
    /// Of nobody but the organization `default`.
    pub(super) fn new(policy: &KeyPolicy<'_>) -> Self {
        let directory = Directory {
            brand: policy.brand.clone(),
            role_caps: *policy.role_caps,
            scopes: ScopeNames::new(policy.scopes),
            plans: PlanNames::new(policy.plans),
            organizations: Chunks::default(),
            sole_organization: None,
            people: Chunks::default(),
            project_sets: Chunks::default(),
        };
        Self::of(Arc::new(directory), policy.plans)
    }

    /// Of what is in `directory`, with these plans.
    pub(super) fn of(directory: Arc<Directory>, plans: &Plans) -> Self {
        let hasher = RandomState::new();
        let organizations = directory.organizations.iter().map(|entry| entry.id.clone());
        let people = directory.people.iter().map(|entry| entry.id.clone());
        let sets = directory.project_sets.iter().map(|set| hasher.hash_one(set));
        Self {
            organization_at: organizations.zip(0..).collect(),
            person_at: people.zip(0..).collect(),
            project_set_at: sets.zip(0..).collect(),
            sets_in_use: directory.project_sets.len(),
            plans: plans.clone(),
            hasher,
            directory,
        }
    }

    pub(super) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The directory, to be changed; shared parts are copied as they are touched.
    pub(super) fn directory_mut(&mut self) -> &mut Directory {
        Arc::make_mut(&mut self.directory)
    }

    /// From now on plans are those of another config.
    pub(super) fn set_plans(&mut self, plans: &Plans) {
        self.plans.clone_from(plans);
        self.directory_mut().plans.redefine(plans);
    }

    /// Takes the place of all organizations there were. None at all is one, called `default`.
    pub(super) fn set_organizations<'r>(
        &mut self,
        organizations: impl ExactSizeIterator<Item = &'r Organization>,
        problems: &mut Problems,
    ) -> Result<(), TableFull> {
        for at in (0..).take(self.directory.organizations.len()) {
            self.set_projects(at, None);
        }
        let is_sole = organizations.len() <= 1;
        let mut position_of = HashMap::new();
        let mut declarer_of = HashMap::new();
        for (position, organization) in organizations.enumerate() {
            let subject = Subject::Organization(position, organization.id.clone());
            let mut teller = Teller { problems: &mut *problems, subject };
            if let Some(first) = position_of.insert(&organization.id, position) {
                teller.tell(RecordField::Id, None, Fault::DuplicateId { first });
            }
            let projects = match &organization.projects {
                Some(declared) => declare(organization, declared, &mut declarer_of, &mut teller),
                None if is_sole => ProjectSet::All,
                None => {
                    teller.tell(RecordField::Projects, None, Fault::ProjectsNotDeclared);
                    ProjectSet::only::<[&str; 0], _>([])
                }
            };
            let at = self.organization(&organization.id)?;
            self.set_projects(at, Some(projects));
        }
        self.set_sole_organization(&position_of)
    }

    fn set_sole_organization(
        &mut self,
        position_of: &HashMap<&OrganizationId, usize>,
    ) -> Result<(), TableFull> {
        let unnamed = OrganizationId::default();
        let mut ids = position_of.keys();
        let sole = match (ids.next(), ids.next()) {
            (None, _) => {
                let at = self.organization(&unnamed)?;
                self.set_projects(at, Some(ProjectSet::All));
                Some(at)
            }
            (Some(only), None) => Some(self.organization(only)?),
            (Some(_), Some(_)) => None,
        };
        self.directory_mut().sole_organization = sole;
        Ok(())
    }

    fn set_projects(&mut self, at: u32, projects: Option<ProjectSet>) {
        if let Some(entry) = self.directory_mut().organizations.get_mut(at) {
            entry.projects = projects;
        }
    }

    /// What keys need to know of `person`, the one at `position`.
    pub(super) fn facts(
        &mut self,
        position: usize,
        person: &Person,
        problems: &mut Problems,
    ) -> Result<PersonFacts, TableFull> {
        let subject = Subject::Person(position, person.id.clone());
        let mut teller = Teller { problems, subject };
        let organization =
            person.organization.as_ref().map(|id| self.named_organization(id, &mut teller)).transpose()?;
        let belongs_to = organization.or(self.directory.sole_organization);
        if belongs_to.is_none() {
            teller.tell(RecordField::Organization, None, Fault::OrganizationNotNamed);
        }
        Ok(PersonFacts {
            email: person.email.clone(),
            role: person.role,
            organization,
            projects: self.checked_projects(&person.projects, belongs_to, &mut teller).into_owned(),
            disabled: person.disabled,
        })
    }

    /// Puts these facts in the place of whatever is known of the person `id`.
    pub(super) fn put_person(&mut self, id: &PersonId, facts: PersonFacts) -> Result<(), TableFull> {
        let at = self.person(id)?;
        if let Some(entry) = self.directory_mut().people.get_mut(at) {
            entry.facts = Some(facts);
        }
        Ok(())
    }

    fn has_person(&self, id: &PersonId) -> bool {
        let entry = self.person_at.get(id).and_then(|at| self.directory.people.get(*at));
        entry.is_some_and(|person| person.facts.is_some())
    }

    /// The entries of `key`, the one at `position`: that of its secret, and that of the one before.
    pub(super) fn entries<'r>(
        &mut self,
        position: usize,
        key: &'r KeyRecord,
        problems: &mut Problems,
    ) -> Result<ArrayVec<Entry<'r>, 2>, TableFull> {
        let mut teller = Teller { problems, subject: Subject::Key(position, key.id) };
        check_alone(key, &mut teller);
        let grants = self.grants(key, &mut teller);
        let manages = key.is_granted(MANAGE);
        let plan = self.plan(key, &mut teller);
        let owner = key.owner.as_ref().map(|id| self.owner(id, &mut teller)).transpose()?;
        let organization =
            key.organization.as_ref().map(|id| self.named_organization(id, &mut teller)).transpose()?;
        let belongs_to = self.organization_of_key(key, owner, organization, &mut teller);
        let projects = self.checked_projects(&key.projects, belongs_to, &mut teller);
        let projects = self.project_set(&projects)?;
        let key_expires_ms = key.expires_at.map(floor_ms);
        let current = Entry {
            digest: key.digest,
            grants,
            manages,
            expires_ms: key_expires_ms,
            key_expires_ms,
            owner,
            organization,
            projects,
            id: key.id,
            name: key.name.as_ref().map_or("", |name| name.as_str()),
            is_previous: false,
            revoked_ms: key.revoked.as_ref().map(|revoked| floor_ms(revoked.at)),
            not_before_ms: key.not_before.map(ceil_ms),
            addresses: &key.addresses,
            plan,
        };
        let previous = key.previous.as_ref().map(|previous| {
            let until = floor_ms(previous.until);
            let expires_ms = Some(key_expires_ms.map_or(until, |end| end.min(until)));
            Entry { digest: previous.digest, expires_ms, is_previous: true, ..current.clone() }
        });
        Ok(previous.into_iter().chain([current]).collect())
    }

    fn grants(&mut self, key: &KeyRecord, teller: &mut Teller<'_>) -> Grants {
        let mut grants = Grants::NONE;
        let named = key.scopes.iter().enumerate().filter(|(_, name)| *name != MANAGE);
        for (element, name) in named {
            let found = self.directory.scopes.find(name);
            let (grant, is_known) = found.unwrap_or_else(|| self.directory_mut().scopes.find_or_add(name));
            grants = grants.union(grant);
            if !is_known {
                let nearest = teller.problems.nearest(name, self.directory.scopes.known());
                let fault = Fault::UnknownScope { name: name.clone(), nearest };
                teller.tell(RecordField::Scopes, Some(element), fault);
            }
        }
        grants
    }

    fn plan(&mut self, key: &KeyRecord, teller: &mut Teller<'_>) -> Option<PlanNumber> {
        let name = key.plan.as_ref()?.as_str();
        if !self.plans.is_known(name) {
            let nearest = teller.problems.nearest(name, self.plans.iter().map(Plan::name));
            let names = || self.plans.iter().map(|plan| plan.name().to_owned()).collect();
            let defined = teller.problems.suggests().then(names);
            let fault = Fault::UnknownPlan { name: name.to_owned(), nearest, defined };
            teller.tell(RecordField::Plan, None, fault);
        }
        let found = self.directory.plans.find(name);
        Some(found.unwrap_or_else(|| Arc::make_mut(&mut self.directory).plans.find_or_add(name, &self.plans)))
    }

    fn owner(&mut self, id: &PersonId, teller: &mut Teller<'_>) -> Result<u32, TableFull> {
        if !self.has_person(id) {
            let known = self.directory.people.iter().filter(|person| person.facts.is_some());
            let nearest = teller.problems.nearest(id.as_str(), known.map(|person| person.id.as_str()));
            teller.tell(RecordField::Owner, None, Fault::UnknownOwner { id: id.clone(), nearest });
        }
        self.person(id)
    }

    fn named_organization(&mut self, id: &OrganizationId, teller: &mut Teller<'_>) -> Result<u32, TableFull> {
        let at = self.organization(id)?;
        let entry = self.directory.organizations.get(at);
        if entry.is_none_or(|entry| entry.projects.is_none()) {
            let known = self.directory.organizations.iter().filter(|entry| entry.projects.is_some());
            let nearest = teller.problems.nearest(id.as_str(), known.map(|entry| entry.id.as_str()));
            let fault = Fault::UnknownOrganization { id: id.clone(), nearest };
            teller.tell(RecordField::Organization, None, fault);
        }
        Ok(at)
    }

    /// The organization that the key belongs to, if that can be said: the one it names, else its owner's, else the only
    /// one.
    fn organization_of_key(
        &self,
        key: &KeyRecord,
        owner: Option<u32>,
        named: Option<u32>,
        teller: &mut Teller<'_>,
    ) -> Option<u32> {
        let facts = owner.and_then(|at| self.directory.people.get(at)?.facts.as_ref());
        let of_owner = facts.and_then(|facts| self.directory.organization_of(facts));
        match (named, of_owner, &key.owner) {
            (Some(named), Some(of_owner), Some(owner)) if named != of_owner => {
                let organization = self.directory.organizations.get(of_owner)?.id.clone();
                let fault = Fault::OwnerElsewhere { owner: owner.clone(), organization };
                teller.tell(RecordField::Owner, None, fault);
                None
            }
            (Some(named), _, _) => Some(named),
            // Where it is wrong or missing, that was told of the owner.
            (None, of_owner, Some(_)) => of_owner,
            (None, _, None) => {
                if self.directory.sole_organization.is_none() {
                    teller.tell(RecordField::Organization, None, Fault::OrganizationNotNamed);
                }
                self.directory.sole_organization
            }
        }
    }

    /// Those of `granted` that a request can name. Each must also be one that the organization declares, if it declares
    /// any; if not, the request is refused for that.
    fn checked_projects<'s>(
        &self,
        granted: &'s ProjectSet,
        organization: Option<u32>,
        teller: &mut Teller<'_>,
    ) -> Cow<'s, ProjectSet> {
        let ProjectSet::Only(ids) = granted else { return Cow::Borrowed(granted) };
        let organization = organization.and_then(|at| self.directory.organizations.get(at));
        let mut are_projects = true;
        for (element, project) in ids.iter().enumerate() {
            let fault = if is_project(project) {
                organization.and_then(|organization| undeclared(project, organization, teller.problems))
            } else {
                are_projects = false;
                Some(Fault::BadProject { project: project.to_string() })
            };
            if let Some(fault) = fault {
                teller.tell(RecordField::Projects, Some(element), fault);
            }
        }
        if are_projects {
            return Cow::Borrowed(granted);
        }
        Cow::Owned(ProjectSet::only(ids.iter().filter(|id| is_project(id)).cloned()))
    }

    fn organization(&mut self, id: &OrganizationId) -> Result<u32, TableFull> {
        if let Some(at) = self.organization_at.get(id) {
            return Ok(*at);
        }
        let entry = OrganizationEntry { id: id.clone(), projects: None };
        let at = self.directory_mut().organizations.push(entry)?;
        self.organization_at.insert(id.clone(), at);
        Ok(at)
    }

    fn person(&mut self, id: &PersonId) -> Result<u32, TableFull> {
        if let Some(at) = self.person_at.get(id) {
            return Ok(*at);
        }
        let at = self.directory_mut().people.push(PersonEntry { id: id.clone(), facts: None })?;
        self.person_at.insert(id.clone(), at);
        Ok(at)
    }

    fn project_set(&mut self, set: &ProjectSet) -> Result<u32, TableFull> {
        let hash = self.hasher.hash_one(set);
        let known = self.project_set_at.get(&hash).copied();
        if let Some(at) = known.filter(|at| self.directory.project_sets.get(*at) == Some(set)) {
            return Ok(at);
        }
        let at = self.directory_mut().project_sets.push(set.clone())?;
        self.project_set_at.entry(hash).or_insert(at);
        Ok(at)
    }

    /// Forgets project sets that no key of `table` has, once there may be as many as others; then gives the table with
    /// the numbers that the others have after. Cost, then: a copy of the whole table.
    pub(super) fn swept(&mut self, table: &KeyTable) -> Result<Option<KeyTable>, TableFull> {
        let sets = self.directory.project_sets.len();
        if sets <= 2 * self.sets_in_use.max(SETS_SWEPT) {
            return Ok(None);
        }
        let old = std::mem::take(&mut self.directory_mut().project_sets);
        self.project_set_at.clear();
        let mut numbers = vec![None; sets];
        for view in table.iter() {
            if let (Some(number @ None), Some(set)) =
                (numbers.get_mut(view.projects as usize), old.get(view.projects))
            {
                *number = Some(self.project_set(set)?);
            }
        }
        self.sets_in_use = self.directory.project_sets.len();
        let number = |old: u32| numbers.get(old as usize).copied().flatten().unwrap_or(u32::MAX);
        Ok(Some(table.renumbered(|grants| grants, number)))
    }
}

/// Whom a problem belongs to, and where it goes.
struct Teller<'p> {
    problems: &'p mut Problems,
    subject: Subject,
}

impl Teller<'_> {
    fn tell(&mut self, field: RecordField, element: Option<usize>, fault: Fault) {
        self.problems.add(BuildProblem { subject: self.subject.clone(), field, element, fault });
    }
}

/// What `organization` declares, without what cannot be a project or belongs to another already.
fn declare<'r>(
    organization: &'r Organization,
    declared: &'r [String],
    declarer_of: &mut HashMap<&'r str, &'r OrganizationId>,
    teller: &mut Teller<'_>,
) -> ProjectSet {
    let mut own = Vec::with_capacity(declared.len());
    for (element, project) in declared.iter().enumerate() {
        let fault = if !is_project(project) {
            Fault::BadProject { project: project.clone() }
        } else if let Some(first) = declarer_of.get(project.as_str()) {
            Fault::ProjectDeclaredTwice { project: project.clone(), organization: (*first).clone() }
        } else {
            declarer_of.insert(project, &organization.id);
            own.push(project.as_str());
            continue;
        };
        teller.tell(RecordField::Projects, Some(element), fault);
    }
    ProjectSet::only(own)
}

fn undeclared(project: &str, organization: &OrganizationEntry, problems: &Problems) -> Option<Fault> {
    let Some(ProjectSet::Only(declared)) = &organization.projects else { return None };
    if declared.binary_search_by(|known| known.as_ref().cmp(project)).is_ok() {
        return None;
    }
    Some(Fault::UnknownProject {
        project: project.to_owned(),
        organization: organization.id.clone(),
        nearest: problems.nearest(project, declared.iter().map(AsRef::as_ref)),
    })
}

/// What can be wrong with a key whatever else there is.
fn check_alone(key: &KeyRecord, teller: &mut Teller<'_>) {
    if let (Some(start), Some(end)) = (key.not_before, key.expires_at)
        && start >= end
    {
        teller.tell(RecordField::NotBefore, None, Fault::NeverInForce);
    }
    if key.addresses.len() > ADDRESSES_MAX {
        let fault = Fault::TooManyAddresses { count: key.addresses.len() };
        teller.tell(RecordField::Addresses, None, fault);
    }
}

/// Whether a request can name the project at all; routes decide what of this they accept. `*` would read as "all" in
/// the header that lists projects.
pub(super) fn is_project(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id != "*"
        && !id.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control())
}
