//! `keygate people`: whose keys there are.

use std::collections::HashMap;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::{
    Exit,
    committed::AfterChange,
    invite::Invite,
    key_store::{
        KeyStore, ListLimit, Opened, Stopped, block_on, not_changed, parsed, parsed_if, projects, stopped,
        tell_wrong, wrong_input,
    },
    output::{Output, answer, answer_json, tell},
    table,
};
use crate::{
    control::{
        administration::Work,
        listing,
        people_admin::{self, PersonUpdate},
    },
    keys::record::{Email, Name, OrganizationId, Person, PersonId},
    policy::{principal::Role, project::ProjectSet},
    store::contract::Committed,
};

/// Create, list, change, invite and disable the people who own keys.
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
    Invite(Invite),
    /// Stop every key of a person.
    Disable(Switch),
    /// Let the keys of a person work again.
    Enable(Switch),
}

impl People {
    pub(super) fn run(self) -> Exit {
        match self.command {
            PeopleCommand::Create(command) => block_on(command.run()),
            PeopleCommand::List(command) => block_on(command.run()),
            PeopleCommand::Show(command) => block_on(command.run()),
            PeopleCommand::Update(command) => block_on(command.run()),
            PeopleCommand::Invite(command) => block_on(command.run()),
            PeopleCommand::Disable(switch) => block_on(switch.run(true, "people disable")),
            PeopleCommand::Enable(switch) => block_on(switch.run(false, "people enable")),
        }
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
    after: AfterChange,
}

impl Create {
    async fn run(self) -> Result<Exit, Stopped> {
        let person = Person {
            id: parsed("the id", &self.id, PersonId::parse_new)?,
            email: parsed("--email", &self.email, Email::parse)?,
            name: parsed_if("--name", self.name.as_ref(), Name::parse)?,
            organization: parsed_if("--organization", self.organization.as_ref(), OrganizationId::parse)?,
            role: self.role.into(),
            projects: projects(&self.projects, false).unwrap_or(ProjectSet::All),
            disabled: false,
        };
        let opened = self.store.open().await?;
        let committed = people_admin::create(&opened.administration, &person)
            .await
            .map_err(|error| not_changed(&error))?;
        Ok(self.after.report(&opened, &committed, &format!("{} was added", person.id)).await)
    }
}

/// List people.
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    store: KeyStore,
    #[command(flatten)]
    limit: ListLimit,
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
    /// How many they own; `None`: in a database nobody counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<usize>,
}

impl PersonView {
    fn new(person: &Person, work: &Work<'_>, keys: Option<&HashMap<PersonId, usize>>) -> Self {
        let named = person.organization.as_ref();
        let only = Some(&work.organizations[..]).filter(|all| all.len() == 1).and_then(<[_]>::first);
        Self {
            id: person.id.to_string(),
            email: person.email.to_string(),
            name: person.name.as_ref().map(ToString::to_string),
            organization: named.or(only.map(|only| &only.id)).map(ToString::to_string),
            role: person.role.as_str(),
            projects: match &person.projects {
                ProjectSet::All => None,
                ProjectSet::Only(ids) => Some(ids.iter().map(ToString::to_string).collect()),
            },
            disabled: person.disabled,
            keys: keys.map(|keys| keys.get(&person.id).copied().unwrap_or(0)),
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
    async fn run(self) -> Result<Exit, Stopped> {
        let opened = self.store.open().await?;
        let mut work = opened.administration.look().await.map_err(|error| stopped(&error))?;
        let limit = self.limit.of(&opened);
        let listing = listing::people(&mut work, limit).await.map_err(|error| stopped(&error))?;
        let keys = counted(&opened, &mut work).await?;
        let view = |person| PersonView::new(person, &work, keys.as_ref());
        let people: Vec<_> = listing.records.iter().map(view).collect();
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
                        table::or_dash(person.keys),
                    ]
                };
                let names = ["ID", "EMAIL", "NAME", "ORGANIZATION", "ROLE", "PROJECTS", "STATUS", "KEYS"];
                answer(&table::columns(names, people.iter().map(row)));
            }
        }
        if listing.has_more {
            tell(&format!("these are the first {limit}; --limit or --all shows more"));
        }
        Ok(tell_wrong(&work))
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
    async fn run(self) -> Result<Exit, Stopped> {
        let id = parsed("the id", &self.id, PersonId::parse)?;
        let opened = self.store.open().await?;
        let mut work = opened.administration.look().await.map_err(|error| stopped(&error))?;
        let person = people_admin::show(&mut work, &id).await.map_err(|error| stopped(&error))?;
        let keys = counted(&opened, &mut work).await?;
        let view = PersonView::new(&person, &work, keys.as_ref());
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
                ("keys", view.keys.map(|keys| keys.to_string())),
            ])),
        }
        Ok(Exit::Done)
    }
}

/// Change a person; every key of theirs follows at once.
#[derive(Debug, Args)]
struct Update {
    #[command(flatten)]
    changing: Changing,
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
}

impl Update {
    async fn run(self) -> Result<Exit, Stopped> {
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
        self.changing.run(&update, "people update").await
    }
}

#[derive(Debug, Args)]
struct Switch {
    #[command(flatten)]
    changing: Changing,
}

impl Switch {
    async fn run(self, disabled: bool, command: &str) -> Result<Exit, Stopped> {
        let update = PersonUpdate { disabled: Some(disabled), ..PersonUpdate::default() };
        self.changing.run(&update, command).await
    }
}

/// Whom a change concerns, and how it is told.
#[derive(Debug, Args)]
struct Changing {
    #[command(flatten)]
    store: KeyStore,
    /// The id of the person.
    id: String,
    #[command(flatten)]
    after: AfterChange,
    /// How to answer: with nothing, or the receipt as JSON.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Changing {
    async fn run(&self, update: &PersonUpdate, command: &str) -> Result<Exit, Stopped> {
        let id = parsed("the id", &self.id, PersonId::parse)?;
        let opened = self.store.open().await?;
        let committed = people_admin::update(&opened.administration, &id, update, None, command)
            .await
            .map_err(|error| not_changed(&error))?;
        if let Committed::Unchanged = committed {
            tell(&format!("{id} is so already"));
        }
        Ok(self.after.report_as(self.output, &opened, &committed, &format!("{id} was changed")).await)
    }
}

/// How many keys each person owns, where that is quickly told.
async fn counted(opened: &Opened, work: &mut Work<'_>) -> Result<Option<HashMap<PersonId, usize>>, Stopped> {
    if opened.administration.database().is_some() {
        return Ok(None);
    }
    listing::keys_of_people(work).await.map(Some).map_err(|error| stopped(&error))
}
