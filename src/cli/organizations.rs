//! `keygate organizations`: who owns projects, people and keys.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Exit,
    committed::AfterChange,
    key_store::{KeyStore, Stopped, block_on, not_changed, parsed, parsed_if, stopped, tell_wrong},
    output::{Output, answer, answer_json},
    table,
};
use crate::{
    control::{listing, organization_admin},
    keys::record::{Name, Organization, OrganizationId},
};

/// Create and list organizations.
#[derive(Debug, Args)]
pub(super) struct Organizations {
    #[command(subcommand)]
    command: OrganizationsCommand,
}

#[derive(Debug, Subcommand)]
enum OrganizationsCommand {
    Create(Create),
    List(List),
}

impl Organizations {
    pub(super) fn run(self) -> Exit {
        match self.command {
            OrganizationsCommand::Create(command) => block_on(command.run()),
            OrganizationsCommand::List(command) => block_on(command.run()),
        }
    }
}

/// Add an organization. Where there are several, each declares its projects.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate organizations create acme --name 'ACME Ltd' --project alpha")]
struct Create {
    #[command(flatten)]
    store: KeyStore,
    /// The id.
    id: String,
    /// What people call it.
    #[arg(long)]
    name: Option<String>,
    /// A project that it declares; may be given several times.
    #[arg(long = "project", value_name = "PROJECT")]
    projects: Vec<String>,
    /// Declare that it has no projects yet.
    #[arg(long, conflicts_with = "projects")]
    no_projects: bool,
    #[command(flatten)]
    after: AfterChange,
}

impl Create {
    async fn run(self) -> Result<Exit, Stopped> {
        let declares = self.no_projects || !self.projects.is_empty();
        let organization = Organization {
            id: parsed("the id", &self.id, OrganizationId::parse)?,
            name: parsed_if("--name", self.name.as_ref(), Name::parse)?,
            projects: declares.then(|| self.projects.clone()),
        };
        let opened = self.store.open().await?;
        let committed = organization_admin::create(&opened.administration, &organization)
            .await
            .map_err(|error| not_changed(&error))?;
        Ok(self.after.report(&opened, &committed, &format!("{} was added", organization.id)).await)
    }
}

/// List organizations.
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    store: KeyStore,
    /// How to list them.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// An organization as it is shown.
#[derive(Debug, Serialize)]
struct OrganizationView {
    id: String,
    name: Option<String>,
    /// `None`: any.
    projects: Option<Vec<String>>,
}

impl List {
    async fn run(self) -> Result<Exit, Stopped> {
        let opened = self.store.open().await?;
        let work = opened.administration.look().await.map_err(|error| stopped(&error))?;
        let view = |organization: Organization| OrganizationView {
            id: organization.id.to_string(),
            name: organization.name.map(|name| name.to_string()),
            projects: organization.projects,
        };
        let views: Vec<_> = listing::organizations(&work).into_iter().map(view).collect();
        match self.output {
            Output::Json => answer_json(&views),
            Output::Table => {
                let row = |view: &OrganizationView| {
                    let projects =
                        view.projects.as_ref().map_or_else(|| "any".to_owned(), |ids| ids.join(" "));
                    [view.id.clone(), table::or_dash(view.name.as_ref()), projects]
                };
                answer(&table::columns(["ID", "NAME", "PROJECTS"], views.iter().map(row)));
            }
        }
        Ok(tell_wrong(&work))
    }
}
