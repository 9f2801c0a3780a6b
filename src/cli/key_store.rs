//! Which key files a command works on, and how it tells what became of a change.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    Exit,
    output::tell,
    secret_input::{POLITE_REFUSAL, looks_secret},
};
use crate::{
    config::{
        self, Surroundings,
        model::{Config, KeySource},
    },
    control::{
        administration::{AdminError, Administration, Outcome, Patch, Rules},
        operator::Operator,
    },
    keys::record::{KeyId, TextError},
    policy::project::ProjectSet,
    store::{key_files::Location, state::StateFolder},
    telemetry::usage::UsageTotals,
};

/// The config that is taken where nothing is said.
const DEFAULT_CONFIG: &str = "keygate.yaml";

/// Why a command ends: its exit code; what there is to say was said.
pub(super) type Stopped = Exit;

/// The key files.
#[derive(Debug, Args)]
pub(super) struct KeyStore {
    /// The configuration file, which says where keys are [default: keygate.yaml, where it is there].
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A key file without configuration; together with --config, the file of its directory that new records go to.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// What is done with a change that cannot be written.
#[derive(Debug, Args)]
pub(super) struct PatchFile {
    /// Where a key file cannot be replaced, write the change to FILE as a unified diff instead of showing it.
    #[arg(long, value_name = "FILE")]
    patch: Option<PathBuf>,
}

impl KeyStore {
    /// What the command works on.
    ///
    /// # Errors
    /// Where the arguments or the config are wrong, which has been told.
    pub(super) fn open(&self) -> Result<Administration, Stopped> {
        let config = match (&self.config, &self.file) {
            (Some(config), _) => Some(config.as_path()),
            (None, Some(_)) => None,
            (None, None) => Some(Path::new(DEFAULT_CONFIG)).filter(|config| config.exists()),
        };
        match (config, &self.file) {
            (Some(config), file) => of_config(config, file.as_deref()),
            (None, Some(file)) => Ok(Administration {
                location: Location::File(file.clone()),
                rules: None,
                state: None,
                new_records: None,
                operator: Operator::of_process(),
            }),
            (None, None) => Err(wrong_input(
                "there is no keygate.yaml here; name a configuration by --config, or a key file by --file",
            )),
        }
    }
}

fn of_config(path: &Path, file: Option<&Path>) -> Result<Administration, Stopped> {
    let loaded = config::load(path, &Surroundings::of_process("keygate"));
    let Config { keys, state, brand, role_caps, policy, .. } = loaded.result.map_err(|problems| {
        for problem in &problems {
            tell(&problem.to_string());
        }
        tell("to edit a key file whatever the configuration, name it by --file alone");
        Exit::WrongInput
    })?;
    let location = match (keys, file) {
        (KeySource::File(path), None) => Location::File(path),
        (KeySource::Directory(path), None) => Location::Directory(path),
        (KeySource::Directory(path), Some(name)) if is_key_file_name(name) => Location::Directory(path),
        (KeySource::Database(_), _) => {
            return Err(wrong_input("keys in a database cannot be edited by this command yet"));
        }
        (KeySource::Directory(_), Some(_)) => {
            return Err(wrong_input("with --config, --file is a name in its directory, such as team.yaml"));
        }
        (KeySource::File(path), Some(_)) => {
            return Err(wrong_input(&format!(
                "the configuration names the key file {}; leave out --file or --config",
                path.display()
            )));
        }
    };
    Ok(Administration {
        location,
        rules: Some(Rules { scopes: policy.scopes, role_caps, brand }),
        state,
        new_records: file.map(Path::to_owned),
        operator: Operator::of_process(),
    })
}

/// A bare name of a file that the gateway would read in a directory.
fn is_key_file_name(name: &Path) -> bool {
    let bytes = name.as_os_str().as_encoded_bytes();
    name.file_name() == Some(name.as_os_str()) && bytes.ends_with(b".yaml") && !bytes.starts_with(b".")
}

impl PatchFile {
    /// Tells what became of a change.
    pub(super) fn report(&self, outcome: &Outcome, done: &str) -> Exit {
        match outcome {
            Outcome::Unchanged => Exit::Done,
            Outcome::Written(path) => {
                tell(&format!("{done} in {}", path.display()));
                Exit::Done
            }
            Outcome::Unaudited(path, error) => {
                tell(&format!("{done} in {}", path.display()));
                tell(&format!("warning: the audit log could not be written: {error}"));
                Exit::Unconfirmed
            }
            Outcome::ToCommit(patch) => {
                self.report_patch(patch);
                Exit::Failed
            }
        }
    }

    fn report_patch(&self, Patch { path, why, diff }: &Patch) {
        tell(&format!("nothing was changed: {} cannot be replaced: {why}", path.display()));
        let Some(file) = &self.patch else {
            tell(&format!("commit this change where the file comes from:\n\n{diff}"));
            return;
        };
        let options = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
        match options.and_then(|mut file| file.write_all(diff.as_bytes())) {
            Ok(()) => {
                tell(&format!("the change is in {}; commit it where the file comes from", file.display()));
            }
            Err(error) => {
                tell(&format!("{}: {error}", file.display()));
                tell(&format!("commit this change where the file comes from:\n\n{diff}"));
            }
        }
    }
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
        AdminError::Refused(_) | AdminError::WrongFiles(_) => Exit::WrongInput,
        AdminError::Failed(_) => Exit::Failed,
    }
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

/// The uses of keys that the gateway keeps in its `state:` folder; `None` without one.
pub(super) fn usage(administration: &Administration) -> Option<UsageTotals> {
    let state = administration.state.as_ref().filter(|state| state.is_dir())?;
    StateFolder::to_read(state).read_usage().unwrap_or_else(|error| {
        tell(&format!("warning: uses are not shown: {error}"));
        None
    })
}
