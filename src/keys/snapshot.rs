//! Everything a request needs to know about keys and people, as of one instant; immutable, and cheap to clone.

use core::net::IpAddr;
use std::{borrow::Borrow, sync::Arc};

use jiff::Timestamp;

use super::{
    build::{self, KeyPolicy},
    digest::KeyDigest,
    problem::BuildProblem,
    record::{Email, KeyRecord, Organization, OrganizationId, Person, PersonId},
    secret::{Brand, ShapeHint, looks_like_key},
    table::{Change, KeyIndex, KeyTable, KeyView, TableFull},
};
use crate::policy::{
    principal::{KeyIdText, Owner, Principal, Role},
    project::{ProjectSet, VisibleProjects},
    reason::Reason,
    scope::ScopeSet,
};

/// The keys in force and the people and organizations that bound them. Effective permissions are evaluated per
/// request, so a change of a person reaches every key of that person with the next snapshot.
#[derive(Debug, Clone)]
pub struct KeySnapshot {
    pub(super) table: KeyTable,
    pub(super) directory: Arc<Directory>,
}

/// What table entries point to by index.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) brand: Brand,
    pub(super) people: Box<[PersonEntry]>,
    pub(super) organizations: Box<[OrganizationEntry]>,
    pub(super) project_sets: Box<[ProjectSet]>,
}

#[derive(Debug)]
pub(super) struct PersonEntry {
    pub(super) id: PersonId,
    pub(super) email: Email,
    pub(super) role: Role,
    pub(super) cap: ScopeSet,
    pub(super) projects: ProjectSet,
    pub(super) disabled: bool,
}

#[derive(Debug)]
pub(super) struct OrganizationEntry {
    pub(super) id: OrganizationId,
    /// [`ProjectSet::All`] if it declares none.
    pub(super) projects: ProjectSet,
}

/// A key that may be used here and now.
#[derive(Debug, Clone, Copy)]
pub struct Authenticated<'s> {
    /// Who is asking, with effective scopes and projects.
    pub principal: Principal<'s>,
    /// The entry that was found: another one for the previous secret of a key than for its current one.
    pub key: KeyIndex,
    /// Whether the secret is the one from before the last rotation.
    pub is_previous_secret: bool,
    /// When this secret stops working; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// Why a secret does not authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// `KeyUnknown`, `KeyRevoked`, `KeyExpired`, `KeyNotYetValid`, `KeyOwnerDisabled` or `AddressNotAllowed`.
    pub reason: Reason,
    /// The date that belongs to it: revoked at, expired at, valid from.
    pub at: Option<Timestamp>,
    /// The key; only where the whole digest matched, so only its holder is told.
    pub key_id: Option<KeyIdText>,
    /// What the form of an unknown secret of our brand tells.
    pub hint: Option<ShapeHint>,
}

impl KeySnapshot {
    /// The snapshot of these records. Cost: about a microsecond a key.
    ///
    /// # Errors
    /// Everything that is wrong with the records, in their order: organizations, people, keys.
    pub fn build<K: Borrow<KeyRecord>, P: Borrow<Person>, O: Borrow<Organization>>(
        keys: &[K],
        people: &[P],
        organizations: &[O],
        policy: &KeyPolicy<'_>,
    ) -> Result<Self, Vec<BuildProblem>> {
        build::build(keys, people, organizations, policy)
    }

    /// Whose `secret` this is, if it may be used at `now` from `client` (an IPv4-mapped IPv6 address counts as IPv4).
    /// Cost: one SHA-256 and one look-up, no heap memory.
    ///
    /// # Errors
    /// [`Refused`], with the first reason in the order of the decision table: unknown, revoked, expired, not yet
    /// valid, owner disabled, address not allowed.
    pub fn authenticate(
        &self,
        secret: &[u8],
        now: Timestamp,
        client: IpAddr,
    ) -> Result<Authenticated<'_>, Refused> {
        match self.table.find(&KeyDigest::of(secret)) {
            Some(view) => self.admit(&view, now, client),
            None => Err(Refused {
                reason: Reason::KeyUnknown,
                at: None,
                key_id: None,
                hint: ShapeHint::of(secret, &self.directory.brand),
            }),
        }
    }

    /// What [`KeySnapshot::authenticate`] would say to the current secret of the key `id`; `None` if there is no such
    /// key. Cost: a scan of all keys; for explanations, never per request.
    ///
    /// # Errors
    /// As [`KeySnapshot::authenticate`].
    pub fn authenticate_id(
        &self,
        id: &str,
        now: Timestamp,
        client: IpAddr,
    ) -> Option<Result<Authenticated<'_>, Refused>> {
        self.table.by_id(id).map(|view| self.admit(&view, now, client))
    }

    /// Whether `secret` belongs to a key, in force or not, or looks as if it were meant to: nobody else may see it.
    pub fn is_or_looks_ours(&self, secret: &[u8]) -> bool {
        looks_like_key(secret, &self.directory.brand) || self.table.find(&KeyDigest::of(secret)).is_some()
    }

    /// This snapshot with these digests revoked as of these instants, and the ids of the keys for which that is news.
    /// Digests it does not have change nothing. Cost: as [`KeyTable::with_changes`].
    ///
    /// # Errors
    /// [`TableFull`].
    pub fn with_revoked(
        &self,
        revocations: impl IntoIterator<Item = (KeyDigest, Timestamp)>,
    ) -> Result<(Self, Vec<KeyIdText>), TableFull> {
        let mut ids = Vec::new();
        let mut changes = Vec::new();
        for (digest, at) in revocations {
            let Some(view) = self.table.find(&digest) else { continue };
            if view.details.revoked_ms().is_none() {
                ids.push(view.details.id());
                changes.push(Change::Revoke(digest, at.as_millisecond()));
            }
        }
        ids.sort_unstable();
        ids.dedup();
        let table = self.table.with_changes(&changes)?;
        Ok((Self { table, directory: Arc::clone(&self.directory) }, ids))
    }

    /// The digests that are revoked, each with its date. Cost: a scan of all keys.
    pub fn revocations(&self) -> impl Iterator<Item = (KeyDigest, Timestamp)> {
        self.table.iter().filter_map(|view| {
            let at = Timestamp::from_millisecond(view.details.revoked_ms()?).ok()?;
            Some((view.digest, at))
        })
    }

    /// The look-up itself: for listing all entries and counting their memory.
    pub fn table(&self) -> &KeyTable {
        &self.table
    }

    /// The brand of the secrets this deployment makes.
    pub fn brand(&self) -> &Brand {
        &self.directory.brand
    }

    /// Row 7 of the decision table, for a key whose digest matched.
    fn admit<'s>(
        &'s self,
        view: &KeyView<'s>,
        now: Timestamp,
        client: IpAddr,
    ) -> Result<Authenticated<'s>, Refused> {
        let owner = view.owner.map(|at| &self.directory.people[at as usize]);
        if let Some((reason, at_ms)) = refusal(view, owner, now, client) {
            return Err(Refused {
                reason,
                at: at_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
                key_id: Some(view.details.id()),
                hint: None,
            });
        }
        Ok(Authenticated {
            principal: self.principal(view, owner),
            key: view.index,
            is_previous_secret: view.details.is_previous(),
            expires_at: view.expires_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        })
    }

    /// The effective permission: key ∩ owner's cap, and key ∩ owner ∩ organization for projects.
    fn principal<'s>(&'s self, view: &KeyView<'s>, owner: Option<&'s PersonEntry>) -> Principal<'s> {
        const ALL: &ProjectSet = &ProjectSet::All;
        let organization = &self.directory.organizations[view.organization as usize];
        Principal {
            key_id: view.details.id(),
            key_name: view.details.name(),
            organization: organization.id.as_str(),
            owner: owner.map(|person| Owner {
                id: person.id.as_str(),
                email: person.email.as_str(),
                role: person.role,
            }),
            scopes: owner.map_or(view.scopes, |person| view.scopes.intersection(person.cap)),
            projects: VisibleProjects {
                key: &self.directory.project_sets[view.projects as usize],
                owner: owner.map_or(ALL, |person| &person.projects),
                organization: &organization.projects,
                is_sole_organization: self.directory.organizations.len() == 1,
            },
        }
    }
}

/// The first reason why the key may not be used, with the date in Unix milliseconds that belongs to it.
fn refusal(
    view: &KeyView<'_>,
    owner: Option<&PersonEntry>,
    now: Timestamp,
    client: IpAddr,
) -> Option<(Reason, Option<i64>)> {
    let now_ms = now.as_millisecond();
    let details = &view.details;
    if let Some(at) = details.revoked_ms() {
        return Some((Reason::KeyRevoked, Some(at)));
    }
    if let Some(end) = view.expires_ms.filter(|end| now_ms >= *end) {
        return Some((Reason::KeyExpired, Some(end)));
    }
    if let Some(start) = details.not_before_ms().filter(|start| now_ms < *start) {
        return Some((Reason::KeyNotYetValid, Some(start)));
    }
    if owner.is_some_and(|person| person.disabled) {
        return Some((Reason::KeyOwnerDisabled, None));
    }
    (!details.addresses().allow(client)).then_some((Reason::AddressNotAllowed, None))
}
