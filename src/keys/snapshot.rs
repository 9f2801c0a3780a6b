//! Everything a request needs to know about keys and people, as of one instant; immutable, and cheap to clone.

use core::net::IpAddr;
use std::{borrow::Borrow, sync::Arc};

use jiff::Timestamp;

use super::{
    build::{self, KeyPolicy},
    checksum::{KeySums, MarkedEntry},
    digest::KeyDigest,
    directory::{Belonging, Directory},
    problem::BuildProblem,
    record::{KeyRecord, KeyStatus, Organization, Person},
    secret::{Brand, ShapeHint, looks_like_key},
    table::{Change, KeyIndex, KeyTable, KeyView, TableFull},
};
use crate::policy::{
    plan::PlanIndex,
    principal::{KeyIdText, Owner, Principal},
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

/// A key that may be used here and now.
#[derive(Debug, Clone, Copy)]
pub struct Authenticated<'s> {
    /// Who is asking, with effective scopes and projects.
    pub principal: Principal<'s>,
    /// The entry that was found: another one for the previous secret of a key than for its current one.
    pub key: KeyIndex,
    /// What it was found by.
    pub digest: KeyDigest,
    /// Whether the secret is the one from before the last rotation.
    pub is_previous_secret: bool,
    /// When this secret stops working; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// How much the key may ask for, among the plans of the config that the snapshot was made for; `None`: anything.
    pub plan: Option<PlanIndex>,
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

/// What has become of a key whose request or stream is under way.
#[derive(Debug, Clone, Copy)]
pub enum Standing<'s> {
    /// No key has the digest any more, or nobody can say to whom it belongs.
    Gone,
    /// It may no longer be used: `KeyRevoked`, `KeyExpired`, `KeyNotYetValid`, `KeyOwnerDisabled` or
    /// `AddressNotAllowed`.
    Ended(Reason),
    /// It is in force.
    Holds {
        /// Effective scopes.
        scopes: ScopeSet,
        /// Effective projects.
        projects: VisibleProjects<'s>,
        /// When the key ends; `None`: never. The end of the overlap, where it was given another secret, is not meant.
        ends_at: Option<Timestamp>,
    },
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
        let admitted =
            self.table.find(&KeyDigest::of(secret)).and_then(|view| self.admit(&view, now, client));
        admitted.unwrap_or_else(|| Err(Refused::unknown(ShapeHint::of(secret, &self.directory.brand))))
    }

    /// What has become of the key whose current or previous secret has this digest, for a request or stream of a client
    /// at `client` that was admitted before. A rotation ends nothing: it goes on while the key is in force, even if its
    /// secret would not be admitted any more. Cost: one look-up, no heap memory.
    pub fn standing(&self, digest: &KeyDigest, now: Timestamp, client: IpAddr) -> Standing<'_> {
        let Some(view) = self.table.find(digest) else { return Standing::Gone };
        let Some(belonging) = self.directory.belonging(&view) else { return Standing::Gone };
        let end = view.key_expires_ms();
        match refusal(&view, end, &belonging, now, client) {
            Some((reason, _)) => Standing::Ended(reason),
            None => Standing::Holds {
                scopes: self.effective_scopes(&view, &belonging),
                projects: self.visible_projects(&belonging),
                ends_at: end.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            },
        }
    }

    /// The closure of what the key was granted: what it could do without an owner.
    pub fn granted(&self, view: &KeyView<'_>) -> ScopeSet {
        self.directory.scopes.closure(view.grants)
    }

    /// How much the key may ask for, among the plans of the config that the snapshot was made for; `None`: anything.
    pub fn plan(&self, view: &KeyView<'_>) -> Option<PlanIndex> {
        self.directory.plans.plan(view.details.plan())
    }

    /// The plan that the key names, also one that the config does not know; `None`: it names none.
    pub fn named_plan(&self, view: &KeyView<'_>) -> Option<&str> {
        self.directory.plans.name(view.details.plan()?)
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
        let view = self.table.by_id(id)?;
        Some(self.admit(&view, now, client).unwrap_or_else(|| Err(Refused::unknown(None))))
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

    /// Since when the secret with this digest is revoked; `None`: it is not, or it is unknown.
    pub fn revoked_at(&self, digest: &KeyDigest) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.table.find(digest)?.details.revoked_ms()?).ok()
    }

    /// The digests that are revoked, each with its date. Cost: a scan of all keys.
    pub fn revocations(&self) -> impl Iterator<Item = (KeyDigest, Timestamp)> {
        self.table.iter().filter_map(|view| {
            let at = Timestamp::from_millisecond(view.details.revoked_ms()?).ok()?;
            Some((view.digest, at))
        })
    }

    /// Whether each key works at `now`; in any order. Cost: a scan of all keys.
    pub fn statuses(&self, now: Timestamp) -> impl Iterator<Item = KeyStatus> {
        self.table.iter().filter(|view| !view.details.is_previous()).filter_map(move |view| {
            let belonging = self.directory.belonging(&view)?;
            Some(match time_refusal(&view, view.expires_ms, &belonging, now) {
                None => KeyStatus::Active,
                Some((Reason::KeyRevoked, _)) => KeyStatus::Revoked,
                Some((Reason::KeyExpired, _)) => KeyStatus::Expired,
                Some((Reason::KeyNotYetValid, _)) => KeyStatus::NotYetValid,
                Some(_) => KeyStatus::OwnerDisabled,
            })
        })
    }

    /// Sums over all entries, to be compared with those of what is stored. Cost: some hundred nanoseconds a key.
    pub fn checksum(&self) -> KeySums {
        let mut sums = KeySums::default();
        for view in self.table.iter() {
            sums.add_entry(&MarkedEntry {
                digest: &view.digest,
                is_previous: view.details.is_previous(),
                revoked_ms: view.details.revoked_ms(),
                expires_ms: view.expires_ms,
                not_before_ms: view.details.not_before_ms(),
                id: &view.details.id(),
            });
        }
        sums
    }

    /// The look-up itself: for listing all entries and counting their memory.
    pub fn table(&self) -> &KeyTable {
        &self.table
    }

    /// The brand of the secrets this deployment makes.
    pub fn brand(&self) -> &Brand {
        &self.directory.brand
    }

    /// Row 7 of the decision table, for a key whose digest matched. `None` if nobody can say to whom it belongs.
    fn admit<'s>(
        &'s self,
        view: &KeyView<'s>,
        now: Timestamp,
        client: IpAddr,
    ) -> Option<Result<Authenticated<'s>, Refused>> {
        let belonging = self.directory.belonging(view)?;
        if let Some((reason, at_ms)) = refusal(view, view.expires_ms, &belonging, now, client) {
            return Some(Err(Refused {
                reason,
                at: at_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
                key_id: Some(view.details.id()),
                hint: None,
            }));
        }
        Some(Ok(Authenticated {
            principal: self.principal(view, &belonging),
            key: view.index,
            digest: view.digest,
            is_previous_secret: view.details.is_previous(),
            expires_at: view.expires_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            plan: self.plan(view),
        }))
    }

    fn principal<'s>(&'s self, view: &KeyView<'s>, belonging: &Belonging<'s>) -> Principal<'s> {
        Principal {
            key_id: view.details.id(),
            key_name: view.details.name(),
            organization: belonging.organization.as_str(),
            owner: belonging.owner.map(|owner| Owner {
                id: owner.id.as_str(),
                email: owner.facts.email.as_str(),
                role: owner.facts.role,
            }),
            scopes: self.effective_scopes(view, belonging),
            projects: self.visible_projects(belonging),
        }
    }

    /// What the key was granted, as far as the role of its owner allows.
    fn effective_scopes(&self, view: &KeyView<'_>, belonging: &Belonging<'_>) -> ScopeSet {
        let granted = self.granted(view);
        belonging
            .owner
            .map_or(granted, |owner| granted.intersection(self.directory.role_caps.get(owner.facts.role)))
    }

    /// What key, owner and organization have in common.
    fn visible_projects<'s>(&self, belonging: &Belonging<'s>) -> VisibleProjects<'s> {
        const ALL: &ProjectSet = &ProjectSet::All;
        VisibleProjects {
            key: belonging.projects,
            owner: belonging.owner.map_or(ALL, |owner| &owner.facts.projects),
            organization: belonging.declared,
            is_sole_organization: self.directory.sole_organization.is_some(),
        }
    }
}

impl Refused {
    fn unknown(hint: Option<ShapeHint>) -> Self {
        Self { reason: Reason::KeyUnknown, at: None, key_id: None, hint }
    }
}

/// The first reason why a key whose time is over at `end_ms` may not be used, with the date in Unix milliseconds that
/// belongs to it.
fn refusal(
    view: &KeyView<'_>,
    end_ms: Option<i64>,
    belonging: &Belonging<'_>,
    now: Timestamp,
    client: IpAddr,
) -> Option<(Reason, Option<i64>)> {
    time_refusal(view, end_ms, belonging, now)
        .or_else(|| (!view.details.addresses().allow(client)).then_some((Reason::AddressNotAllowed, None)))
}

/// As [`refusal`], whatever the address.
fn time_refusal(
    view: &KeyView<'_>,
    end_ms: Option<i64>,
    belonging: &Belonging<'_>,
    now: Timestamp,
) -> Option<(Reason, Option<i64>)> {
    let now_ms = now.as_millisecond();
    let details = &view.details;
    if let Some(at) = details.revoked_ms() {
        return Some((Reason::KeyRevoked, Some(at)));
    }
    if let Some(end) = end_ms.filter(|end| now_ms >= *end) {
        return Some((Reason::KeyExpired, Some(end)));
    }
    if let Some(start) = details.not_before_ms().filter(|start| now_ms < *start) {
        return Some((Reason::KeyNotYetValid, Some(start)));
    }
    belonging.owner.is_some_and(|owner| owner.facts.disabled).then_some((Reason::KeyOwnerDisabled, None))
}
