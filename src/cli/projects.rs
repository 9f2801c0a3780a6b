//! `keygate projects`: what organizations declare.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Exit,
    key_store::{KeyStore, PatchFile, Stopped, parsed_if, stopped},
    output::{Output, answer, answer_json, tell},
    table,
};
use crate::{
    clock::{Clock as _, SystemClock},
    control::{
        administration::{Outcome, Records},
        project_admin::{self, NewProject},
    },
    keys::record::OrganizationId,
    policy::project::ProjectSet,
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
        let done = match self.command {
            ProjectsCommand::Create(command) => command.run(),
            ProjectsCommand::List(command) => command.run(),
            ProjectsCommand::Remove(command) => command.run(),
        };
        done.unwrap_or_else(|stopped| stopped)
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
    patch: PatchFile,
}

impl Create {
    fn run(self) -> Result<Exit, Stopped> {
        let new = NewProject {
            id: self.id.clone(),
            organization: parsed_if("--organization", self.organization.as_ref(), OrganizationId::parse)?,
            may_be_first: self.first,
        };
        let administration = self.store.open()?;
        let outcome = project_admin::create(&administration, &new, SystemClock.now())
            .map_err(|error| stopped(&error))?;
        if let Outcome::Unchanged = outcome {
            tell("it is declared already");
        }
        Ok(self.patch.report(&outcome, "the project was declared"))
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
    patch: PatchFile,
}

impl Remove {
    fn run(self) -> Result<Exit, Stopped> {
        let administration = self.store.open()?;
        let outcome = project_admin::remove(&administration, &self.id, SystemClock.now())
            .map_err(|error| stopped(&error))?;
        Ok(self.patch.report(&outcome, "the project was removed"))
    }
}

/// List the projects that are declared, and those that keys or people name.
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    store: KeyStore,
    /// How to list them.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// A project as it is shown.
#[derive(Debug, Default, Serialize)]
struct ProjectView {
    id: String,
    /// Who declares it; `None`: nobody.
    organization: Option<String>,
    /// Keys that name it.
    keys: usize,
    /// People who name it.
    people: usize,
}

impl List {
    fn run(self) -> Result<Exit, Stopped> {
        let administration = self.store.open()?;
        let records = administration.read().map_err(|error| stopped(&error))?;
        let projects = views(&records);
        match self.output {
            Output::Json => answer_json(&projects),
            Output::Table => {
                let row = |project: &ProjectView| {
                    let organization = table::or_dash(project.organization.as_ref());
                    [project.id.clone(), organization, project.keys.to_string(), project.people.to_string()]
                };
                answer(&table::columns(["ID", "DECLARED BY", "KEYS", "PEOPLE"], projects.iter().map(row)));
            }
        }
        let wrong = records.wrong();
        for problem in &wrong {
            tell(&problem.to_string());
        }
        Ok(if wrong.is_empty() { Exit::Done } else { Exit::WrongInput })
    }
}

fn views(records: &Records<'_>) -> Vec<ProjectView> {
    let mut views: BTreeMap<String, ProjectView> = BTreeMap::new();
    for organization in records.organizations() {
        for id in organization.projects.iter().flatten() {
            views.entry(id.clone()).or_default().organization = Some(organization.id.to_string());
        }
    }
    for key in records.keys() {
        named(&key.projects).for_each(|id| views.entry(id.to_owned()).or_default().keys += 1);
    }
    for person in records.people() {
        named(&person.projects).for_each(|id| views.entry(id.to_owned()).or_default().people += 1);
    }
    views.into_iter().map(|(id, view)| ProjectView { id, ..view }).collect()
}

fn named(projects: &ProjectSet) -> impl Iterator<Item = &str> {
    let ids: &[Box<str>] = match projects {
        ProjectSet::All => &[],
        ProjectSet::Only(ids) => ids,
    };
    ids.iter().map(AsRef::as_ref)
}
