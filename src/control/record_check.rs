//! Whether new records fit those that are there, looking only at what they name: owners and organizations, and whether
//! ids and digests are taken.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{
    actor::Actor,
    administration::{AdminError, Refusal, Work},
};
use crate::{
    keys::{
        digest::KeyDigest,
        problem::{BuildProblem, Fault, RecordField, Subject},
        record::{KeyId, KeyRecord, Person, PersonId, check_new_id},
        rules::KeyRules,
        snapshot::KeySnapshot,
    },
    policy::{project::ProjectSet, scope::MANAGE},
};

/// How many people are looked through for one whose id was perhaps meant.
const CANDIDATES: usize = 1000;

/// So many people are looked up one by one; more are found by reading all.
const LOOK_UPS: usize = 1000;

/// Everything that speaks against adding `key`.
pub(super) async fn problems_of_key(
    work: &mut Work<'_>,
    rules: &KeyRules,
    key: &KeyRecord,
) -> Result<Vec<Refusal>, AdminError> {
    let owners = owners(work, &key.owner.iter().collect()).await?;
    let owner = owners.iter().find(|owner| Some(&owner.id) == key.owner.as_ref());
    let mut problems = excesses_of(work, rules, owner, key);
    let found = contradictions(work, rules, std::slice::from_ref(key), &owners, &[]).await?;
    // The key that somebody asks for has an id that nobody has seen.
    problems.extend(found.into_iter().map(|(_, refusal)| refusal));
    Ok(problems)
}

/// In what a new key exceeds its owner and whoever makes it.
pub(super) fn excesses_of(
    work: &Work<'_>,
    rules: &KeyRules,
    owner: Option<&Person>,
    key: &KeyRecord,
) -> Vec<Refusal> {
    let mut found = owner.map(|owner| excesses(rules, owner, "owner", key)).unwrap_or_default();
    if key.owner.is_none() && key.is_granted(MANAGE) {
        let reason = format!("a key with the scope {MANAGE} acts for its owner; name an owner or admin");
        found.push(Refusal::of("owner", reason));
    }
    let creator = work.acting.person();
    found.extend(creator.map(|creator| excesses_of_creator(work, rules, creator, key)).unwrap_or_default());
    found
}

/// What `keys` contradict, among themselves and in the store, each with the position of the key: owners (one of
/// `people`), organizations, names of scopes, ids and digests. `places` names keys of a list. Cost: one look-up for all
/// ids and digests.
pub(super) async fn contradictions(
    work: &mut Work<'_>,
    rules: &KeyRules,
    keys: &[KeyRecord],
    people: &[Person],
    places: &[String],
) -> Result<Vec<(Option<usize>, Refusal)>, AdminError> {
    let built = KeySnapshot::build(keys, people, &work.organizations, &rules.policy());
    let built = built.err().unwrap_or_default();
    let mut found: Vec<_> = built.iter().map(|problem| told(problem, places)).collect();
    found.extend(taken(work, keys).await?);
    Ok(found)
}

/// The people called `ids`, sorted; where one is missing, also others, one of whom may be meant.
pub(super) async fn owners(
    work: &mut Work<'_>,
    ids: &BTreeSet<&PersonId>,
) -> Result<Vec<Person>, AdminError> {
    let mut owners: BTreeMap<PersonId, Person> = BTreeMap::new();
    if ids.len() <= LOOK_UPS {
        for id in ids {
            owners.extend(work.transaction.person(id).await?.map(|person| (person.id.clone(), person)));
        }
    } else {
        let mut after: Option<PersonId> = None;
        loop {
            let page = work.transaction.people(after.as_ref(), LOOK_UPS).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            let wanted = page.into_iter().filter(|person| ids.contains(&person.id));
            owners.extend(wanted.map(|person| (person.id.clone(), person)));
        }
    }
    if owners.len() < ids.len() {
        let candidates = work.transaction.people(None, CANDIDATES).await?;
        owners.extend(candidates.into_iter().map(|person| (person.id.clone(), person)));
    }
    Ok(owners.into_values().collect())
}

/// What is wrong with a record, where a list is named by the place in it.
fn told(problem: &BuildProblem, places: &[String]) -> (Option<usize>, Refusal) {
    let Subject::Key(at, _) = problem.subject else { return (None, problem.to_string().into()) };
    let reason = match &problem.fault {
        Fault::DuplicateDigest { first, .. } if places.get(*first).is_some() => {
            format!("it has the same secret as {}", places[*first])
        }
        Fault::DuplicateId { first } if places.get(*first).is_some() => {
            format!("it has the same id as {}", places[*first])
        }
        fault => fault.to_string(),
    };
    (Some(at), Refusal { field: field_of_key(problem.field), reason })
}

/// What a field of a key is called by whoever asks for one; `None` for what nobody chooses.
fn field_of_key(field: RecordField) -> Option<&'static str> {
    match field {
        RecordField::Id | RecordField::Digest | RecordField::PreviousDigest => None,
        RecordField::Scopes => Some("scopes"),
        RecordField::Projects => Some("projects"),
        RecordField::Owner => Some("owner"),
        RecordField::Organization => Some("organization"),
        RecordField::NotBefore => Some("not_before"),
        RecordField::Addresses => Some("addresses"),
        RecordField::Plan => Some("plan"),
    }
}

/// Ids and digests that belong to keys which are there.
async fn taken(work: &mut Work<'_>, keys: &[KeyRecord]) -> Result<Vec<(Option<usize>, Refusal)>, AdminError> {
    let ids: Vec<KeyId> = keys.iter().map(|key| key.id).collect();
    let digests_of = |key: &KeyRecord| {
        [Some(key.digest), key.previous.as_ref().map(|previous| previous.digest)].into_iter().flatten()
    };
    let digests: Vec<KeyDigest> = keys.iter().flat_map(digests_of).collect();
    let taken = work.transaction.taken(&ids, &digests).await?;
    let owners: HashMap<KeyDigest, KeyId> = taken.digests.into_iter().collect();
    let ids: HashSet<KeyId> = taken.ids.into_iter().collect();
    let mut problems = Vec::new();
    for (at, key) in keys.iter().enumerate() {
        if ids.contains(&key.id) {
            problems.push((Some(at), Fault::DuplicateId { first: 0 }.to_string().into()));
        }
        let others = digests_of(key).filter_map(|digest| owners.get(&digest));
        let same = |id: &KeyId| (Some(at), Fault::DuplicateDigest { first: 0, id: *id }.to_string().into());
        problems.extend(others.map(same));
    }
    Ok(problems)
}

/// Everything that speaks against `person` as they will be.
pub(super) fn problems_of_person(work: &Work<'_>, rules: &KeyRules, person: &Person) -> Vec<Refusal> {
    let keys: [&KeyRecord; 0] = [];
    let built = KeySnapshot::build(&keys, &[person], &work.organizations, &rules.policy());
    built.err().unwrap_or_default().iter().map(|problem| Refusal::from(problem.to_string())).collect()
}

/// That `id`, which stands in `field`, may be that of a new project or organization.
pub(super) fn demand_new_id(field: &'static str, id: &str) -> Result<(), AdminError> {
    let refused = |error| {
        AdminError::Refused(vec![Refusal::of(field, format!("the id {id} cannot be used: it {error}"))])
    };
    check_new_id(id).map_err(refused)
}

/// Everything that speaks against the organizations as they are in `work` now.
pub(super) fn problems_of_organizations(work: &Work<'_>, rules: &KeyRules) -> Vec<Refusal> {
    let (keys, people): ([&KeyRecord; 0], [&Person; 0]) = ([], []);
    let built = KeySnapshot::build(&keys, &people, &work.organizations, &rules.policy());
    built.err().unwrap_or_default().iter().map(|problem| Refusal::from(problem.to_string())).collect()
}

/// In what `key` exceeds the person who makes it or learns its secret.
pub(super) fn excesses_of_creator(
    work: &Work<'_>,
    rules: &KeyRules,
    creator: &Person,
    key: &KeyRecord,
) -> Vec<Refusal> {
    let is_own = key.owner.as_ref() == Some(&creator.id);
    if is_own && !matches!(work.administration.actor, Actor::Key(..)) {
        // Whatever it was granted, it is never more than its owner; but a key that manages may be less than that.
        return Vec::new();
    }
    excesses(rules, creator, "creator", key)
}

/// In what `key` exceeds `person`, who is its owner or creator: nobody can create a key that exceeds them.
pub(super) fn excesses(rules: &KeyRules, person: &Person, is: &str, key: &KeyRecord) -> Vec<Refusal> {
    let mut excesses = Vec::new();
    let Person { id, role, .. } = person;
    let (scopes, cap) = (&rules.scopes, rules.role_caps.get(*role));
    for name in &key.scopes {
        if name == MANAGE && !role.manages() {
            let reason = format!(
                "the scope {MANAGE} is for keys of owners and admins: the {is} {id} is {}; leave it out",
                role.as_str()
            );
            excesses.push(Refusal::of("scopes", reason));
        }
        if scopes.get(name).is_some_and(|closure| !cap.contains(closure)) {
            let allowed: Vec<_> = scopes.names(cap).collect();
            let role = role.as_str();
            let reason = format!(
                "the scope {name} exceeds the {is}: {id} is {role}, whose keys have at most {}",
                listed(&allowed)
            );
            excesses.push(Refusal::of("scopes", reason));
        }
    }
    match (&key.projects, &person.projects) {
        (_, ProjectSet::All) => {}
        (ProjectSet::All, ProjectSet::Only(ids)) => {
            let allowed: Vec<_> = ids.iter().map(AsRef::as_ref).collect();
            let reason = format!("all projects exceed the {is}: {id} has {}; name them", listed(&allowed));
            excesses.push(Refusal::of("projects", reason));
        }
        (ProjectSet::Only(wanted), allowed @ ProjectSet::Only(ids)) => {
            for project in wanted.iter().filter(|project| !allowed.contains(project)) {
                let allowed: Vec<_> = ids.iter().map(AsRef::as_ref).collect();
                let reason = format!("the project {project} exceeds the {is}: {id} has {}", listed(&allowed));
                excesses.push(Refusal::of("projects", reason));
            }
        }
    }
    if person.disabled {
        let reason = format!("the {is} {id} is disabled, so that the key would not work");
        excesses.push(Refusal::of("owner", reason));
    }
    excesses
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
