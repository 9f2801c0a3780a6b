//! Whether new records fit those that are there, looking only at what they name: owners and organizations, and whether
//! ids and digests are taken.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::administration::{AdminError, Work};
use crate::{
    keys::{
        digest::KeyDigest,
        problem::{BuildProblem, Fault, Subject},
        record::{KeyId, KeyRecord, Person, PersonId},
        rules::KeyRules,
        snapshot::KeySnapshot,
    },
    policy::project::ProjectSet,
};

/// How many people are looked through for one whose id was perhaps meant.
const CANDIDATES: usize = 1000;

/// A key that shall be added, and where it is listed, if in a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewRecord<'r> {
    pub(super) listed: Option<&'r str>,
    pub(super) key: &'r KeyRecord,
}

impl NewRecord<'_> {
    fn told(&self, reason: impl std::fmt::Display) -> String {
        match self.listed {
            Some(listed) => format!("{listed}: {reason}"),
            None => format!("key {}: {reason}", self.key.id),
        }
    }
}

/// Everything that speaks against adding `new` keys. Cost: a look-up per owner, and one for all ids and digests.
pub(super) async fn problems_of_keys(
    work: &mut Work<'_>,
    rules: &KeyRules,
    new: &[NewRecord<'_>],
) -> Result<Vec<String>, AdminError> {
    let owners = owners(work, new.iter().filter_map(|new| new.key.owner.as_ref())).await?;
    let mut problems = Vec::new();
    for new in new {
        let owner = new.key.owner.as_ref();
        let owner = owner.and_then(|id| owners.binary_search_by(|owner| owner.id.cmp(id)).ok());
        let owner = owner.map(|at| &owners[at]);
        let excesses = owner.map(|owner| excesses(rules, owner, "owner", new.key)).unwrap_or_default();
        let excess =
            |reason: String| new.listed.map_or(reason.clone(), |listed| format!("{listed}: {reason}"));
        problems.extend(excesses.into_iter().map(excess));
        if let Some(creator) = work.acting.person() {
            problems.extend(
                excesses_of_creator(rules, creator, new.key).into_iter().map(|reason| new.told(reason)),
            );
        }
    }
    let keys: Vec<_> = new.iter().map(|new| new.key).collect();
    let built = KeySnapshot::build(&keys, &owners, &work.organizations, &rules.policy());
    problems.extend(built.err().unwrap_or_default().iter().map(|problem| told(problem, new)));
    problems.extend(taken(work, new).await?);
    Ok(problems)
}

/// The people called `ids`, sorted; where one is missing, also others, one of whom may be meant.
async fn owners<'r>(
    work: &mut Work<'_>,
    ids: impl Iterator<Item = &'r PersonId>,
) -> Result<Vec<Person>, AdminError> {
    let mut owners: BTreeMap<PersonId, Person> = BTreeMap::new();
    let mut is_missing = false;
    for id in ids {
        if owners.contains_key(id) {
            continue;
        }
        match work.transaction.person(id).await? {
            Some(person) => drop(owners.insert(id.clone(), person)),
            None => is_missing = true,
        }
    }
    if is_missing {
        let candidates = work.transaction.people(None, CANDIDATES).await?;
        owners.extend(candidates.into_iter().map(|person| (person.id.clone(), person)));
    }
    Ok(owners.into_values().collect())
}

/// What is wrong with a record, where a list is named by the place in it.
fn told(problem: &BuildProblem, new: &[NewRecord<'_>]) -> String {
    let Subject::Key(at, _) = problem.subject else { return problem.to_string() };
    let Some(subject) = new.get(at) else { return problem.to_string() };
    let other = |first: usize| new.get(first).and_then(|other| other.listed);
    match &problem.fault {
        Fault::DuplicateDigest { first, .. } if other(*first).is_some() => {
            subject.told(format!("it has the same secret as {}", other(*first).unwrap_or_default()))
        }
        Fault::DuplicateId { first } if other(*first).is_some() => {
            subject.told(format!("it has the same id as {}", other(*first).unwrap_or_default()))
        }
        fault => subject.told(fault),
    }
}

/// Ids and digests that belong to keys which are there.
async fn taken(work: &mut Work<'_>, new: &[NewRecord<'_>]) -> Result<Vec<String>, AdminError> {
    let ids: Vec<KeyId> = new.iter().map(|new| new.key.id).collect();
    let digests_of = |key: &KeyRecord| {
        [Some(key.digest), key.previous.as_ref().map(|previous| previous.digest)].into_iter().flatten()
    };
    let digests: Vec<KeyDigest> = new.iter().flat_map(|new| digests_of(new.key)).collect();
    let taken = work.transaction.taken(&ids, &digests).await?;
    let owners: HashMap<KeyDigest, KeyId> = taken.digests.into_iter().collect();
    let ids: HashSet<KeyId> = taken.ids.into_iter().collect();
    let mut problems = Vec::new();
    for new in new {
        if ids.contains(&new.key.id) {
            problems.push(new.told(Fault::DuplicateId { first: 0 }));
        }
        let others = digests_of(new.key).filter_map(|digest| owners.get(&digest));
        problems.extend(others.map(|id| new.told(Fault::DuplicateDigest { first: 0, id: *id })));
    }
    Ok(problems)
}

/// Everything that speaks against `person` as they will be.
pub(super) fn problems_of_person(work: &Work<'_>, rules: &KeyRules, person: &Person) -> Vec<String> {
    let keys: [&KeyRecord; 0] = [];
    let built = KeySnapshot::build(&keys, &[person], &work.organizations, &rules.policy());
    built.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// Everything that speaks against the organizations as they are in `work` now.
pub(super) fn problems_of_organizations(work: &Work<'_>, rules: &KeyRules) -> Vec<String> {
    let (keys, people): ([&KeyRecord; 0], [&Person; 0]) = ([], []);
    let built = KeySnapshot::build(&keys, &people, &work.organizations, &rules.policy());
    built.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// In what `key` exceeds the person who makes it or learns its secret.
pub(super) fn excesses_of_creator(rules: &KeyRules, creator: &Person, key: &KeyRecord) -> Vec<String> {
    if key.owner.as_ref() == Some(&creator.id) {
        // Whatever it was granted, it is never more than its owner.
        return Vec::new();
    }
    excesses(rules, creator, "creator", key)
}

/// In what `key` exceeds `person`, who is its owner or creator: nobody can create a key that exceeds them.
pub(super) fn excesses(rules: &KeyRules, person: &Person, is: &str, key: &KeyRecord) -> Vec<String> {
    let mut excesses = Vec::new();
    let Person { id, role, .. } = person;
    let (scopes, cap) = (&rules.scopes, rules.role_caps.get(*role));
    for name in &key.scopes {
        if scopes.get(name).is_some_and(|closure| !cap.contains(closure)) {
            let allowed: Vec<_> = scopes.names(cap).collect();
            excesses.push(format!(
                "the scope {name} exceeds the {is}: {id} is {}, whose keys have at most {}",
                role.as_str(),
                listed(&allowed)
            ));
        }
    }
    match (&key.projects, &person.projects) {
        (_, ProjectSet::All) => {}
        (ProjectSet::All, ProjectSet::Only(ids)) => {
            let allowed: Vec<_> = ids.iter().map(AsRef::as_ref).collect();
            excesses.push(format!("all projects exceed the {is}: {id} has {}; name them", listed(&allowed)));
        }
        (ProjectSet::Only(wanted), allowed @ ProjectSet::Only(ids)) => {
            for project in wanted.iter().filter(|project| !allowed.contains(project)) {
                let allowed: Vec<_> = ids.iter().map(AsRef::as_ref).collect();
                excesses
                    .push(format!("the project {project} exceeds the {is}: {id} has {}", listed(&allowed)));
            }
        }
    }
    if person.disabled {
        excesses.push(format!("the {is} {id} is disabled, so that the key would not work"));
    }
    excesses
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
