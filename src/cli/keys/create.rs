//! `keygate keys create`.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

use clap::{ArgGroup, Args, ValueEnum};
use ipnet::IpNet;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    cli::{
        Exit,
        committed::AfterChange,
        key_store::{KeyStore, Stopped, not_changed, parsed, parsed_if, projects, wrong_input},
        output::{Output, tell},
    },
    clock::{Clock as _, SystemClock},
    control::{
        administration::{AdminError, Refusal},
        key_admin::{self, Issued, NewKey},
        term,
    },
    keys::{
        record::{Name, OrganizationId, PersonId, PlanName},
        secret::Environment,
    },
    store::{contract::Committed, record_yaml},
};

/// Create a key and print its secret, this once: alone on standard output.
///
/// The secret is printed too where the key file cannot be replaced, since its digest is in the change to be committed;
/// it works once that is in force.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("which projects").args(["projects", "all_projects"]).required(true),
    after_help = "Example: keygate keys create --name 'GitHub Actions' --owner ada --scope write --project alpha"
)]
pub(super) struct Create {
    #[command(flatten)]
    store: KeyStore,
    /// What people call the key.
    #[arg(long)]
    name: String,
    /// The id of the person it belongs to, whom it cannot exceed.
    #[arg(long, value_name = "PERSON")]
    owner: Option<String>,
    /// The organization, where there are several and the owner does not say it.
    #[arg(long)]
    organization: Option<String>,
    /// A scope it is granted; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<String>,
    /// A project it is granted; may be given several times.
    #[arg(long = "project", value_name = "PROJECT")]
    projects: Vec<String>,
    /// Grant every project of its owner and organization, also those to come.
    #[arg(long)]
    all_projects: bool,
    /// When it stops working: a duration, a date (from its first instant in UTC on), or never.
    #[arg(long, value_name = "WHEN", default_value = "90d")]
    expires: String,
    /// What its secret says it is for.
    #[arg(long = "env", value_enum, default_value_t)]
    environment: EnvironmentName,
    /// A label for machines; may be given several times.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// The date from which on it works.
    #[arg(long, value_name = "DATE")]
    not_before: Option<String>,
    /// A network that it may be used from; may be given several times.
    #[arg(long = "address", value_name = "CIDR")]
    addresses: Vec<IpNet>,
    /// The plan of limits.plans that says how much it may ask for; without it, limits.default.
    #[arg(long)]
    plan: Option<String>,
    #[command(flatten)]
    after: AfterChange,
    /// How to answer: the secret alone, or JSON with id and secret.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// `live` or `test`.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum EnvironmentName {
    /// For real use.
    #[default]
    Live,
    /// For tests.
    Test,
}

impl From<EnvironmentName> for Environment {
    fn from(name: EnvironmentName) -> Self {
        match name {
            EnvironmentName::Live => Self::Live,
            EnvironmentName::Test => Self::Test,
        }
    }
}

impl Create {
    pub(super) async fn run(self) -> Result<Exit, Stopped> {
        let now = SystemClock.now();
        let new = self.new_key(now)?;
        let told = told(&new);
        let opened = self.store.open().await?;
        let issued =
            key_admin::create(&opened.administration, new, now).await.map_err(|error| not_created(&error))?;
        let exit = self.after.tell(&issued.committed, &format!("key {} was created", issued.id));
        tell(&told);
        if let Some(failed) = show_secret(&issued, self.output) {
            return Ok(failed);
        }
        Ok(self.after.confirm(&opened, &issued.committed).await.unwrap_or(exit))
    }

    fn new_key(&self, now: jiff::Timestamp) -> Result<NewKey, Stopped> {
        let Some(projects) = projects(&self.projects, self.all_projects) else {
            return Err(wrong_input("name projects by --project, or say --all-projects"));
        };
        let not_before = self.not_before.as_ref().map(|text| term::instant(text)).transpose();
        if let Some(network) = self.addresses.iter().find(|network| network.addr() != network.network()) {
            return Err(wrong_input(&format!(
                "--address has bits set after its prefix; write {}",
                network.trunc()
            )));
        }
        Ok(NewKey {
            name: parsed("--name", &self.name, Name::parse)?,
            labels: self
                .labels
                .iter()
                .map(|label| self::label(label))
                .collect::<Result<BTreeMap<_, _>, _>>()?,
            owner: parsed_if("--owner", self.owner.as_ref(), PersonId::parse)?,
            organization: parsed_if("--organization", self.organization.as_ref(), OrganizationId::parse)?,
            scopes: self.scopes.clone(),
            projects,
            environment: self.environment.into(),
            not_before: not_before.map_err(|error| wrong_input(&format!("--not-before: {error}")))?,
            expires_at: term::expiry(&self.expires, now)
                .map_err(|error| wrong_input(&format!("--expires: {error}")))?,
            addresses: self.addresses.clone(),
            plan: parsed_if("--plan", self.plan.as_ref(), PlanName::parse)?,
        })
    }
}

/// As [`not_changed`]; what is wrong with an option begins with its name.
fn not_created(error: &AdminError) -> Stopped {
    let AdminError::Refused(refusals) = error else { return not_changed(error) };
    for Refusal { field, reason } in refusals {
        match field.and_then(option) {
            Some(option) => tell(&format!("{option}: {reason}")),
            None => tell(reason),
        }
    }
    Exit::WrongInput
}

/// The option that says the field of a new key.
fn option(field: &str) -> Option<&'static str> {
    match field {
        "owner" => Some("--owner"),
        "organization" => Some("--organization"),
        "scopes" => Some("--scope"),
        "projects" => Some("--project"),
        "not_before" => Some("--not-before"),
        "expires_at" => Some("--expires"),
        "addresses" => Some("--address"),
        "plan" => Some("--plan"),
        _ => None,
    }
}

fn label(text: &str) -> Result<(Name, Name), Stopped> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(wrong_input("a --label is written NAME=VALUE"));
    };
    Ok((
        parsed("the name of a --label", name, Name::parse)?,
        parsed("the value of a --label", value, Name::parse)?,
    ))
}

fn told(new: &NewKey) -> String {
    let expires = new.expires_at.map_or_else(
        || "it never expires; prefer --expires 90d where you can".to_owned(),
        |at| format!("it expires at {}", record_yaml::instant(at)),
    );
    format!("{expires}; this is the only time that its secret is shown")
}

/// Prints the secret, the only thing that goes to standard output. Where that fails, the command does.
pub(super) fn show_secret(issued: &Issued, output: Output) -> Option<Exit> {
    #[derive(Serialize)]
    struct Answer<'a> {
        id: &'a str,
        secret: &'a str,
    }
    if matches!(issued.committed, Committed::ToCommit(_)) {
        tell("the secret works once that change is in force; if you drop the change, drop the secret");
    }
    let (id, secret) = (issued.id.as_str(), issued.secret.expose());
    let mut text = Zeroizing::new(match output {
        Output::Table => secret.to_owned(),
        Output::Json => serde_json::to_string_pretty(&Answer { id, secret }).unwrap_or_default(),
    });
    text.push('\n');
    let mut stdout = io::stdout().lock();
    let error = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).err()?;
    tell(&format!("the secret of key {id} could not be printed, and nobody can ask for it again: {error}"));
    tell("rotate the key with --overlap 0, or revoke it");
    Some(Exit::Failed)
}
