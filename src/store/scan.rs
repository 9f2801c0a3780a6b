//! Queries answered by looking at every record, for stores that have all of them in memory.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::query::{KeyCursor, KeyQuery, Membership, OwnedKey, PersonQuery, SearchText};
use crate::{
    keys::{
        record::{KeyRecord, Name, Organization, OrganizationId, Person, PersonId, PlanName},
        tally::KeyTally,
    },
    policy::project::ProjectSet,
};

/// The records as they stand. Cost of every question: that of looking at all of them.
pub(super) struct Scan<'r> {
    organizations: Vec<Organization>,
    people: BTreeMap<&'r PersonId, &'r Person>,
    keys: Vec<&'r KeyRecord>,
}

impl<'r> Scan<'r> {
    pub(super) fn new(
        organizations: impl IntoIterator<Item = &'r Organization>,
        people: impl IntoIterator<Item = &'r Person>,
        keys: impl IntoIterator<Item = &'r KeyRecord>,
    ) -> Self {
        Self {
            organizations: organizations.into_iter().cloned().collect(),
            people: people.into_iter().map(|person| (&person.id, person)).collect(),
            keys: keys.into_iter().collect(),
        }
    }

    /// See [`Transaction::keys_matching`](super::contract::Transaction::keys_matching).
    pub(super) fn keys_matching(&self, query: &KeyQuery) -> Vec<OwnedKey> {
        let mut keys: Vec<_> = self
            .keys_admitted(query)
            .filter(|(key, _)| query.after.is_none_or(|after| KeyCursor::of(key) < after))
            .collect();
        keys.sort_by_key(|(key, _)| std::cmp::Reverse(KeyCursor::of(key)));
        let owned = |(key, owner): (&KeyRecord, Option<&Person>)| OwnedKey {
            key: key.clone(),
            owner: owner.cloned(),
        };
        keys.into_iter().take(query.limit).map(owned).collect()
    }

    /// See [`Transaction::count_keys_matching`](super::contract::Transaction::count_keys_matching).
    pub(super) fn count_keys_matching(&self, query: &KeyQuery, at_most: u64) -> u64 {
        self.keys_admitted(query).zip(0..at_most).count() as u64
    }

    /// See [`Transaction::key_tally`](super::contract::Transaction::key_tally).
    pub(super) fn key_tally(&self, query: &KeyQuery) -> KeyTally {
        let mut tally = KeyTally::default();
        for (key, owner) in self.keys_admitted(query) {
            tally.count(key.status(query.now, owner));
        }
        tally
    }

    /// The keys that `query` admits, whatever its page.
    fn keys_admitted(&self, query: &KeyQuery) -> impl Iterator<Item = (&'r KeyRecord, Option<&'r Person>)> {
        let membership = Membership::new(query.organization.as_ref(), &self.organizations);
        let text = query.text.as_deref().map(SearchText::new);
        self.keys.iter().map(|key| (*key, self.owner_of(key))).filter(move |(key, owner)| {
            let of_owner = owner.and_then(|owner| owner.organization.as_ref());
            let texts = [
                key.name.as_ref().map(Name::as_str),
                Some(key.id.as_str()),
                key.prefix.as_ref().map(Name::as_str),
                key.owner.as_ref().map(PersonId::as_str),
            ];
            membership.admits(key.organization.as_ref().or(of_owner))
                && query.owner.as_ref().is_none_or(|wanted| key.owner.as_ref() == Some(wanted))
                && query.project.as_deref().is_none_or(|project| key.projects.contains(project))
                && query
                    .plan
                    .as_deref()
                    .is_none_or(|plan| key.plan.as_ref().map(PlanName::as_str) == Some(plan))
                && query.status.is_none_or(|wanted| key.status(query.now, *owner) == wanted)
                && is_found(text.as_ref(), texts)
        })
    }

    /// See [`Transaction::people_matching`](super::contract::Transaction::people_matching).
    pub(super) fn people_matching(&self, query: &PersonQuery) -> Vec<Person> {
        let membership = Membership::new(query.organization.as_ref(), &self.organizations);
        let text = query.text.as_deref().map(SearchText::new);
        let is_admitted = |person: &&&Person| {
            let name = person.name.as_ref().map(Name::as_str);
            query.after.as_ref().is_none_or(|after| person.id > *after)
                && membership.admits(person.organization.as_ref())
                && is_found(text.as_ref(), [Some(person.id.as_str()), Some(person.email.as_str()), name])
        };
        let people = self.people.values().filter(is_admitted).take(query.limit);
        people.map(|person| Person::clone(person)).collect()
    }

    /// See [`Transaction::key_counts`](super::contract::Transaction::key_counts).
    pub(super) fn key_counts(&self, owners: &[PersonId]) -> HashMap<PersonId, u64> {
        let asked: HashSet<_> = owners.iter().collect();
        let mut counts = HashMap::new();
        for owner in
            self.keys.iter().filter_map(|key| key.owner.as_ref()).filter(|owner| asked.contains(owner))
        {
            *counts.entry(owner.clone()).or_default() += 1;
        }
        counts
    }

    /// See [`Transaction::people_with_email`](super::contract::Transaction::people_with_email).
    pub(super) fn people_with_email(&self, email: &str) -> Vec<Person> {
        let same = self.people.values().filter(|person| person.email.as_str().eq_ignore_ascii_case(email));
        same.take(2).map(|person| Person::clone(person)).collect()
    }

    /// See [`Transaction::who_names`](super::contract::Transaction::who_names).
    pub(super) fn who_names(&self, organization: &OrganizationId, project: &str) -> Option<String> {
        let names = |projects: &ProjectSet| !projects.is_all() && projects.contains(project);
        let query = KeyQuery { organization: Some(organization.clone()), ..KeyQuery::default() };
        let key = self.keys_admitted(&query).map(|(key, _)| key).find(|key| names(&key.projects));
        let membership = Membership::new(Some(organization), &self.organizations);
        let belongs = |person: &Person| membership.admits(person.organization.as_ref());
        let person = || self.people.values().find(|person| names(&person.projects) && belongs(person));
        key.map(|key| format!("key {}", key.id))
            .or_else(|| person().map(|person| format!("person {}", person.id)))
    }

    fn owner_of(&self, key: &KeyRecord) -> Option<&'r Person> {
        key.owner.as_ref().and_then(|owner| self.people.get(owner)).copied()
    }
}

/// Whether one of `texts` holds what is searched for; of what is too long for any, none does.
fn is_found<const TEXTS: usize>(wanted: Option<&Option<SearchText>>, texts: [Option<&str>; TEXTS]) -> bool {
    match wanted {
        None => true,
        Some(None) => false,
        Some(Some(wanted)) => texts.into_iter().flatten().any(|text| wanted.is_in(text)),
    }
}
