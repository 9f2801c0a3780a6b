//! From records to a snapshot: everything that records say about one another is checked here, once, so that a
//! request never meets a key whose owner, organization, scope or project does not exist.

use std::{borrow::Borrow, collections::HashMap, hash::Hash, sync::Arc};

use super::{
    caps::RoleCaps,
    checksum::{ceil_ms, floor_ms},
    digest::KeyDigest,
    problem::{BuildProblem, Fault, RecordField, Subject},
    record::{ADDRESSES_MAX, KeyRecord, Organization, OrganizationId, Person, PersonId},
    secret::Brand,
    snapshot::{Directory, KeySnapshot, OrganizationEntry, PersonEntry},
    table::{Entry, KeyTable},
};
use crate::policy::{
    project::ProjectSet,
    scope::{ScopeSet, Scopes},
};

/// What the config says about keys.
#[derive(Debug, Clone, Copy)]
pub struct KeyPolicy<'p> {
    /// The scopes there are.
    pub scopes: &'p Scopes,
    /// What a role allows at most.
    pub role_caps: &'p RoleCaps,
    /// The brand of secrets made here.
    pub brand: &'p Brand,
}

/// See [`KeySnapshot::build`].
pub(super) fn build<K: Borrow<KeyRecord>, P: Borrow<Person>, O: Borrow<Organization>>(
    keys: &[K],
    people: &[P],
    organizations: &[O],
    policy: &KeyPolicy<'_>,
) -> Result<KeySnapshot, Vec<BuildProblem>> {
    let unnamed = [Organization::default()];
    let organizations: Vec<&Organization> = if organizations.is_empty() {
        unnamed.iter().collect()
    } else {
        organizations.iter().map(Borrow::borrow).collect()
    };
    let mut builder = Builder::new(policy, keys.len());
    builder.add_organizations(&organizations);
    builder.add_people(people.iter().map(Borrow::borrow));
    let mut entries = Vec::with_capacity(keys.len());
    for (at, key) in keys.iter().enumerate() {
        builder.add_key(at, key.borrow(), &mut entries);
    }
    builder.finish(entries)
}

/// The records that were read so far, by what others name them.
struct Builder<'r> {
    policy: &'r KeyPolicy<'r>,
    problems: Vec<BuildProblem>,
    organizations: Vec<OrganizationEntry>,
    organization_at: HashMap<&'r OrganizationId, usize>,
    project_of: HashMap<&'r str, usize>,
    people: Vec<PersonEntry>,
    person_at: HashMap<&'r PersonId, usize>,
    organization_of: Vec<Option<usize>>,
    key_at: HashMap<&'r str, usize>,
    digest_at: HashMap<KeyDigest, (usize, &'r KeyRecord)>,
    project_sets: Vec<&'r ProjectSet>,
    project_set_at: HashMap<&'r ProjectSet, usize>,
}

impl<'r> Builder<'r> {
    fn new(policy: &'r KeyPolicy<'r>, keys: usize) -> Self {
        Self {
            policy,
            problems: Vec::new(),
            organizations: Vec::new(),
            organization_at: HashMap::new(),
            project_of: HashMap::new(),
            people: Vec::new(),
            person_at: HashMap::new(),
            organization_of: Vec::new(),
            key_at: HashMap::with_capacity(keys),
            digest_at: HashMap::with_capacity(keys),
            project_sets: Vec::new(),
            project_set_at: HashMap::new(),
        }
    }

    fn add_organizations(&mut self, organizations: &[&'r Organization]) {
        for (at, organization) in organizations.iter().enumerate() {
            let subject = || Subject::Organization(at, organization.id.clone());
            if let Err(first) = claim(&mut self.organization_at, &organization.id, at) {
                self.problem(subject(), RecordField::Id, None, Fault::DuplicateId { first });
            }
            let projects = match &organization.projects {
                Some(declared) => {
                    self.declare(organization, at, declared);
                    ProjectSet::only(declared.iter().map(String::as_str))
                }
                None => ProjectSet::All,
            };
            if projects.is_all() && organizations.len() > 1 {
                self.problem(subject(), RecordField::Projects, None, Fault::ProjectsNotDeclared);
            }
            self.organizations.push(OrganizationEntry { id: organization.id.clone(), projects });
        }
    }

    fn declare(&mut self, organization: &'r Organization, at: usize, projects: &'r [String]) {
        for (element, project) in projects.iter().enumerate() {
            let fault = if !is_project(project) {
                Fault::BadProject { project: project.clone() }
            } else if let Err(first) = claim(&mut self.project_of, project.as_str(), at) {
                let declarer =
                    self.organizations.get(first).map_or(&organization.id, |known| &known.id).clone();
                Fault::ProjectDeclaredTwice { project: project.clone(), organization: declarer }
            } else {
                continue;
            };
            let subject = Subject::Organization(at, organization.id.clone());
            self.problem(subject, RecordField::Projects, Some(element), fault);
        }
    }

    fn add_people(&mut self, people: impl Iterator<Item = &'r Person>) {
        for (at, person) in people.enumerate() {
            let subject = || Subject::Person(at, person.id.clone());
            if let Err(first) = claim(&mut self.person_at, &person.id, at) {
                self.problem(subject(), RecordField::Id, None, Fault::DuplicateId { first });
            }
            let organization = match &person.organization {
                Some(id) => self.organization(id),
                None => self.only_organization(),
            };
            match organization {
                Ok(organization) => self.check_projects(subject, &person.projects, organization),
                Err(ref fault) => self.problem(subject(), RecordField::Organization, None, fault.clone()),
            }
            self.organization_of.push(organization.ok());
            self.people.push(PersonEntry {
                id: person.id.clone(),
                email: person.email.clone(),
                role: person.role,
                cap: self.policy.role_caps.get(person.role),
                projects: person.projects.clone(),
                disabled: person.disabled,
            });
        }
    }

    /// Checks the key at position `at` and appends its entries: one, or two in rotation. A key with problems may leave
    /// none, for then there will be no snapshot.
    fn add_key(&mut self, at: usize, key: &'r KeyRecord, entries: &mut Vec<Entry<'r>>) {
        let subject = || Subject::Key(at, key.id);
        if let Err(first) = claim(&mut self.key_at, key.id.as_str(), at) {
            self.problem(subject(), RecordField::Id, None, Fault::DuplicateId { first });
        }
        self.claim_digest(at, key, key.digest, RecordField::Digest);
        if let Some(previous) = &key.previous {
            self.claim_digest(at, key, previous.digest, RecordField::PreviousDigest);
        }
        if let (Some(start), Some(end)) = (key.not_before, key.expires_at)
            && start >= end
        {
            self.problem(subject(), RecordField::NotBefore, None, Fault::NeverInForce);
        }
        if key.addresses.len() > ADDRESSES_MAX {
            let fault = Fault::TooManyAddresses { count: key.addresses.len() };
            self.problem(subject(), RecordField::Addresses, None, fault);
        }
        let scopes = self.scopes(at, key);
        let owner = self.owner(at, key);
        let Some(organization) = self.organization_of_key(at, key, owner) else { return };
        self.check_projects(subject, &key.projects, organization);
        let (Ok(organization), Ok(owner), Ok(projects)) = (
            u32::try_from(organization),
            owner.map(u32::try_from).transpose(),
            u32::try_from(self.intern(&key.projects)),
        ) else {
            return self.problem(Subject::AllKeys, RecordField::Id, None, Fault::TooManyKeys);
        };
        push_entries(key, scopes, owner, organization, projects, entries);
    }

    fn claim_digest(&mut self, at: usize, key: &'r KeyRecord, digest: KeyDigest, field: RecordField) {
        if let Err((first, other)) = claim(&mut self.digest_at, digest, (at, key)) {
            let fault = Fault::DuplicateDigest { first, id: other.id };
            self.problem(Subject::Key(at, key.id), field, None, fault);
        }
    }

    fn scopes(&mut self, at: usize, key: &KeyRecord) -> ScopeSet {
        let mut granted = ScopeSet::EMPTY;
        for (element, name) in key.scopes.iter().enumerate() {
            if let Some(closure) = self.policy.scopes.get(name) {
                granted = granted.union(closure);
                continue;
            }
            let nearest = self.nearest(name, self.policy.scopes.names(self.policy.scopes.all()));
            let fault = Fault::UnknownScope { name: name.clone(), nearest };
            self.problem(Subject::Key(at, key.id), RecordField::Scopes, Some(element), fault);
        }
        granted
    }

    fn owner(&mut self, at: usize, key: &KeyRecord) -> Option<usize> {
        let id = key.owner.as_ref()?;
        let owner = self.person_at.get(id).copied();
        if owner.is_none() {
            let nearest = self.nearest(id.as_str(), self.person_at.keys().map(|id| id.as_str()));
            let fault = Fault::UnknownOwner { id: id.clone(), nearest };
            self.problem(Subject::Key(at, key.id), RecordField::Owner, None, fault);
        }
        owner
    }

    /// The organization the key names, else its owner's, else the only one.
    fn organization_of_key(&mut self, at: usize, key: &KeyRecord, owner: Option<usize>) -> Option<usize> {
        let of_owner = owner.map(|owner| self.organization_of[owner]);
        let organization = match (&key.organization, of_owner) {
            (Some(id), _) => self.organization(id),
            // The owner's own organization is wrong or missing: told there.
            (None, Some(of_owner)) => return of_owner,
            // The owner does not exist: told already, and what it would say is unknown.
            (None, None) if key.owner.is_some() => return None,
            (None, None) => self.only_organization(),
        };
        let subject = Subject::Key(at, key.id);
        match (organization, of_owner.flatten(), &key.owner) {
            (Err(fault), _, _) => {
                self.problem(subject, RecordField::Organization, None, fault);
                None
            }
            (Ok(named), Some(of_owner), Some(owner)) if named != of_owner => {
                let organization = self.organizations[of_owner].id.clone();
                let fault = Fault::OwnerElsewhere { owner: owner.clone(), organization };
                self.problem(subject, RecordField::Owner, None, fault);
                None
            }
            (Ok(named), _, _) => Some(named),
        }
    }

    fn organization(&self, id: &OrganizationId) -> Result<usize, Fault> {
        self.organization_at.get(id).copied().ok_or_else(|| Fault::UnknownOrganization {
            id: id.clone(),
            nearest: self.nearest(id.as_str(), self.organization_at.keys().map(|id| id.as_str())),
        })
    }

    fn only_organization(&self) -> Result<usize, Fault> {
        if self.organizations.len() == 1 { Ok(0) } else { Err(Fault::OrganizationNotNamed) }
    }

    /// Every listed project must be one that a request can name and, where the organization declares any, one of those.
    fn check_projects(&mut self, subject: impl Fn() -> Subject, granted: &ProjectSet, organization: usize) {
        let ProjectSet::Only(ids) = granted else { return };
        for (element, project) in ids.iter().enumerate() {
            let known = &self.organizations[organization];
            let fault = if !is_project(project) {
                Fault::BadProject { project: project.to_string() }
            } else if !known.projects.contains(project) {
                let nearest = match &known.projects {
                    ProjectSet::All => None,
                    ProjectSet::Only(declared) => self.nearest(project, declared.iter().map(AsRef::as_ref)),
                };
                Fault::UnknownProject {
                    project: project.to_string(),
                    organization: known.id.clone(),
                    nearest,
                }
            } else {
                continue;
            };
            self.problem(subject(), RecordField::Projects, Some(element), fault);
        }
    }

    fn intern(&mut self, set: &'r ProjectSet) -> usize {
        *self.project_set_at.entry(set).or_insert_with(|| {
            self.project_sets.push(set);
            self.project_sets.len() - 1
        })
    }

    /// The known name that `name` is probably a slip for. Looked for among the first 1,000 names, and only for the first
    /// 100 problems: a file that is wrong throughout must not keep the machine busy.
    fn nearest<'n>(&self, name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
        if self.problems.len() >= 100 {
            return None;
        }
        let slips_allowed = (name.chars().count() / 3).max(1);
        known
            .take(1000)
            .map(|known| (strsim::damerau_levenshtein(name, known), known))
            .filter(|(slips, _)| *slips <= slips_allowed)
            .min()
            .map(|(_, known)| known.to_owned())
    }

    fn problem(&mut self, subject: Subject, field: RecordField, element: Option<usize>, fault: Fault) {
        self.problems.push(BuildProblem { subject, field, element, fault });
    }

    fn finish(mut self, entries: Vec<Entry<'r>>) -> Result<KeySnapshot, Vec<BuildProblem>> {
        let Ok(table) = KeyTable::build(entries.len(), entries) else {
            self.problem(Subject::AllKeys, RecordField::Id, None, Fault::TooManyKeys);
            return Err(self.problems);
        };
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let directory = Directory {
            brand: self.policy.brand.clone(),
            people: self.people.into(),
            organizations: self.organizations.into(),
            project_sets: self.project_sets.into_iter().cloned().collect(),
        };
        Ok(KeySnapshot { table, directory: Arc::new(directory) })
    }
}

/// The current secret's entry, and the previous one's with its own end.
fn push_entries<'r>(
    key: &'r KeyRecord,
    scopes: ScopeSet,
    owner: Option<u32>,
    organization: u32,
    projects: u32,
    entries: &mut Vec<Entry<'r>>,
) {
    let expires_ms = key.expires_at.map(floor_ms);
    let current = Entry {
        digest: key.digest,
        scopes,
        expires_ms,
        owner,
        organization,
        projects,
        id: key.id,
        name: key.name.as_ref().map_or("", |name| name.as_str()),
        is_previous: false,
        revoked_ms: key.revoked.as_ref().map(|revoked| floor_ms(revoked.at)),
        not_before_ms: key.not_before.map(ceil_ms),
        addresses: &key.addresses,
    };
    if let Some(previous) = &key.previous {
        let until = floor_ms(previous.until);
        entries.push(Entry {
            digest: previous.digest,
            expires_ms: Some(expires_ms.map_or(until, |end| end.min(until))),
            is_previous: true,
            ..current.clone()
        });
    }
    entries.push(current);
}

/// Puts `value` under `name`, or gives the value that is there already.
fn claim<K: Eq + Hash, V: Copy>(known: &mut HashMap<K, V>, name: K, value: V) -> Result<(), V> {
    match known.entry(name) {
        std::collections::hash_map::Entry::Occupied(taken) => Err(*taken.get()),
        std::collections::hash_map::Entry::Vacant(free) => {
            free.insert(value);
            Ok(())
        }
    }
}

/// Whether a request can name the project at all; routes decide what of this they accept. `*` would read as "all" in
/// the header that lists projects.
fn is_project(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id != "*"
        && !id.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control())
}
