//! What is done with keys: create, narrow, revoke, rotate.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    actor::{Acting, Action},
    administration::{AdminError, Administration, Changed, Kept, Refusal, Work},
    local_revocation::{self, RevokedHere},
    record_check::{excesses_of_creator, problems_of_key},
    record_tag::RecordTag,
    term,
};
use crate::{
    keys::{
        digest::KeyDigest,
        network::canonical,
        record::{
            KeyId, KeyRecord, KeyStatus, Name, OrganizationId, Person, PersonId, PlanName, PreviousSecret,
            Revocation,
        },
        rules::KeyRules,
        secret::{Environment, KeySecret},
        snapshot::KeySnapshot,
    },
    policy::project::ProjectSet,
    store::{
        contract::{Committed, StoreError},
        record_yaml,
    },
};

/// A key that shall be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// For people.
    pub name: Name,
    /// For machines.
    pub labels: BTreeMap<Name, Name>,
    /// The person it belongs to; where a person makes the key, `None` is that person.
    pub owner: Option<PersonId>,
    /// `None`: the owner's, or the only one.
    pub organization: Option<OrganizationId>,
    /// Names of scopes.
    pub scopes: Vec<String>,
    /// Projects.
    pub projects: ProjectSet,
    /// What its secret says it is for.
    pub environment: Environment,
    /// When it begins to work; `None`: at once.
    pub not_before: Option<Timestamp>,
    /// When it stops; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Where it may be used from; none: anywhere.
    pub addresses: Vec<IpNet>,
    /// How much it may ask for; `None`: what the config says of keys without a plan.
    pub plan: Option<PlanName>,
}

/// A key and its secret, which nobody can ask for again.
#[derive(Debug)]
pub struct Issued {
    /// The key.
    pub id: KeyId,
    /// To be shown once.
    pub secret: KeySecret,
    /// What became of the change.
    pub committed: Committed,
}

/// Makes a key. Its secret works once the change is in force.
///
/// # Errors
/// Where the key would exceed its owner or creator or contradict other records, whoever asks may not, or it could not
/// be written: then there is none.
pub async fn create(
    administration: &Administration,
    new: NewKey,
    now: Timestamp,
) -> Result<Issued, AdminError> {
    let mut work = administration.change().await?;
    if let (Acting::Person(person, own), Some(owner)) = (&work.acting, &new.owner)
        && *owner != person.id
    {
        // Before anybody is looked up: who may not make keys for others does not learn who there is.
        work.demand(Action::IssueSecret(None), own)?;
    }
    let rules = administration.rules_for([]);
    let secret = KeySecret::generate(&rules.brand, new.environment).map_err(no_randomness)?;
    let mut key = KeyRecord {
        id: KeyId::generate(now).map_err(no_randomness)?,
        name: Some(new.name),
        labels: new.labels,
        organization: new.organization,
        owner: new.owner.or_else(|| work.acting.person().map(|creator| creator.id.clone())),
        digest: KeyDigest::of(secret.expose().as_bytes()),
        previous: None,
        prefix: secret.prefix().and_then(|prefix| Name::parse(prefix).ok()),
        scopes: new.scopes,
        projects: new.projects,
        created_at: Some(term::whole_seconds(now)),
        not_before: new.not_before,
        expires_at: new.expires_at,
        addresses: new.addresses,
        plan: new.plan,
        revoked: None,
    };
    demand_may_give_plans(&work, key.plan.as_ref())?;
    let owner = work.owner(&key).await?;
    demand_known(&work, owner.as_ref())?;
    place(&mut work, &mut key, owner.as_ref()).await?;
    let problems = problems_of_key(&mut work, &rules, &key).await?;
    if !problems.is_empty() {
        return Err(AdminError::Refused(problems));
    }
    work.transaction.insert_keys(std::slice::from_ref(&key)).await?;
    let organization = work.organization_of_key(&key, owner.as_ref())?.id;
    let changed = Changed::new("key", key.id, granted(&key)).within(&organization);
    match work.commit("keys create", &[changed]).await {
        Ok(committed) => Ok(Issued { id: key.id, secret, committed }),
        Err(error) => Err(error.issuing(key.id, secret)),
    }
}

/// That whoever is at work may choose the plan of a key: who makes keys for themselves takes what there is for everybody.
pub(super) fn demand_may_give_plans(work: &Work<'_>, plan: Option<&PlanName>) -> Result<(), AdminError> {
    match work.acting.person() {
        Some(person) if plan.is_some() && !person.role.manages() => {
            let role = person.role.as_str();
            let reason = format!("{} is {role}; owners and admins of the organization give plans", person.id);
            Err(AdminError::Refused(vec![Refusal::of("plan", reason)]))
        }
        Some(_) | None => Ok(()),
    }
}

/// That whoever is at work may know of the person a new key shall belong to.
fn demand_known(work: &Work<'_>, owner: Option<&Person>) -> Result<(), AdminError> {
    let Some(owner) = owner else { return Ok(()) };
    let organization = work.organization(owner.organization.as_ref())?.id;
    if work.permits(Action::SeePerson(&owner.id), &organization) {
        return Ok(());
    }
    let reason = format!("no person has the id {}", owner.id);
    Err(AdminError::Refused(vec![Refusal::of("owner", reason)]))
}

/// Gives a new key of `owner` its organization, where whoever is at work may put it there. What is wrong with its owner or
/// organization is left to be told with everything else that is wrong with it.
pub(super) async fn place(
    work: &mut Work<'_>,
    key: &mut KeyRecord,
    owner: Option<&Person>,
) -> Result<(), AdminError> {
    let named = key.organization.clone().or(owner.and_then(|owner| owner.organization.clone()));
    let organization = match work.organization_for_new(named.as_ref()).await {
        Ok(organization) => organization,
        Err(AdminError::Refused(_)) if matches!(work.acting, Acting::Operator) => return Ok(()),
        Err(error) => return Err(error),
    };
    work.demand(Action::IssueSecret(owner), &organization.id)?;
    key.organization = work.named(key.organization.take(), &organization);
    Ok(())
}

pub(super) fn no_randomness(error: getrandom::Error) -> AdminError {
    StoreError::Failed(format!("the system gives no randomness: {error}")).into()
}

/// What the audit log says of a new key.
pub(super) fn granted(key: &KeyRecord) -> String {
    let projects = match &key.projects {
        ProjectSet::All => "all".to_owned(),
        ProjectSet::Only(ids) => ids.join(","),
    };
    let expires = key.expires_at.map_or_else(|| "never".to_owned(), record_yaml::instant);
    let owner = key.owner.as_ref().map(|owner| format!(" owner={owner}")).unwrap_or_default();
    let plan = key.plan.as_ref().map(|plan| format!(" plan={plan}")).unwrap_or_default();
    let scopes = key.scopes.join(",");
    format!("created: scopes={scopes} projects={projects} expires_at={expires}{owner}{plan}")
}

/// What of a key shall be another; `None` stays. It may be called otherwise and get less, never more; but for its plan, which
/// is no permission.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyUpdate {
    /// The name.
    pub name: Option<Name>,
    /// All labels.
    pub labels: Option<BTreeMap<Name, Name>>,
    /// All scopes; each one that it has, or one that such a scope implies.
    pub scopes: Option<Vec<String>>,
    /// The projects, all of which it has.
    pub projects: Option<ProjectSet>,
    /// When it stops, not later than now.
    pub expires_at: Option<Timestamp>,
    /// Where it may be used from; each within what it has, if it has any.
    pub addresses: Option<Vec<IpNet>>,
    /// How much it may ask for, more or less; `Some(None)`: what the config says of keys without a plan.
    pub plan: Option<Option<PlanName>>,
}

impl KeyUpdate {
    fn apply(&self, key: &KeyRecord) -> KeyRecord {
        KeyRecord {
            name: self.name.clone().or_else(|| key.name.clone()),
            labels: self.labels.clone().unwrap_or_else(|| key.labels.clone()),
            scopes: self.scopes.clone().unwrap_or_else(|| key.scopes.clone()),
            projects: self.projects.clone().unwrap_or_else(|| key.projects.clone()),
            expires_at: self.expires_at.or(key.expires_at),
            addresses: self.addresses.clone().unwrap_or_else(|| key.addresses.clone()),
            plan: self.plan.clone().unwrap_or_else(|| key.plan.clone()),
            ..key.clone()
        }
    }
}

/// Gives the key `id` another name, or less than it has; `seen` is the key as whoever asks has seen it, if they say.
///
/// # Errors
/// Where there is no such key, it is revoked, it would get more, it is another than was seen, whoever asks may not, or
/// it could not be written; then nothing was changed.
pub async fn update(
    administration: &Administration,
    id: &KeyId,
    update: &KeyUpdate,
    seen: Option<&RecordTag>,
) -> Result<Committed, AdminError> {
    let mut work = administration.change().await?;
    let (before, owner, organization) = find_seen(&mut work, id).await?;
    work.demand(Action::NarrowKey(before.owner.as_ref()), &organization)?;
    work.demand_seen(seen, &RecordTag::of_key(&before))?;
    if before.revoked.is_some() {
        return Err(AdminError::refused(format!("the key {id} is revoked; create another")));
    }
    let after = update.apply(&before);
    if after == before {
        return Ok(Committed::Unchanged);
    }
    if after.plan != before.plan {
        demand_may_give_plans(&work, after.plan.as_ref().or(before.plan.as_ref()))?;
    }
    let rules = administration.rules_for([&before]);
    let mut refusals = widenings(&rules, &before, &after);
    let owners: Vec<_> = owner.into_iter().collect();
    let built = KeySnapshot::build(&[&after], &owners, &work.organizations, &rules.policy());
    refusals.extend(built.err().iter().flatten().map(|problem| Refusal::from(problem.to_string())));
    if !refusals.is_empty() {
        return Err(AdminError::Refused(refusals));
    }
    work.transaction.update_key(&after).await?;
    work.commit("keys update", &[Changed::new("key", id, differences(&before, &after)).within(&organization)])
        .await
}

/// In what `after` is more than `before`.
fn widenings(rules: &KeyRules, before: &KeyRecord, after: &KeyRecord) -> Vec<Refusal> {
    let mut found = Vec::new();
    let had = rules.closure(&before.scopes);
    for name in after.scopes.iter().filter(|name| !before.scopes.contains(name)) {
        if rules.scopes.get(name).is_none_or(|scope| scope.is_empty() || !had.contains(scope)) {
            let reason = format!("the key was not granted {name}; a key can only get less: create another");
            found.push(Refusal::of("scopes", reason));
        }
    }
    if !before.projects.includes(&after.projects) {
        let reason = "the key was not granted all of these projects; a key can only get less: create another";
        found.push(Refusal::of("projects", reason));
    }
    if before.expires_at.is_some_and(|end| after.expires_at.is_none_or(|later| later > end)) {
        let reason = "the key stops before that; a key can only get less: create another, or rotate it";
        found.push(Refusal::of("expires_at", reason));
    }
    let is_within =
        |net: &IpNet| before.addresses.iter().any(|had| canonical(*had).contains(&canonical(*net)));
    let is_wider = after.addresses.is_empty() || !after.addresses.iter().all(is_within);
    if !before.addresses.is_empty() && is_wider {
        let reason = "the key may not be used from all of these; a key can only get less: create another";
        found.push(Refusal::of("addresses", reason));
    }
    found
}

/// What the audit log says of a change.
fn differences(before: &KeyRecord, after: &KeyRecord) -> String {
    let mut told = Vec::new();
    if before.scopes != after.scopes {
        told.push(format!("scopes {} -> {}", before.scopes.join(","), after.scopes.join(",")));
    }
    if before.expires_at != after.expires_at {
        told.push(format!("expires_at {}", record_yaml::expiry(after.expires_at)));
    }
    if before.plan != after.plan {
        let plan = |key: &KeyRecord| key.plan.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        told.push(format!("plan {} -> {}", plan(before), plan(after)));
    }
    for (name, differs) in [
        ("name", before.name != after.name),
        ("labels", before.labels != after.labels),
        ("projects", before.projects != after.projects),
        ("addresses", before.addresses != after.addresses),
    ] {
        told.extend(differs.then(|| name.to_owned()));
    }
    told.join(", ")
}

/// A key after its revocation.
#[derive(Debug)]
pub struct Revoked {
    /// Since when it was revoked already, if it was.
    pub before: Option<Timestamp>,
    /// What became of the change.
    pub committed: Committed,
    /// Whether something else is wrong with the key files, so that of this change only the revocation takes effect.
    pub files_are_wrong: bool,
    /// That it is in force in this process, where that serves the key's file and does not change it.
    pub here: Option<RevokedHere>,
}

/// Revokes the key `id`, for good. A file that is wrong otherwise is no hindrance: a gateway takes revocations of
/// wrong files too. In the process that serves the key's file, the key is refused once this returns.
///
/// `seen` is the key as whoever asks has seen it, if they say. What is revoked already stays so, whatever was seen: who
/// asks again, as the answer was lost, is answered alike (RFC 9110 §13.1.1).
///
/// # Errors
/// Where there is no such key, it is another than was seen, whoever asks may not, or it cannot be written.
pub async fn revoke(
    administration: &Administration,
    id: &KeyId,
    reason: Option<&Name>,
    seen: Option<&RecordTag>,
    now: Timestamp,
) -> Result<Revoked, AdminError> {
    if let Kept::Served(served) = &administration.kept {
        return local_revocation::revoke(administration, served, id, reason, seen, now).await;
    }
    let mut work = administration.change_wrong().await?;
    let files_are_wrong = !work.wrong_files().is_empty();
    if matches!(work.acting, Acting::Person(..)) || seen.is_some() {
        let (key, _, organization) = find_seen(&mut work, id).await?;
        work.demand(Action::RevokeKey(key.owner.as_ref()), &organization)?;
        demand_seen_or_revoked(&work, seen, &key)?;
    }
    let revocation =
        Revocation { at: term::whole_seconds(now), by: administration.actor.name(), reason: reason.cloned() };
    let before = work.transaction.revoke_key(id, &revocation).await?.ok_or_else(|| no_such_key(id))?.0;
    let what = reason.map_or_else(|| "revoked".to_owned(), |reason| format!("revoked: {reason}"));
    let changes = [Changed::new("key", id, what)];
    let changes = if before.is_some() { &[][..] } else { &changes };
    let committed = work.commit("keys revoke", changes).await?;
    Ok(Revoked { before, committed, files_are_wrong, here: None })
}

/// That a key which works is as it was seen.
pub(super) fn demand_seen_or_revoked(
    work: &Work<'_>,
    seen: Option<&RecordTag>,
    key: &KeyRecord,
) -> Result<(), AdminError> {
    match key.revoked {
        Some(_) => Ok(()),
        None => work.demand_seen(seen, &RecordTag::of_key(key)),
    }
}

/// A rotated key.
#[derive(Debug)]
pub struct Rotated {
    /// The key with its new secret.
    pub issued: Issued,
    /// Until when the old secret works.
    pub old_until: Timestamp,
    /// Until when the secret before that one would have worked, which this ended.
    pub ended: Option<Timestamp>,
}

/// Gives the key `id` a second secret; the one it has works on for `overlap`, but never past the key's expiry. `seen` is
/// the key as whoever asks has seen it, if they say.
///
/// # Errors
/// Where there is no such key, it is revoked or expired, it is another than was seen, whoever asks may not, or it could
/// not be written; then nothing was changed.
pub async fn rotate(
    administration: &Administration,
    id: &KeyId,
    overlap: Duration,
    environment: Option<Environment>,
    seen: Option<&RecordTag>,
    now: Timestamp,
) -> Result<Rotated, AdminError> {
    let mut work = administration.change().await?;
    let (mut key, owner, organization) = find_seen(&mut work, id).await?;
    let rules = administration.rules_for([&key]);
    work.demand(Action::IssueSecret(owner.as_ref()), &organization)?;
    work.demand_seen(seen, &RecordTag::of_key(&key))?;
    let creator = work.acting.person();
    let excesses =
        creator.map(|creator| excesses_of_creator(&work, &rules, creator, &key)).unwrap_or_default();
    if !excesses.is_empty() {
        return Err(AdminError::Refused(excesses));
    }
    match key.status(now, None) {
        KeyStatus::Revoked => {
            return Err(AdminError::refused(format!("the key {id} is revoked; create another")));
        }
        KeyStatus::Expired => {
            return Err(AdminError::refused(format!("the key {id} is expired; create another")));
        }
        KeyStatus::Active | KeyStatus::NotYetValid | KeyStatus::OwnerDisabled => {}
    }
    let environment = environment.unwrap_or_else(|| environment_of(&key));
    let secret = KeySecret::generate(&rules.brand, environment).map_err(no_randomness)?;
    let until = term::after(now, overlap).map_err(AdminError::refused)?;
    let old_until = key.expires_at.map_or(until, |end| end.min(until));
    let before = key.previous.replace(PreviousSecret { digest: key.digest, until: old_until });
    key.digest = KeyDigest::of(secret.expose().as_bytes());
    key.prefix = secret.prefix().and_then(|prefix| Name::parse(prefix).ok()).or(key.prefix);
    work.transaction.update_key(&key).await?;
    let what = format!("rotated: previous_until={}", record_yaml::instant(old_until));
    let changed = Changed::new("key", id, what).within(&organization);
    let committed = match work.commit("keys rotate", &[changed]).await {
        Ok(committed) => committed,
        Err(error) => return Err(error.issuing(*id, secret)),
    };
    let ended = before.map(|previous| previous.until).filter(|until| *until > now);
    Ok(Rotated { issued: Issued { id: *id, secret, committed }, old_until, ended })
}

/// What the prefix of its secret says a key is for.
fn environment_of(key: &KeyRecord) -> Environment {
    let is_test = key.prefix.as_ref().is_some_and(|prefix| prefix.as_str().split('_').nth(1) == Some("test"));
    if is_test { Environment::Test } else { Environment::Live }
}

/// The key `id`.
///
/// # Errors
/// Where there is none.
pub async fn find(work: &mut Work<'_>, id: &KeyId) -> Result<KeyRecord, AdminError> {
    work.transaction.key(id).await?.ok_or_else(|| no_such_key(id))
}

/// The key `id` with its owner and organization, if whoever is at work may know that there is one.
pub(super) async fn find_seen(
    work: &mut Work<'_>,
    id: &KeyId,
) -> Result<(KeyRecord, Option<Person>, OrganizationId), AdminError> {
    let key = find(work, id).await?;
    let owner = work.owner(&key).await?;
    let organization = work.organization_of_key(&key, owner.as_ref())?.id;
    if !work.permits(Action::SeeKey(key.owner.as_ref()), &organization) {
        return Err(no_such_key(id));
    }
    Ok((key, owner, organization))
}

pub(super) fn no_such_key(id: &KeyId) -> AdminError {
    AdminError::NotFound(format!("no key has the id {id}; `keygate keys list` shows them"))
}
