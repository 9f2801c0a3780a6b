//! A key as it is shown: its record, what it may do now, and its uses; never a digest.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    cli::{key_store::KnownUses, table},
    control::administration::Work,
    keys::{
        record::{KeyRecord, KeyStatus},
        rules::KeyRules,
    },
    policy::project::{ProjectSet, VisibleProjects},
    store::{contract::OwnedKey, record_yaml::instant},
    telemetry::usage::{KeyUsage, LastUse, UseCounts},
};

/// A key.
#[derive(Debug, Serialize)]
pub(super) struct KeyView {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) owner: Option<String>,
    pub(super) organization: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) projects: Projects,
    pub(super) created_at: Option<String>,
    pub(super) not_before: Option<String>,
    pub(super) expires_at: String,
    pub(super) addresses: Vec<String>,
    pub(super) status: &'static str,
    pub(super) revoked_at: Option<String>,
    pub(super) revoked_by: Option<String>,
    pub(super) revoked_reason: Option<String>,
    pub(super) previous_secret_until: Option<String>,
    /// What it may do now: nothing unless its status is active.
    pub(super) effective: Effective,
    /// `None`: no gateway keeps uses here.
    pub(super) uses: Option<Uses>,
}

/// Scopes and projects.
#[derive(Debug, Serialize)]
pub(super) struct Effective {
    pub(super) scopes: Vec<String>,
    pub(super) projects: Projects,
}

/// `all` or a list.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Projects {
    All(&'static str),
    Only(Vec<String>),
}

impl Projects {
    fn only(ids: impl Iterator<Item = impl ToString>) -> Self {
        Self::Only(ids.map(|id| id.to_string()).collect())
    }

    /// On one line.
    pub(super) fn joined(&self) -> String {
        match self {
            Self::All(all) => (*all).to_owned(),
            Self::Only(ids) => listed(ids),
        }
    }
}

/// What is known of its uses.
#[derive(Debug, Serialize)]
pub(super) struct Uses {
    /// `None`: as long as the database keeps them.
    pub(super) since: Option<String>,
    pub(super) last_used: Option<LastUse>,
    pub(super) current_secret: UseCounts,
    /// While a rotation overlaps.
    pub(super) previous_secret: Option<UseCounts>,
}

impl KeyView {
    /// `key` at `now`.
    pub(super) fn new(
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
        Self {
            id: key.id.to_string(),
            name: key.name.as_ref().map(ToString::to_string),
            prefix: key.prefix.as_ref().map(ToString::to_string),
            labels: key.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            owner: key.owner.as_ref().map(ToString::to_string),
            organization: named.or(only.map(|only| &only.id)).map(ToString::to_string),
            scopes: key.scopes.clone(),
            projects: granted(&key.projects),
            created_at: key.created_at.map(instant),
            not_before: key.not_before.map(instant),
            expires_at: key.expires_at.map_or_else(|| "never".to_owned(), instant),
            addresses: key.addresses.iter().map(ToString::to_string).collect(),
            status: status.as_str(),
            revoked_at: key.revoked.as_ref().map(|revoked| instant(revoked.at)),
            revoked_by: key.revoked.as_ref().and_then(|revoked| revoked.by.as_ref()).map(ToString::to_string),
            revoked_reason: key
                .revoked
                .as_ref()
                .and_then(|revoked| revoked.reason.as_ref())
                .map(ToString::to_string),
            previous_secret_until: previous.map(instant),
            effective: effective(listed, status, work, rules),
            uses: usage.map(|usage| uses(key, usage)),
        }
    }

    /// When it was last used, for a column.
    pub(super) fn last_used(&self) -> String {
        match &self.uses {
            None => "-".to_owned(),
            Some(uses) => uses.last_used.map_or_else(|| "never".to_owned(), |used| instant(used.at)),
        }
    }

    /// How often it was used with either secret.
    pub(super) fn count(&self) -> Option<u64> {
        let uses = self.uses.as_ref()?;
        Some(uses.current_secret.sum() + uses.previous_secret.map_or(0, UseCounts::sum))
    }

    /// Everything, one field to a line.
    pub(super) fn to_fields(&self) -> String {
        let labels: Vec<_> = self.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let used = self.uses.as_ref().map(|uses| match uses.last_used {
            Some(used) => format!("{} from {}", instant(used.at), used.client),
            None => {
                uses.since.as_ref().map_or_else(|| "never".to_owned(), |since| format!("never since {since}"))
            }
        });
        let previous_uses = self.uses.as_ref().and_then(|uses| uses.previous_secret).map(UseCounts::sum);
        table::fields(&[
            ("id", Some(self.id.clone())),
            ("name", self.name.clone()),
            ("prefix", self.prefix.clone()),
            ("labels", Some(labels.join(" ")).filter(|labels| !labels.is_empty())),
            ("owner", self.owner.clone()),
            ("organization", self.organization.clone()),
            ("status", Some(self.status.to_owned())),
            ("scopes", Some(listed(&self.scopes))),
            ("effective scopes", Some(listed(&self.effective.scopes))),
            ("projects", Some(self.projects.joined())),
            ("effective projects", Some(self.effective.projects.joined())),
            ("addresses", Some(self.addresses.join(" ")).filter(|addresses| !addresses.is_empty())),
            ("created", self.created_at.clone()),
            ("not before", self.not_before.clone()),
            ("expires", Some(self.expires_at.clone())),
            ("revoked", self.revoked_at.clone()),
            ("revoked by", self.revoked_by.clone()),
            ("reason", self.revoked_reason.clone()),
            ("old secret until", self.previous_secret_until.clone()),
            ("last used", used),
            ("uses", self.count().map(|count| count.to_string())),
            ("uses of old secret", previous_uses.map(|count| count.to_string())),
        ])
    }
}

/// The names on one line.
pub(super) fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

fn granted(projects: &ProjectSet) -> Projects {
    match projects {
        ProjectSet::All => Projects::All("all"),
        ProjectSet::Only(ids) => Projects::only(ids.iter()),
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
