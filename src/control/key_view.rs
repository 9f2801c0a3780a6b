//! A key as it is shown: its record, what it may do now, and its uses; never a digest.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{administration::Work, listing::KnownUses};
use crate::{
    keys::{
        record::{KeyRecord, KeyStatus},
        rules::KeyRules,
    },
    policy::project::{ProjectSet, VisibleProjects},
    store::{contract::OwnedKey, record_yaml::instant},
    telemetry::usage::{KeyUsage, LastUse, UseCounts},
};

/// A key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KeyView {
    /// Unique among all keys.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// How its secret begins.
    pub prefix: Option<String>,
    /// For machines.
    pub labels: BTreeMap<String, String>,
    /// The id of the person it belongs to.
    pub owner: Option<String>,
    /// The organization it belongs to.
    pub organization: Option<String>,
    /// Names of the scopes it was granted.
    pub scopes: Vec<String>,
    /// The projects it was granted: `all`, or a list.
    pub projects: Projects,
    /// When it was made, if known.
    pub created_at: Option<String>,
    /// From when on it works; none: from the beginning.
    pub not_before: Option<String>,
    /// When it stops: an instant, or `never`.
    pub expires_at: String,
    /// Networks it may be used from; none: anywhere.
    pub addresses: Vec<String>,
    /// The plan it was given; none: what the config says of keys without one.
    pub plan: Option<String>,
    /// `active`, `not yet valid`, `expired`, `revoked` or `owner disabled`.
    pub status: &'static str,
    /// When it was revoked.
    pub revoked_at: Option<String>,
    /// By whom.
    pub revoked_by: Option<String>,
    /// Why.
    pub revoked_reason: Option<String>,
    /// The file that says so, where the key file does not yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation_kept_in: Option<String>,
    /// Until when the secret before the last rotation works, while it does.
    pub previous_secret_until: Option<String>,
    /// What it may do now: nothing unless its status is active.
    pub effective: Effective,
    /// `None`: no gateway keeps uses here.
    pub uses: Option<Uses>,
}

/// Scopes and projects.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Effective {
    /// Names of scopes, with all that they imply.
    pub scopes: Vec<String>,
    /// Projects.
    pub projects: Projects,
}

/// `all` or a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Projects {
    /// The word `all`.
    All(&'static str),
    /// Ids.
    Only(Vec<String>),
}

impl From<&ProjectSet> for Projects {
    fn from(projects: &ProjectSet) -> Self {
        match projects {
            ProjectSet::All => Self::All("all"),
            ProjectSet::Only(ids) => Self::only(ids.iter()),
        }
    }
}

impl Projects {
    fn only(ids: impl Iterator<Item = impl ToString>) -> Self {
        Self::Only(ids.map(|id| id.to_string()).collect())
    }

    /// On one line.
    pub fn joined(&self) -> String {
        match self {
            Self::All(all) => (*all).to_owned(),
            Self::Only(ids) if ids.is_empty() => "none".to_owned(),
            Self::Only(ids) => ids.join(" "),
        }
    }
}

/// What is known of its uses.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Uses {
    /// `None`: as long as the database keeps them.
    pub since: Option<String>,
    /// The last use with either secret that was not refused.
    pub last_used: Option<LastUse>,
    /// Uses of the secret it has, by outcome.
    pub current_secret: UseCounts,
    /// Those of the secret before, while a rotation overlaps.
    pub previous_secret: Option<UseCounts>,
}

impl KeyView {
    /// `key` at `now`.
    pub fn new(
        listed: &OwnedKey,
        work: &Work<'_>,
        rules: &KeyRules,
        usage: Option<&KnownUses>,
        now: Timestamp,
    ) -> Self {
        let OwnedKey { key, owner } = listed;
        let status = key.status(now, owner.as_ref());
        let named =
            key.organization.as_ref().or(owner.as_ref().and_then(|owner| owner.organization.as_ref()));
        let only = Some(&work.organizations[..]).filter(|all| all.len() == 1).and_then(<[_]>::first);
        let previous = key.previous.as_ref().map(|previous| previous.until).filter(|until| *until > now);
        let kept_in = work.transaction.revocation_kept_in(&key.id);
        Self {
            id: key.id.to_string(),
            name: key.name.as_ref().map(ToString::to_string),
            prefix: key.prefix.as_ref().map(ToString::to_string),
            labels: key.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            owner: key.owner.as_ref().map(ToString::to_string),
            organization: named.or(only.map(|only| &only.id)).map(ToString::to_string),
            scopes: key.scopes.clone(),
            projects: Projects::from(&key.projects),
            created_at: key.created_at.map(instant),
            not_before: key.not_before.map(instant),
            expires_at: key.expires_at.map_or_else(|| "never".to_owned(), instant),
            addresses: key.addresses.iter().map(ToString::to_string).collect(),
            plan: key.plan.as_ref().map(ToString::to_string),
            status: status.as_str(),
            revoked_at: key.revoked.as_ref().map(|revoked| instant(revoked.at)),
            revoked_by: key.revoked.as_ref().and_then(|revoked| revoked.by.as_ref()).map(ToString::to_string),
            revoked_reason: key
                .revoked
                .as_ref()
                .and_then(|revoked| revoked.reason.as_ref())
                .map(ToString::to_string),
            revocation_kept_in: kept_in.map(|path| path.display().to_string()),
            previous_secret_until: previous.map(instant),
            effective: effective(listed, status, work, rules),
            uses: usage.map(|usage| uses(key, usage)),
        }
    }
}

/// Key ∩ owner's role cap, and key ∩ owner ∩ organization for projects.
fn effective(listed: &OwnedKey, status: KeyStatus, work: &Work<'_>, rules: &KeyRules) -> Effective {
    match status {
        KeyStatus::Active => {}
        KeyStatus::NotYetValid | KeyStatus::Expired | KeyStatus::Revoked | KeyStatus::OwnerDisabled => {
            return Effective { scopes: Vec::new(), projects: Projects::Only(Vec::new()) };
        }
    }
    let OwnedKey { key, owner } = listed;
    let owner = owner.as_ref();
    let closure = rules.closure(&key.scopes);
    let capped = owner.map_or(closure, |owner| closure.intersection(rules.role_caps.get(owner.role)));
    let declared = work
        .organization_of_key(key, owner)
        .ok()
        .and_then(|organization| organization.projects)
        .map_or(ProjectSet::All, |ids| ProjectSet::only(ids.iter().map(String::as_str)));
    let visible = VisibleProjects {
        key: &key.projects,
        owner: owner.map_or(&ProjectSet::All, |owner| &owner.projects),
        organization: &declared,
        is_sole_organization: work.organizations.len() < 2,
    };
    Effective {
        scopes: rules.scopes.names(capped).map(str::to_owned).collect(),
        projects: visible.listed().map_or(Projects::All("all"), Projects::only),
    }
}

fn uses(key: &KeyRecord, usage: &KnownUses) -> Uses {
    let of_key = usage.keys.get(key.id.as_str());
    Uses {
        since: usage.since.map(instant),
        last_used: of_key.and_then(KeyUsage::last_used),
        current_secret: of_key.map(|of_key| of_key.current.total).unwrap_or_default(),
        previous_secret: of_key.and_then(|of_key| of_key.previous.as_ref()).map(|previous| previous.total),
    }
}
