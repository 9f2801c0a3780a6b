//! Config and key files, read once as they stand, with everything that is wrong or doubtful about them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Exit,
    finding::{Finding, tell_all},
    key_store::in_runtime,
};
use crate::{
    clock::{Clock as _, SystemClock, monotonic},
    config::{
        self, Surroundings,
        model::{Config, DatabaseSource, KeySource},
    },
    control::loading::Loading,
    keys::{build::KeyPolicy, problem::BuildProblem, snapshot::KeySnapshot, table::TableFull},
    store::{
        contract::StoreError,
        file::{KeyFile, parse_key_file},
        key_files::{KeyFiles, Location, Moment},
        read::{ReadError, ReadOptions, read},
        sql,
        state::{SeenRevocations, StateError, StateFolder},
    },
    yaml::{self, Limits, Place},
};

/// What a gateway would serve by if it started now.
#[derive(Debug)]
pub(super) struct Deployment {
    /// The path of the config.
    pub(super) path: PathBuf,
    pub(super) config: Config,
    pub(super) keys: KeySnapshot,
    /// The files that the keys came from.
    pub(super) key_files: Vec<Arc<KeyFile>>,
    /// What gateways saw revoked, as the `state:` folder keeps it; `keys` refuse it already.
    pub(super) seen: Result<SeenRevocations, StateError>,
}

/// A deployment, or why there is none.
#[derive(Debug)]
pub(super) struct Reading {
    /// The deployment; `None` if there are problems.
    pub(super) deployment: Option<Deployment>,
    /// All that is wrong.
    pub(super) problems: Vec<Finding>,
    /// All that is permitted and probably not meant.
    pub(super) warnings: Vec<Finding>,
}

impl Reading {
    /// Reads the config at `path` and the key files that it names.
    pub(super) fn of(path: &Path) -> Self {
        let loaded = config::load(path, &Surroundings::of_process("keygate"));
        let mut warnings: Vec<Finding> = loaded.warnings.into_iter().map(Finding::from).collect();
        let config = match loaded.result {
            Ok(config) => config,
            Err(problems) => {
                let mut problems: Vec<Finding> = problems.into_iter().map(Finding::from).collect();
                problems.extend(key_file_problems(path));
                return Self { deployment: None, problems, warnings };
            }
        };
        let policy = config.key_policy();
        let Read { keys, key_files, problems, warnings: doubts } = match &config.keys {
            KeySource::File(path) => {
                Read::files(Location::File(path.clone()), config.strict_permissions, &policy)
            }
            KeySource::Directory(path) => {
                Read::files(Location::Directory(path.clone()), config.strict_permissions, &policy)
            }
            KeySource::Database(source) => Read::database(source, path, &policy),
        };
        warnings.extend(doubts);
        let mut reading = Self { deployment: None, problems, warnings };
        if let Some(keys) = keys.filter(|_| reading.problems.is_empty()) {
            let seen = seen_revocations(config.state.as_deref());
            let revoked = seen.iter().flatten().map(|(digest, seen)| (*digest, seen.at));
            match keys.with_revoked(revoked) {
                Ok((keys, _)) => {
                    reading.deployment =
                        Some(Deployment { path: path.to_owned(), config, keys, key_files, seen });
                }
                Err(TableFull) => {
                    reading.problems.push(Finding::of_file(path, "more keys than a table can hold"));
                }
            }
        }
        reading
    }
}

fn seen_revocations(state: Option<&Path>) -> Result<SeenRevocations, StateError> {
    state.map_or_else(|| Ok(SeenRevocations::new()), |folder| StateFolder::to_read(folder).read_revocations())
}

/// What was read of the keys.
#[derive(Debug, Default)]
struct Read {
    keys: Option<KeySnapshot>,
    key_files: Vec<Arc<KeyFile>>,
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl Read {
    fn files(location: Location, strict_permissions: bool, policy: &KeyPolicy<'_>) -> Self {
        let files = look_at(location, strict_permissions);
        let mut read = Self::default();
        match files.resolve(policy) {
            Ok(resolution) => {
                let wrong = resolution.wrong.into_iter().flat_map(|source| source.problems);
                read.problems.extend(wrong.map(Finding::from));
                read.key_files = resolution.files;
                read.keys = resolution.snapshot;
            }
            Err(wrong) => read.problems.extend(wrong.into_iter().map(Finding::from)),
        }
        let exposures = files.exposures();
        read.warnings =
            exposures.map(|(path, exposure)| Finding::of_file(path, &exposure.to_string())).collect();
        if read.keys.is_none() && read.problems.is_empty() {
            read.problems.push(Finding::of_file(files.location().path(), "there is no key file; create one"));
        }
        read
    }

    /// Of a database that `config` names; its records that make no sense are told as doubts, since a gateway serves the
    /// others.
    fn database(source: &DatabaseSource, config: &Path, policy: &KeyPolicy<'_>) -> Self {
        let loading = async {
            let database = sql::open(&source.url, source.listen_url.as_ref()).await?;
            let mut loading = Loading::new(policy, 0);
            database.load(&mut loading).await?;
            let too_many = |_| StoreError::Failed(format!("{}: more keys than a table can hold", source.url));
            loading.finish().map_err(too_many)
        };
        let no_runtime = |error| Err(StoreError::Failed(format!("no runtime: {error}")));
        match in_runtime(loading).unwrap_or_else(no_runtime) {
            Ok((editor, problems)) => {
                let doubt =
                    |problem: &BuildProblem| Finding::of_file(config, &format!("{}: {problem}", source.url));
                Self {
                    keys: Some(editor.snapshot().clone()),
                    warnings: problems.first.iter().map(doubt).collect(),
                    ..Self::default()
                }
            }
            Err(error) => {
                Self { problems: vec![Finding::of_file(config, &error.to_string())], ..Self::default() }
            }
        }
    }
}

impl Deployment {
    /// The deployment at `path`, for commands that need one.
    ///
    /// # Errors
    /// Where something is wrong, which has been told.
    pub(super) fn read(path: &Path) -> Result<Self, Exit> {
        let reading = Reading::of(path);
        tell_all(&reading.problems, "");
        let deployment = reading.deployment.ok_or(Exit::WrongInput)?;
        if let Err(error) = &deployment.seen {
            tell_all(&[Finding::of_state(error)], "");
            return Err(Exit::WrongInput);
        }
        Ok(deployment)
    }

    /// Where in the config the route number `at` begins.
    pub(super) fn route_place(&self, at: usize) -> Option<Place> {
        let text = fs::read(&self.path).ok()?;
        let document = yaml::parse(&text, &config::LIMITS).ok()?;
        let route = document.root().get("routes")?.items().nth(at)?;
        Some(route.place())
    }
}

fn look_at(location: Location, strict_permissions: bool) -> KeyFiles {
    let mut files = KeyFiles::new(location, ReadOptions { strict_permissions, ..ReadOptions::default() });
    files.look_once(Moment { monotonic: monotonic(), wall: SystemClock.now() });
    files
}

/// What is wrong with the key files, each by itself, that a config names which is wrong elsewhere.
fn key_file_problems(config: &Path) -> Vec<Finding> {
    let Some(location) = location_in_wrong_config(config) else { return Vec::new() };
    let mut problems = Vec::new();
    for path in look_at(location, false).paths() {
        let found = match read(path, &ReadOptions::default()) {
            Ok(reading) => {
                parse_key_file(path, &reading.bytes, &Limits::default()).map_err(|wrong| wrong.problems)
            }
            Err(ReadError::Refused(problem)) => Err(vec![problem]),
            Err(ReadError::Unsettled) => continue,
        };
        problems.extend(found.err().into_iter().flatten().map(Finding::from));
    }
    problems
}

fn location_in_wrong_config(path: &Path) -> Option<Location> {
    let text = fs::read(path).ok()?;
    let document = yaml::parse(&text, &config::LIMITS).ok()?;
    let keys = document.root().get("keys")?;
    let named = |field: &str| {
        let text = keys.get(field)?.text().filter(|text| !text.is_empty() && !text.contains('$'))?;
        Some(path.parent().unwrap_or(Path::new("")).join(text))
    };
    named("file").map(Location::File).or_else(|| named("directory").map(Location::Directory))
}
