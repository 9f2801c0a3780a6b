//! `keygate projects`: what organizations declare.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Exit,
    committed::AfterChange,
    key_store::{KeyStore, Stopped, block_on, not_changed, parsed_if, stopped, tell_wrong, wrong_input},
    output::{Output, answer, answer_json, tell},
    secret_input::{POLITE_REFUSAL, looks_secret},
    table,
};
use crate::{
    control::{
        listing::{self, ListedProject},
        project_admin::{self, NewProject},
    },
    keys::record::OrganizationId,
    store::contract::Committed,
};

/// Declare, list and remove projects.
#[derive(Debug, Args)]
pub(super) struct Projects {
    #[command(subcommand)]
    command: ProjectsCommand,
}

#[derive(Debug, Subcommand)]
enum ProjectsCommand {
    Create(Create),
    List(List),
    Remove(Remove),
}

impl Projects {
    pub(super) fn run(self) -> Exit {
        match self.command {
            ProjectsCommand::Create(command) => block_on(command.run()),
            ProjectsCommand::List(command) => block_on(command.run()),
            ProjectsCommand::Remove(command) => block_on(command.run()),
        }
    }
}

/// Declare a project.
#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    store: KeyStore,
    /// The id, as requests name it.
    id: String,
    /// The organization, where there are several.
    #[arg(long)]
    organization: Option<String>,
    /// Let an organization that declared none begin: from then on every other id is answered 404.
    #[arg(long)]
    first: bool,
    #[command(flatten)]
    after: AfterChange,
}

impl Create {
    async fn run(self) -> Result<Exit, Stopped> {
        if looks_secret(&self.id) {
            return Err(wrong_input(POLITE_REFUSAL));
        }
        let new = NewProject {
            id: self.id.clone(),
            organization: parsed_if("--organization", self.organization.as_ref(), OrganizationId::parse)?,
            may_be_first: self.first,
        };
        let opened = self.store.open().await?;
        let committed =
            project_admin::create(&opened.administration, &new).await.map_err(|error| not_changed(&error))?;
        if let Committed::Unchanged = committed {
            tell("it is declared already");
        }
        Ok(self.after.report(&opened, &committed, "the project was declared").await)
    }
}

/// Take back the declaration of a project: from then on it is answered 404.
#[derive(Debug, Args)]
struct Remove {
    #[command(flatten)]
    store: KeyStore,
    /// The id.
    id: String,
    #[command(flatten)]
    after: AfterChange,
    /// How to answer: with nothing, or the receipt as JSON.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Remove {
    async fn run(self) -> Result<Exit, Stopped> {
        let opened = self.store.open().await?;
        let committed = project_admin::remove(&opened.administration, &self.id)
            .await
            .map_err(|error| not_changed(&error))?;
        Ok(self.after.report_as(self.output, &opened, &committed, "the project was removed").await)
    }
}

/// List the projects that are declared, and those that keys or people name.
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    store: KeyStore,
    /// In a database too, list what only keys or people name, and how many do; every key is read for it.
    #[arg(long)]
    count: bool,
    /// How to list them.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// A project as it is shown.
#[derive(Debug, Serialize)]
struct ProjectView {
    id: String,
    /// Who declares it; `None`: nobody.
    organization: Option<String>,
    /// Keys that name it; `None`: they were not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<usize>,
    /// People who name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    people: Option<usize>,
}

impl List {
    async fn run(self) -> Result<Exit, Stopped> {
        let opened = self.store.open().await?;
        let mut work = opened.administration.look().await.map_err(|error| stopped(&error))?;
        let count = self.count || opened.administration.database().is_none();
        let projects = listing::projects(&mut work, count).await.map_err(|error| stopped(&error))?;
        let view = |(id, project): (String, ListedProject)| ProjectView {
            id,
            organization: project.organization.map(|id| id.to_string()),
            keys: count.then_some(project.keys),
            people: count.then_some(project.people),
        };
        let projects: Vec<_> = projects.into_iter().map(view).collect();
        match self.output {
            Output::Json => answer_json(&projects),
            Output::Table => {
                let row = |project: &ProjectView| {
                    let organization = table::or_dash(project.organization.as_ref());
                    let (keys, people) = (table::or_dash(project.keys), table::or_dash(project.people));
                    [project.id.clone(), organization, keys, people]
                };
                answer(&table::columns(["ID", "DECLARED BY", "KEYS", "PEOPLE"], projects.iter().map(row)));
            }
        }
        Ok(tell_wrong(&work))
    }
}
