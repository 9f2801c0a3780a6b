//! `keygate keys list`.

use clap::{Args, ValueEnum};

use super::view::{self, listed};
use crate::{
    cli::{
        Exit,
        key_store::{KeyStore, ListLimit, Stopped, stopped, tell_wrong},
        output::{Output, answer, answer_json, tell},
        table::{columns, or_dash},
    },
    clock::{Clock as _, SystemClock},
    control::{
        key_view::KeyView,
        listing::{self, KeyFilter},
    },
    keys::record::KeyStatus,
};

/// List keys; never a secret or digest.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    store: KeyStore,
    /// Only keys of this person.
    #[arg(long, value_name = "PERSON")]
    owner: Option<String>,
    /// Only keys that were granted this project.
    #[arg(long)]
    project: Option<String>,
    /// Only keys that were given this plan.
    #[arg(long)]
    plan: Option<String>,
    /// Only keys with this status.
    #[arg(long, value_enum)]
    status: Option<StatusName>,
    #[command(flatten)]
    limit: ListLimit,
    /// How to list them.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// A status.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum StatusName {
    Active,
    NotYetValid,
    Expired,
    Revoked,
    OwnerDisabled,
}

impl From<StatusName> for KeyStatus {
    fn from(name: StatusName) -> Self {
        match name {
            StatusName::Active => Self::Active,
            StatusName::NotYetValid => Self::NotYetValid,
            StatusName::Expired => Self::Expired,
            StatusName::Revoked => Self::Revoked,
            StatusName::OwnerDisabled => Self::OwnerDisabled,
        }
    }
}

impl List {
    pub(super) async fn run(self) -> Result<Exit, Stopped> {
        let now = SystemClock.now();
        let opened = self.store.open().await?;
        let mut work = opened.administration.look().await.map_err(|error| stopped(&error))?;
        let filter = KeyFilter {
            owner: self.owner.clone(),
            project: self.project.clone(),
            plan: self.plan.clone(),
            status: self.status.map(KeyStatus::from),
        };
        let limit = self.limit.of(&opened);
        let listing = listing::keys(&mut work, &filter, limit, now).await.map_err(|error| stopped(&error))?;
        let usage = opened.usage(&listing.records, now).await?;
        let rules = opened.administration.rules_for(listing.records.iter().map(|listed| &listed.key));
        let view = |listed| KeyView::new(listed, &work, &rules, usage.as_ref(), now);
        let keys: Vec<KeyView> = listing.records.iter().map(view).collect();
        match self.output {
            Output::Json => answer_json(&keys),
            Output::Table => answer(&table(&keys)),
        }
        tell_unwritten(&keys);
        if listing.has_more {
            tell(&format!(
                "these are the first {limit}; --limit or --all shows more, --owner, --project, --plan and --status fewer"
            ));
        }
        Ok(tell_wrong(&work))
    }
}

/// Tells which keys are shown as revoked although their file does not say so.
fn tell_unwritten(keys: &[KeyView]) {
    let unwritten = keys.iter().filter_map(|key| Some((&key.id, key.revocation_kept_in.as_ref()?)));
    let (ids, files): (Vec<_>, Vec<_>) = unwritten.unzip();
    if let Some(file) = files.first() {
        let ids: Vec<_> = ids.into_iter().map(String::as_str).collect();
        tell(&format!(
            "revoked by {file}, not yet by the key file: {}; write it there by `keygate keys revoke ID`",
            ids.join(", ")
        ));
    }
}

fn table(keys: &[KeyView]) -> String {
    let names = [
        "ID",
        "NAME",
        "PREFIX",
        "SCOPES",
        "PROJECTS",
        "OWNER",
        "PLAN",
        "CREATED",
        "EXPIRES",
        "LAST USED",
        "STATUS",
        "USES",
    ];
    let row = |key: &KeyView| {
        [
            key.id.clone(),
            or_dash(key.name.as_ref()),
            or_dash(key.prefix.as_ref()),
            listed(&key.scopes),
            key.projects.joined(),
            or_dash(key.owner.as_ref()),
            or_dash(key.plan.as_ref()),
            or_dash(key.created_at.as_ref()),
            key.expires_at.clone(),
            view::last_used(key),
            key.status.to_owned(),
            or_dash(view::count(key)),
        ]
    };
    columns(names, keys.iter().map(row))
}
