//! Which store a command works on, and on whose behalf.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use jiff::Timestamp;

use super::{
    Exit,
    output::tell,
    secret_input::{POLITE_REFUSAL, looks_secret},
};
use crate::{
    config::{
        self, ListenAddress, Surroundings,
        model::{AdminConfig, Config, KeyCreation, KeySource},
    },
    control::{
        actor::Actor,
        administration::{AdminError, Administration, Kept, Work},
        listing::{self, KnownUses},
    },
    keys::{
        record::{KeyId, PersonId, TextError},
        rules::KeyRules,
    },
    policy::project::ProjectSet,
    store::{
        contract::{OwnedKey, StoreError},
        database_url::DatabaseUrl,
        file_store::{FileStore, FileStoreOptions},
        key_files::Location,
        sql,
    },
    telemetry::operator::Operator,
};

/// The config that is taken where nothing is said.
const DEFAULT_CONFIG: &str = "keygate.yaml";

/// The variable that may name a database.
const DATABASE_VARIABLE: &str = "KEYGATE_DATABASE";

/// Why a command ends: its exit code; what there is to say was said.
pub(super) type Stopped = Exit;

/// The keys, people and projects.
#[derive(Debug, Args)]
pub(super) struct KeyStore {
    /// The configuration file, which says where keys are [default: keygate.yaml, where it is there].
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A key file without configuration; together with --config, the file of its directory that new records go to.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A database: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`. Everybody on this machine sees arguments: give a URL
    /// with a password in the variable `KEYGATE_DATABASE` or in the configuration. Beside --config, which then says
    /// scopes and roles.
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    database: Option<String>,
    /// Do it as this person, within what their role permits, instead of as the operator, who may do everything.
    #[arg(long = "as", value_name = "PERSON")]
    acting_as: Option<String>,
    /// Whether the command takes these options, so that it can be told to use them.
    #[arg(skip = true)]
    is_chosen: bool,
}

/// What a command works on.
#[derive(Debug)]
pub(super) struct Opened {
    /// The store, its rules, and who asks.
    pub(super) administration: Administration,
    /// Where people find the console, if the config says it.
    pub(super) console: Option<String>,
}

impl KeyStore {
    /// That of the configuration at `path`, as the operator.
    pub(super) fn of_configuration(path: &Path) -> Self {
        Self { config: Some(path.to_owned()), file: None, database: None, acting_as: None, is_chosen: false }
    }

    /// What the command works on.
    ///
    /// # Errors
    /// Where the arguments or the config are wrong, which has been told.
    pub(super) async fn open(&self) -> Result<Opened, Stopped> {
        if let Some(url) = self.database_url()? {
            let settings = self.config.as_deref().map(|path| settings(path, false)).transpose()?;
            return self.of_database(&url, settings.as_ref()).await;
        }
        let config = match (&self.config, &self.file) {
            (Some(config), _) => Some(config.as_path()),
            (None, Some(_)) => None,
            (None, None) => Some(Path::new(DEFAULT_CONFIG)).filter(|config| config.exists()),
        };
        match (config, &self.file) {
            (Some(config), file) => self.of_config(config, file.as_deref()).await,
            (None, Some(file)) => {
                let options = FileStoreOptions {
                    location: Location::File(file.clone()),
                    rules: None,
                    state: None,
                    new_records: None,
                    operator: Operator::of_process(),
                    replaces: true,
                };
                self.of_files(options, KeyCreation::Admins)
            }
            (None, None) => Err(wrong_input(
                "there is no keygate.yaml here; name a configuration by --config, a key file by --file, or a database by \
                 KEYGATE_DATABASE",
            )),
        }
    }

    /// The database that is named beside any configuration.
    fn database_url(&self) -> Result<Option<DatabaseUrl>, Stopped> {
        let is_named = self.config.is_some() || self.file.is_some();
        let (name, text) = match &self.database {
            Some(url) => ("--database", url.clone()),
            None if is_named => return Ok(None),
            None => match std::env::var(DATABASE_VARIABLE) {
                Ok(url) => (DATABASE_VARIABLE, url),
                Err(std::env::VarError::NotPresent) => return Ok(None),
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(wrong_input(&format!("{DATABASE_VARIABLE} is no text")));
                }
            },
        };
        let url = DatabaseUrl::parse(&text).map_err(|problem| wrong_input(&format!("{name}: {problem}")))?;
        Ok(Some(url))
    }

    async fn of_config(&self, path: &Path, file: Option<&Path>) -> Result<Opened, Stopped> {
        let settings = settings(path, self.is_chosen && file.is_none())?;
        let location = match (&settings.keys, file) {
            (KeySource::Database(source), None) => {
                return self.of_database(&source.url, Some(&settings)).await;
            }
            (KeySource::File(path), None) => Location::File(path.clone()),
            (KeySource::Directory(path), None) => Location::Directory(path.clone()),
            (KeySource::Directory(path), Some(name)) if is_key_file_name(name) => {
                Location::Directory(path.clone())
            }
            (KeySource::Directory(_), Some(_)) => {
                return Err(wrong_input(
                    "with --config, --file is a name in its directory, such as team.yaml",
                ));
            }
            (KeySource::File(path), Some(_)) => {
                return Err(wrong_input(&format!(
                    "the configuration names the key file {}; leave out --file or --config",
                    path.display()
                )));
            }
            (KeySource::Database(_), Some(_)) => {
                return Err(wrong_input("the configuration names a database; leave out --file or --config"));
            }
        };
        let options = FileStoreOptions {
            location,
            rules: Some(settings.rules),
            state: settings.state,
            new_records: file.map(Path::to_owned),
            operator: Operator::of_process(),
            replaces: true,
        };
        self.of_files(options, settings.key_creation)
    }

    async fn of_database(&self, url: &DatabaseUrl, settings: Option<&Settings>) -> Result<Opened, Stopped> {
        let actor = self.actor()?;
        let database = sql::open(url, None).await.map_err(|error| {
            let exit = stopped(&error.into());
            tell("nothing was done");
            exit
        })?;
        let administration = Administration {
            kept: Kept::Database(database),
            rules: settings.map(|settings| settings.rules.clone()),
            key_creation: settings.map_or(KeyCreation::Admins, |settings| settings.key_creation),
            actor,
            address: None,
            submission: None,
        };
        let console = settings.and_then(|settings| settings.console.clone());
        Ok(Opened { administration, console })
    }

    /// Whether a person is named on whose behalf something is done.
    pub(super) fn is_on_behalf(&self) -> bool {
        self.acting_as.is_some()
    }

    fn of_files(&self, options: FileStoreOptions, key_creation: KeyCreation) -> Result<Opened, Stopped> {
        let state = options.state.clone();
        let store = FileStore::new(options);
        let rules = store.rules().map_err(|error| stopped(&error.into()))?;
        let administration = Administration {
            kept: Kept::Files { store: Arc::new(store), state },
            rules: Some(rules),
            key_creation,
            actor: self.actor()?,
            address: None,
            submission: None,
        };
        Ok(Opened { administration, console: None })
    }

    fn actor(&self) -> Result<Actor, Stopped> {
        let person = parsed_if("--as", self.acting_as.as_ref(), PersonId::parse)?;
        Ok(person.map_or_else(|| Actor::Operator(Operator::of_process()), Actor::Person))
    }
}

impl Opened {
    /// The uses that are known of `keys`; `None`: nobody keeps any.
    ///
    /// # Errors
    /// Where a database cannot be read, which has been told.
    pub(super) async fn usage(
        &self,
        keys: &[OwnedKey],
        now: Timestamp,
    ) -> Result<Option<KnownUses>, Stopped> {
        listing::known_uses(&self.administration, keys, now).await.map_err(|error| stopped(&error))
    }
}

/// How much is listed.
#[derive(Debug, Args)]
pub(super) struct ListLimit {
    /// List no more than so many [default: 1000 of a database, all of key files].
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// List all, however many there are.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl ListLimit {
    /// How many records are listed of what was opened.
    pub(super) fn of(&self, opened: &Opened) -> usize {
        match (self.limit, opened.administration.database()) {
            (Some(limit), _) => limit,
            (None, Some(_)) if !self.all => 1000,
            (None, Some(_) | None) => usize::MAX,
        }
    }
}

/// Runs what waits for a store.
pub(super) fn block_on(task: impl Future<Output = Result<Exit, Stopped>>) -> Exit {
    match in_runtime(task) {
        Ok(ended) => ended.unwrap_or_else(|stopped| stopped),
        Err(error) => {
            tell(&format!("the system gives no room to work: {error}"));
            Exit::Failed
        }
    }
}

/// What `task` comes to, in a runtime of its own.
///
/// # Errors
/// What the operating system says if it gives none.
pub(super) fn in_runtime<T>(task: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(task))
}

/// What a config says about records.
pub(super) struct Settings {
    keys: KeySource,
    pub(super) rules: KeyRules,
    key_creation: KeyCreation,
    state: Option<PathBuf>,
    /// Where people find the console, if that can be told before it listens.
    console: Option<String>,
}

/// What the configuration at `path` says; where it is wrong and its keys are in files, `offers_file` says whether these can be
/// named instead.
///
/// # Errors
/// Where it is wrong, which has been told.
pub(super) fn settings(path: &Path, offers_file: bool) -> Result<Settings, Stopped> {
    let loaded = config::load(path, &Surroundings::of_process("keygate"));
    let config = loaded.result.map_err(|problems| {
        for problem in &problems {
            tell(&problem.to_string());
        }
        if offers_file && loaded.names_key_files {
            tell("to work on a key file whatever the configuration, name it by --file alone");
        }
        Exit::WrongInput
    })?;
    let rules = config.key_rules();
    let Config { keys, state, key_creation, admin, .. } = config;
    let has_port = |admin: &AdminConfig| !matches!(&admin.address, ListenAddress::Tcp(at) if at.port() == 0);
    let console = admin.filter(|admin| admin.public_url.is_some() || has_port(admin));
    let console = console.and_then(|admin| admin.url(&admin.address));
    Ok(Settings { keys, rules, key_creation, state, console })
}

/// A bare name of a file that the gateway would read in a directory.
fn is_key_file_name(name: &Path) -> bool {
    let bytes = name.as_os_str().as_encoded_bytes();
    name.file_name() == Some(name.as_os_str()) && bytes.ends_with(b".yaml") && !bytes.starts_with(b".")
}

/// Tells what is wrong with the arguments.
pub(super) fn wrong_input(message: &str) -> Stopped {
    tell(message);
    Exit::WrongInput
}

/// Tells why nothing was done.
pub(super) fn stopped(error: &AdminError) -> Stopped {
    tell(&error.to_string());
    match error {
        AdminError::Refused(_)
        | AdminError::NotFound(_)
        | AdminError::Forbidden(_)
        | AdminError::Stale(_)
        | AdminError::Done(_)
        | AdminError::ReadOnly(_) => Exit::WrongInput,
        AdminError::Store(error) | AdminError::Commit(error) => match error {
            StoreError::Refused(_) | StoreError::WrongFiles(_) => Exit::WrongInput,
            StoreError::Unavailable(_)
            | StoreError::WrongSchema(_)
            | StoreError::NotPermitted(_)
            | StoreError::Failed(_) => Exit::Failed,
        },
    }
}

/// As [`stopped`], where something should have been changed.
pub(super) fn not_changed(error: &AdminError) -> Stopped {
    let exit = stopped(error);
    if exit == Exit::Failed && matches!(error, AdminError::Store(_)) {
        tell("nothing was changed");
    }
    exit
}

/// Tells what is wrong with key files, of which the records are missing in what was shown.
pub(super) fn tell_wrong(work: &Work<'_>) -> Exit {
    let wrong = work.wrong_files();
    for problem in &wrong {
        tell(&problem.to_string());
    }
    if wrong.is_empty() { Exit::Done } else { Exit::WrongInput }
}

/// The value that `argument` stands for. Nothing of it is shown where it is wrong: it may be a secret.
pub(super) fn parsed<T>(
    name: &str,
    argument: &str,
    parse: impl FnOnce(&str) -> Result<T, TextError>,
) -> Result<T, Stopped> {
    if looks_secret(argument) {
        return Err(wrong_input(POLITE_REFUSAL));
    }
    parse(argument).map_err(|error| wrong_input(&format!("{name} {error}")))
}

/// As [`parsed`], where there may be no argument.
pub(super) fn parsed_if<T>(
    name: &str,
    argument: Option<&String>,
    parse: impl FnOnce(&str) -> Result<T, TextError>,
) -> Result<Option<T>, Stopped> {
    argument.map(|argument| parsed(name, argument, parse)).transpose()
}

/// The id of a key.
pub(super) fn key_id(argument: &str) -> Result<KeyId, Stopped> {
    parsed("the id", argument, KeyId::parse)
}

/// `--project` and `--all-projects`; `None`: neither.
pub(super) fn projects(listed: &[String], all: bool) -> Option<ProjectSet> {
    match (all, listed) {
        (true, _) => Some(ProjectSet::All),
        (false, []) => None,
        (false, listed) => Some(ProjectSet::only(listed.iter().map(String::as_str))),
    }
}
