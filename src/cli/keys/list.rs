//! `keygate keys list`.

use clap::{Args, ValueEnum};

use super::view::{KeyView, listed};
use crate::{
    cli::{
        Exit,
        key_store::{KeyStore, Stopped, stopped, usage},
        output::{Output, answer, answer_json, tell},
        table::{columns, or_dash},
    },
    clock::{Clock as _, SystemClock},
    keys::record::{KeyRecord, KeyStatus, Person},
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
    /// Only keys with this status.
    #[arg(long, value_enum)]
    status: Option<StatusName>,
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
    pub(super) fn run(self) -> Result<Exit, Stopped> {
        let now = SystemClock.now();
        let administration = self.store.open()?;
        let records = administration.read().map_err(|error| stopped(&error))?;
        let usage = usage(&administration);
        let keys: Vec<KeyView> = records
            .keys()
            .filter(|key| self.admits(key) && self.has_status(key, records.owner(key), now))
            .map(|key| KeyView::new(key, &records, usage.as_ref(), now))
            .collect();
        match self.output {
            Output::Json => answer_json(&keys),
            Output::Table => answer(&table(&keys)),
        }
        let wrong = records.wrong();
        for problem in &wrong {
            tell(&problem.to_string());
        }
        Ok(if wrong.is_empty() { Exit::Done } else { Exit::WrongInput })
    }

    fn admits(&self, key: &KeyRecord) -> bool {
        let owner = key.owner.as_ref().map(crate::keys::record::PersonId::as_str);
        self.owner.as_deref().is_none_or(|wanted| owner == Some(wanted))
            && self.project.as_deref().is_none_or(|project| key.projects.contains(project))
    }

    fn has_status(&self, key: &KeyRecord, owner: Option<&Person>, now: jiff::Timestamp) -> bool {
        self.status.is_none_or(|wanted| key.status(now, owner) == wanted.into())
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
            or_dash(key.created_at.as_ref()),
            key.expires_at.clone(),
            key.last_used(),
            key.status.to_owned(),
            or_dash(key.count()),
        ]
    };
    columns(names, keys.iter().map(row))
}
