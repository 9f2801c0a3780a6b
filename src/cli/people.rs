//! `keygate people`: whose keys there are.

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::{
    Exit,
    key_store::{KeyStore, PatchFile, Stopped, parsed, parsed_if, projects, stopped, wrong_input},
    output::{Output, answer, answer_json, tell},
    table,
};
use crate::{
    clock::{Clock as _, SystemClock},
    control::{
        administration::{Administration, Outcome, Records},
        people_admin::{self, PersonUpdate},
    },
    keys::record::{Email, Name, OrganizationId, Person, PersonId},
    policy::{principal::Role, project::ProjectSet},
};

/// Create, list, change and disable the people who own keys.
#[derive(Debug, Args)]
pub(super) struct People {
    #[command(subcommand)]
    command: PeopleCommand,
}

#[derive(Debug, Subcommand)]
enum PeopleCommand {
    Create(Create),
    List(List),
    Show(Show),
    Update(Update),
    /// Stop every key of a person.
    Disable(Switch),
    /// Let the keys of a person work again.
    Enable(Switch),
}

impl People {
    pub(super) fn run(self) -> Exit {
        let done = match self.command {
            PeopleCommand::Create(command) => command.run(),
            PeopleCommand::List(command) => command.run(),
            PeopleCommand::Show(command) => command.run(),
            PeopleCommand::Update(command) => command.run(),
            PeopleCommand::Disable(switch) => switch.run(true, "people disable"),
            PeopleCommand::Enable(switch) => switch.run(false, "people enable"),
        };
        done.unwrap_or_else(|stopped| stopped)
    }
}

/// A role.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    Viewer,
    Member,
    Admin,
    Owner,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Member => Self::Member,
            RoleName::Admin => Self::Admin,
            RoleName::Owner => Self::Owner,
        }
    }
}

/// Add a person.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: keygate people create ada --email ada@example.com --role member --project alpha"
)]
struct Create {
    #[command(flatten)]
    store: KeyStore,
    /// The id: an account name, an e-mail address, a subject of an identity provider.
    id: String,
    /// The e-mail address.
    #[arg(long)]
    email: String,
    /// What people call them.
    #[arg(long)]
    name: Option<String>,
    /// The organization, where there are several.
    #[arg(long)]
    organization: Option<String>,
    /// Caps the scopes of their keys.
    #[arg(long, value_enum)]
    role: RoleName,
    /// A project that their keys may have at most; may be given several times [default: all].
    #[arg(long = "project", value_name = "PROJECT")]
    projects: Vec<String>,
    #[command(flatten)]
    patch: PatchFile,
}

impl Create {
    fn run(self) -> Result<Exit, Stopped> {
        let person = Person {
            id: parsed("the id", &self.id, PersonId::parse)?,
            email: parsed("--email", &self.email, Email::parse)?,
            name: parsed_if("--name", self.name.as_ref(), Name::parse)?,
            organization: parsed_if("--organization", self.organization.as_ref(), OrganizationId::parse)?,
            role: self.role.into(),
            projects: projects(&self.projects, false).unwrap_or(ProjectSet::All),
            disabled: false,
        };
        let administration = self.store.open()?;
        let outcome = people_admin::create(&administration, &person, SystemClock.now())
            .map_err(|error| stopped(&error))?;
        Ok(self.patch.report(&outcome, &format!("{} was added", person.id)))
    }
}

/// List people.
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    store: KeyStore,
    /// How to list them.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// A person as they are shown.
#[derive(Debug, Serialize)]
struct PersonView {
    id: String,
    email: String,
    name: Option<String>,
    organization: Option<String>,
    role: &'static str,
    /// `None`: all.
    projects: Option<Vec<String>>,
    disabled: bool,
    keys: usize,
}

impl PersonView {
    fn new(person: &Person, records: &Records<'_>) -> Self {
        let named = person.organization.as_ref();
        let organization = records.organization(named.map(OrganizationId::as_str));
        Self {
            id: person.id.to_string(),
            email: person.email.to_string(),
            name: person.name.as_ref().map(ToString::to_string),
            organization: named.or(organization.map(|only| &only.id)).map(ToString::to_string),
            role: person.role.as_str(),
            projects: match &person.projects {
                ProjectSet::All => None,
                ProjectSet::Only(ids) => Some(ids.iter().map(ToString::to_string).collect()),
            },
            disabled: person.disabled,
            keys: records.keys().filter(|key| key.owner.as_ref() == Some(&person.id)).count(),
        }
    }

    fn projects(&self) -> String {
        self.projects.as_ref().map_or_else(|| "all".to_owned(), |ids| ids.join(" "))
    }

    fn status(&self) -> &'static str {
        if self.disabled { "disabled" } else { "active" }
    }
}

impl List {
    fn run(self) -> Result<Exit, Stopped> {
        let administration = self.store.open()?;
        let records = administration.read().map_err(|error| stopped(&error))?;
        let people: Vec<_> = records.people().map(|person| PersonView::new(person, &records)).collect();
        match self.output {
            Output::Json => answer_json(&people),
            Output::Table => {
                let row = |person: &PersonView| {
                    [
                        person.id.clone(),
                        person.email.clone(),
                        table::or_dash(person.name.as_ref()),
                        table::or_dash(person.organization.as_ref()),
                        person.role.to_owned(),
                        person.projects(),
                        person.status().to_owned(),
                        person.keys.to_string(),
                    ]
                };
                let names = ["ID", "EMAIL", "NAME", "ORGANIZATION", "ROLE", "PROJECTS", "STATUS", "KEYS"];
                answer(&table::columns(names, people.iter().map(row)));
            }
        }
        let wrong = records.wrong();
        for problem in &wrong {
            tell(&problem.to_string());
        }
        Ok(if wrong.is_empty() { Exit::Done } else { Exit::WrongInput })
    }
}

/// Show a person.
#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    store: KeyStore,
    /// The id of the person.
    id: String,
    /// How to show them.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Show {
    fn run(self) -> Result<Exit, Stopped> {
        let id = parsed("the id", &self.id, PersonId::parse)?;
        let administration = self.store.open()?;
        let records = administration.read().map_err(|error| stopped(&error))?;
        let person = people_admin::find(&records, &id).map_err(|error| stopped(&error))?;
        let view = PersonView::new(person, &records);
        match self.output {
            Output::Json => answer_json(&view),
            Output::Table => answer(&table::fields(&[
                ("id", Some(view.id.clone())),
                ("email", Some(view.email.clone())),
                ("name", view.name.clone()),
                ("organization", view.organization.clone()),
                ("role", Some(view.role.to_owned())),
                ("projects", Some(view.projects())),
                ("status", Some(view.status().to_owned())),
                ("keys", Some(view.keys.to_string())),
            ])),
        }
        Ok(Exit::Done)
    }
}

/// Change a person; every key of theirs follows at once.
#[derive(Debug, Args)]
struct Update {
    #[command(flatten)]
    store: KeyStore,
    /// The id of the person.
    id: String,
    /// The new role.
    #[arg(long, value_enum)]
    role: Option<RoleName>,
    /// A project that their keys may have at most, instead of those so far; may be given several times.
    #[arg(long = "project", value_name = "PROJECT")]
    projects: Vec<String>,
    /// Let their keys have every project.
    #[arg(long, conflicts_with = "projects")]
    all_projects: bool,
    /// The new e-mail address.
    #[arg(long)]
    email: Option<String>,
    /// The new name.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    patch: PatchFile,
}

impl Update {
    fn run(self) -> Result<Exit, Stopped> {
        let update = PersonUpdate {
            role: self.role.map(Role::from),
            projects: projects(&self.projects, self.all_projects),
            email: parsed_if("--email", self.email.as_ref(), Email::parse)?,
            name: parsed_if("--name", self.name.as_ref(), Name::parse)?,
            disabled: None,
        };
        if self.role.is_none() && update.projects.is_none() && update.email.is_none() && update.name.is_none()
        {
            return Err(wrong_input(
                "say what shall change: --role, --project, --all-projects, --email or --name",
            ));
        }
        changed(&self.store.open()?, &self.id, &update, "people update", &self.patch)
    }
}

#[derive(Debug, Args)]
struct Switch {
    #[command(flatten)]
    store: KeyStore,
    /// The id of the person.
    id: String,
    #[command(flatten)]
    patch: PatchFile,
}

impl Switch {
    fn run(self, disabled: bool, command: &str) -> Result<Exit, Stopped> {
        let update = PersonUpdate { disabled: Some(disabled), ..PersonUpdate::default() };
        changed(&self.store.open()?, &self.id, &update, command, &self.patch)
    }
}

fn changed(
    administration: &Administration,
    id: &str,
    update: &PersonUpdate,
    command: &str,
    patch: &PatchFile,
) -> Result<Exit, Stopped> {
    let id = parsed("the id", id, PersonId::parse)?;
    let outcome = people_admin::update(administration, &id, update, command, SystemClock.now())
        .map_err(|error| stopped(&error))?;
    if let Outcome::Unchanged = outcome {
        tell(&format!("{id} is so already"));
    }
    Ok(patch.report(&outcome, &format!("{id} was changed")))
}
