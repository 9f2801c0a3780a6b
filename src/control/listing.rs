//! What is shown of records: those that whoever asks may see, read page by page, so that a database of a million keys
//! is never in memory.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use jiff::Timestamp;

use super::{
    actor::{Acting, Action},
    administration::{AdminError, Administration, Kept, Work},
};
use crate::{
    keys::{
        digest::KeyDigest,
        record::{
            KeyId, KeyRecord, KeyStatus, Name, Organization, OrganizationId, Person, PersonId, PlanName,
        },
    },
    policy::project::ProjectSet,
    store::{
        contract::{Database, KeyQuery, KeyTally, OwnedKey, PersonQuery, ScopeUse, Taken, UsageRow},
        state::{StateError, StateFolder},
    },
    telemetry::usage::{KeyUsage, SecretUsage, UsageTotals, secret_mark},
};

/// How many records are read at once.
const PAGE: usize = 1000;

/// How many owners are remembered from page to page.
const OWNERS_MAX: usize = 10_000;

/// Records, and whether there are more of them.
#[derive(Debug)]
pub struct Listing<T> {
    /// The records, by id.
    pub records: Vec<T>,
    /// Whether others follow.
    pub has_more: bool,
}

/// Which keys are asked for.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    /// Only of this person.
    pub owner: Option<String>,
    /// Only those that were granted this project.
    pub project: Option<String>,
    /// Only those that were given this plan.
    pub plan: Option<String>,
    /// Only with this status.
    pub status: Option<KeyStatus>,
}

impl KeyFilter {
    fn admits(&self, key: &KeyRecord, owner: Option<&Person>, now: Timestamp) -> bool {
        let owner_id = key.owner.as_ref().map(PersonId::as_str);
        self.owner.as_deref().is_none_or(|wanted| owner_id == Some(wanted))
            && self.project.as_deref().is_none_or(|project| key.projects.contains(project))
            && self.plan.as_deref().is_none_or(|plan| key.plan.as_ref().map(PlanName::as_str) == Some(plan))
            && self.status.is_none_or(|wanted| key.status(now, owner) == wanted)
    }
}

/// The first `limit` keys that `filter` admits and whoever asks may see. Cost: that of reading every key before the
/// last one listed.
///
/// # Errors
/// Where the store cannot be read, or whoever asks may see no key at all.
pub async fn keys(
    work: &mut Work<'_>,
    filter: &KeyFilter,
    limit: usize,
    now: Timestamp,
) -> Result<Listing<OwnedKey>, AdminError> {
    if let Acting::Person(person, organization) = &work.acting {
        work.demand(Action::SeeKey(Some(&person.id)), organization)?;
    }
    let mut owners = Owners::default();
    let mut records: Vec<OwnedKey> = Vec::new();
    let mut after: Option<KeyId> = None;
    loop {
        let page = work.transaction.keys(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(Listing { records, has_more: false }) };
        after = Some(last.id);
        for key in page {
            let owner = owners.of(work, &key).await?;
            if !filter.admits(&key, owner.as_ref(), now) || !may_see(work, &key, owner.as_ref()) {
                continue;
            }
            if records.len() == limit {
                return Ok(Listing { records, has_more: true });
            }
            records.push(OwnedKey { key, owner });
        }
    }
}

/// The page of keys that `query` asks for, as far as whoever asks may see them.
///
/// # Errors
/// Where the store cannot be read, or whoever asks may see no key at all.
pub async fn keys_page(work: &mut Work<'_>, query: KeyQuery) -> Result<Listing<OwnedKey>, AdminError> {
    let limit = query.limit;
    let Some(query) = within_sight(work, KeyQuery { limit: limit.saturating_add(1), ..query })? else {
        return Ok(Listing { records: Vec::new(), has_more: false });
    };
    let mut records = work.transaction.keys_matching(&query).await?;
    let has_more = records.len() > limit;
    records.truncate(limit);
    Ok(Listing { records, has_more })
}

/// How many keys there are of those that whoever asks may see, as far as `at_most`.
///
/// # Errors
/// As [`keys_page`].
pub async fn key_count(work: &mut Work<'_>, query: KeyQuery, at_most: u64) -> Result<u64, AdminError> {
    match within_sight(work, query)? {
        Some(query) => Ok(work.transaction.count_keys_matching(&query, at_most).await?),
        None => Ok(0),
    }
}

/// How many keys there are of those that whoever asks may see, by status.
///
/// # Errors
/// As [`keys_page`].
pub async fn key_tally(work: &mut Work<'_>, query: KeyQuery) -> Result<KeyTally, AdminError> {
    match within_sight(work, query)? {
        Some(query) => Ok(work.transaction.key_tally(&query).await?),
        None => Ok(KeyTally::default()),
    }
}

/// `query`, for no more than whoever asks may see; `None`: nothing is left of it.
fn within_sight(work: &Work<'_>, query: KeyQuery) -> Result<Option<KeyQuery>, AdminError> {
    let Acting::Person(person, own) = &work.acting else { return Ok(Some(query)) };
    work.demand(Action::SeeKey(Some(&person.id)), own)?;
    if query.organization.as_ref().is_some_and(|organization| organization != own) {
        return Ok(None);
    }
    let sees_all = work.permits(Action::SeeKey(None), own);
    if !sees_all && query.owner.as_ref().is_some_and(|owner| *owner != person.id) {
        return Ok(None);
    }
    let owner = if sees_all { query.owner } else { Some(person.id.clone()) };
    Ok(Some(KeyQuery { organization: Some(own.clone()), owner, ..query }))
}

/// Owners that were looked up already.
#[derive(Debug, Default)]
struct Owners(HashMap<PersonId, Option<Person>>);

impl Owners {
    async fn of(&mut self, work: &mut Work<'_>, key: &KeyRecord) -> Result<Option<Person>, AdminError> {
        let Some(id) = &key.owner else { return Ok(None) };
        if let Some(known) = self.0.get(id) {
            return Ok(known.clone());
        }
        // In a wrong file: listed as far as it is known.
        let owner = if work.wrong_files().is_empty() {
            work.transaction.person(id).await?
        } else {
            known(work, id).await?
        };
        if self.0.len() >= OWNERS_MAX {
            self.0.clear();
        }
        self.0.insert(id.clone(), owner.clone());
        Ok(owner)
    }
}

/// The person `id`, where those that cannot be read count as none.
async fn known(work: &mut Work<'_>, id: &PersonId) -> Result<Option<Person>, AdminError> {
    let mut after: Option<PersonId> = None;
    loop {
        let page = work.transaction.people(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        after = Some(last.id.clone());
        if let Some(person) = page.into_iter().find(|person| person.id == *id) {
            return Ok(Some(person));
        }
    }
}

fn may_see(work: &Work<'_>, key: &KeyRecord, owner: Option<&Person>) -> bool {
    match work.acting {
        Acting::Operator => true,
        Acting::Person(..) => work
            .organization_of_key(key, owner)
            .is_ok_and(|organization| work.permits(Action::SeeKey(key.owner.as_ref()), &organization.id)),
    }
}

/// The key `id`, if whoever asks may see it.
///
/// # Errors
/// [`AdminError::NotFound`] where there is none, or none that they may see: whether there is such a one is not theirs to
/// know. Where the store cannot be read.
pub async fn key(work: &mut Work<'_>, id: &KeyId) -> Result<OwnedKey, AdminError> {
    let unknown = || AdminError::NotFound("no key has this id".to_owned());
    let key = work.transaction.key(id).await?.ok_or_else(unknown)?;
    with_owner(work, key).await.map_err(|error| match error {
        AdminError::Forbidden(_) => unknown(),
        error => error,
    })
}

/// The key whose secret, or whose secret before a rotation, has this digest.
///
/// # Errors
/// Where the store cannot be read, or whoever asks may not see it.
pub async fn key_of(work: &mut Work<'_>, digest: KeyDigest) -> Result<Option<OwnedKey>, AdminError> {
    let Taken { digests, .. } = work.transaction.taken(&[], &[digest]).await?;
    let Some((_, id)) = digests.first() else { return Ok(None) };
    match work.transaction.key(id).await? {
        Some(key) => with_owner(work, key).await.map(Some),
        None => Ok(None),
    }
}

/// `key` with its owner, if whoever asks may see it.
///
/// # Errors
/// Where the store cannot be read, or they may not.
pub async fn with_owner(work: &mut Work<'_>, key: KeyRecord) -> Result<OwnedKey, AdminError> {
    let owner = Owners::default().of(work, &key).await?;
    if let Acting::Person(..) = work.acting {
        let organization = work.organization_of_key(&key, owner.as_ref())?.id;
        work.demand(Action::SeeKey(key.owner.as_ref()), &organization)?;
    }
    Ok(OwnedKey { key, owner })
}

/// The first `limit` people that whoever asks may see.
///
/// # Errors
/// Where the store cannot be read.
pub async fn people(work: &mut Work<'_>, limit: usize) -> Result<Listing<Person>, AdminError> {
    let mut records: Vec<Person> = Vec::new();
    let mut after: Option<PersonId> = None;
    loop {
        let page = work.transaction.people(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(Listing { records, has_more: false }) };
        after = Some(last.id.clone());
        for person in page {
            let organization =
                work.organization(person.organization.as_ref()).map(|organization| organization.id);
            let is_seen = match work.acting {
                Acting::Operator => true,
                Acting::Person(..) => organization
                    .is_ok_and(|organization| work.permits(Action::SeePerson(&person.id), &organization)),
            };
            if !is_seen {
                continue;
            }
            if records.len() == limit {
                return Ok(Listing { records, has_more: true });
            }
            records.push(person);
        }
    }
}

/// The page of people that `query` asks for, as far as whoever asks may see them: those who manage nobody see themselves.
///
/// # Errors
/// Where the store cannot be read.
pub async fn people_page(work: &mut Work<'_>, query: PersonQuery) -> Result<Listing<Person>, AdminError> {
    let own = match &work.acting {
        Acting::Operator => query.organization.clone(),
        Acting::Person(person, own) if person.role.manages() => Some(own.clone()),
        Acting::Person(person, _) => {
            let themselves = Person::clone(person);
            let is_asked_for = query.after.as_ref().is_none_or(|after| *after < themselves.id)
                && query.text.as_deref().is_none_or(|text| is_named(&themselves, text));
            return Ok(Listing {
                records: is_asked_for.then_some(themselves).into_iter().collect(),
                has_more: false,
            });
        }
    };
    let limit = query.limit;
    let query = PersonQuery { organization: own, limit: limit.saturating_add(1), ..query };
    let mut records = work.transaction.people_matching(&query).await?;
    let has_more = records.len() > limit;
    records.truncate(limit);
    Ok(Listing { records, has_more })
}

fn is_named(person: &Person, text: &str) -> bool {
    let text = text.to_lowercase();
    let names =
        [Some(person.id.as_str()), Some(person.email.as_str()), person.name.as_ref().map(Name::as_str)];
    names.into_iter().flatten().any(|name| name.to_lowercase().contains(&text))
}

/// A person, and how much is theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPerson {
    /// The person.
    pub person: Person,
    /// Keys they own, also those that no longer work.
    pub keys: u64,
}

impl ListedPerson {
    /// `person`, with how many keys they own.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn of(work: &mut Work<'_>, person: Person) -> Result<Self, AdminError> {
        let counts = work.transaction.key_counts(std::slice::from_ref(&person.id)).await?;
        Ok(Self::counted(person, &counts))
    }

    fn counted(person: Person, counts: &HashMap<PersonId, u64>) -> Self {
        Self { keys: counts.get(&person.id).copied().unwrap_or(0), person }
    }
}

/// `people`, each with how many keys they own.
///
/// # Errors
/// Where the store cannot be read.
pub async fn with_keys(work: &mut Work<'_>, people: Vec<Person>) -> Result<Vec<ListedPerson>, AdminError> {
    let owners: Vec<_> = people.iter().map(|person| person.id.clone()).collect();
    let counts = work.transaction.key_counts(&owners).await?;
    Ok(people.into_iter().map(|person| ListedPerson::counted(person, &counts)).collect())
}

/// How many keys each person owns. Cost: that of reading every key.
///
/// # Errors
/// Where the store cannot be read.
pub async fn keys_of_people(work: &mut Work<'_>) -> Result<HashMap<PersonId, usize>, AdminError> {
    let mut counts = HashMap::new();
    let mut after: Option<KeyId> = None;
    loop {
        let page = work.transaction.keys(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(counts) };
        after = Some(last.id);
        for owner in page.into_iter().filter_map(|key| key.owner) {
            *counts.entry(owner).or_default() += 1;
        }
    }
}

/// The organizations that whoever asks may see; `default` where records name none.
pub fn organizations(work: &Work<'_>) -> Vec<Organization> {
    let all = if work.organizations.is_empty() {
        vec![Organization::default()]
    } else {
        work.organizations.clone()
    };
    match &work.acting {
        Acting::Operator => all,
        Acting::Person(_, own) => all.into_iter().filter(|organization| organization.id == *own).collect(),
    }
}

/// A project that is declared, or that records name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedProject {
    /// Who declares it; `None`: nobody.
    pub organization: Option<OrganizationId>,
    /// Keys that name it.
    pub keys: usize,
    /// People who name it.
    pub people: usize,
}

/// The projects that are declared and whoever asks has, by id; with `count` also those that only keys or people name, and how many do.
/// Cost: with `count`, that of reading every key and person.
///
/// # Errors
/// Where the store cannot be read.
pub async fn projects(
    work: &mut Work<'_>,
    count: bool,
) -> Result<BTreeMap<String, ListedProject>, AdminError> {
    let mut projects: BTreeMap<String, ListedProject> = BTreeMap::new();
    for organization in organizations(work) {
        let is_theirs = |id: &&String| work.acting.person().is_none_or(|person| person.projects.contains(id));
        for id in organization.projects.iter().flatten().filter(is_theirs) {
            projects.entry(id.clone()).or_default().organization = Some(organization.id.clone());
        }
    }
    let may_count = match work.acting {
        Acting::Operator => true,
        Acting::Person(_, ref organization) => work.permits(Action::ManageProjects, organization),
    };
    if count && may_count {
        let keys = keys(work, &KeyFilter::default(), usize::MAX, Timestamp::UNIX_EPOCH).await?;
        for listed in &keys.records {
            named(&listed.key.projects).for_each(|id| projects.entry(id.to_owned()).or_default().keys += 1);
        }
        for person in &people(work, usize::MAX).await?.records {
            named(&person.projects).for_each(|id| projects.entry(id.to_owned()).or_default().people += 1);
        }
    }
    Ok(projects)
}

fn named(projects: &ProjectSet) -> impl Iterator<Item = &str> {
    let ids: &[Box<str>] = match projects {
        ProjectSet::All => &[],
        ProjectSet::Only(ids) => ids,
    };
    ids.iter().map(AsRef::as_ref)
}

/// Uses of keys.
#[derive(Debug)]
pub struct KnownUses {
    /// Since when uses are counted, if that is known.
    pub since: Option<Timestamp>,
    /// By key id.
    pub keys: BTreeMap<String, KeyUsage>,
}

/// The uses that are known of `keys`; `None`: nobody keeps any. Where what a gateway keeps of key files cannot be read,
/// the log says so.
///
/// # Errors
/// Where a database cannot be read.
pub async fn known_uses(
    administration: &Administration,
    keys: &[OwnedKey],
    now: Timestamp,
) -> Result<Option<KnownUses>, AdminError> {
    let folder = match &administration.kept {
        Kept::Database(database) => {
            let keys = usage(&**database, keys, now).await?;
            return Ok(Some(KnownUses { since: None, keys }));
        }
        Kept::Files { state, .. } => state.as_ref(),
        Kept::Served(served) => served.state.as_ref(),
    };
    let Some(folder) = folder.cloned() else { return Ok(None) };
    let totals = tokio::task::spawn_blocking(move || uses_kept_in(&folder)).await.unwrap_or_default();
    Ok(totals.map(|totals: UsageTotals| KnownUses { since: Some(totals.since), keys: totals.keys }))
}

fn uses_kept_in(folder: &Path) -> Option<UsageTotals> {
    let folder = Some(folder).filter(|folder| folder.is_dir())?;
    StateFolder::to_read(folder).read_usage().unwrap_or_else(|error: StateError| {
        tracing::warn!(%error, "uses are not shown");
        None
    })
}

/// The uses that a database counted of these keys, old and new secret apart while a rotation overlaps.
async fn usage(
    database: &dyn Database,
    keys: &[OwnedKey],
    now: Timestamp,
) -> Result<BTreeMap<String, KeyUsage>, AdminError> {
    let mut usage: BTreeMap<String, KeyUsage> = BTreeMap::new();
    for page in keys.chunks(PAGE) {
        let ids: Vec<_> = page.iter().map(|listed| listed.key.id).collect();
        let by_id: HashMap<KeyId, &KeyRecord> =
            page.iter().map(|listed| (listed.key.id, &listed.key)).collect();
        for row in database.usage_totals(&ids).await? {
            if let Some(key) = by_id.get(&row.key) {
                count(usage.entry(row.key.to_string()).or_default(), key, &row, now);
            }
        }
        for ScopeUse { key, scope, last_used } in database.scopes_used(&ids).await? {
            usage.entry(key.to_string()).or_default().need(&scope, last_used);
        }
    }
    Ok(usage)
}

fn count(usage: &mut KeyUsage, key: &KeyRecord, row: &UsageRow, now: Timestamp) {
    let overlapping = key.previous.as_ref().filter(|previous| previous.until > now);
    let is_previous = overlapping.is_some_and(|previous| secret_mark(&previous.digest) == row.secret);
    let secret = if is_previous { usage.previous.get_or_insert_default() } else { &mut usage.current };
    let SecretUsage { last_used, last_refused, total, .. } = secret;
    total.add(row.counts);
    *last_used = [*last_used, row.last_used].into_iter().flatten().max_by_key(|used| used.at);
    *last_refused = (*last_refused).max(row.last_refused);
}
