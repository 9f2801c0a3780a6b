//! Changes of key files, one after the other: lock, read, check, edit, check what it makes, replace, audit. The use
//! cases in `key_admin`, `people_admin` and `project_admin` say what is to be changed.

use std::{
    collections::HashMap,
    fmt, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use similar::TextDiff;

use super::operator::Operator;
use crate::{
    keys::{
        build::KeyPolicy,
        caps::RoleCaps,
        problem::{BuildProblem, Fault, Subject},
        record::{KeyRecord, Organization, Person, PersonId},
        secret::Brand,
        snapshot::KeySnapshot,
    },
    policy::scope::{ScopeDefinition, ScopeSet, Scopes},
    store::{
        editable::{EditableFile, EditableFiles},
        file::{FileProblem, KeyFile, parse_key_file},
        key_files::Location,
        replace::ReplaceError,
    },
    telemetry::audit::{AuditEvent, AuditLog},
    yaml::{
        Limits, Node,
        edit::{EditError, Editor, NewValue, Step},
    },
};

/// The file of the `state:` folder that tells what was changed.
pub const AUDIT_LOG: &str = "audit.log";

/// The file of a `directory:` that new records go to, where it has not just one file.
const DEFAULT_FILE: &str = "keys.yaml";

/// What a config says about records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The scopes there are.
    pub scopes: Scopes,
    /// What a role allows at most.
    pub role_caps: RoleCaps,
    /// The brand of secrets made here.
    pub brand: Brand,
}

impl Rules {
    /// What is wrong with the records of `files` and `new` keys together.
    fn problems<'f>(
        &self,
        files: impl Iterator<Item = &'f KeyFile>,
        new: &[&KeyRecord],
    ) -> Vec<BuildProblem> {
        let policy = KeyPolicy { scopes: &self.scopes, role_caps: &self.role_caps, brand: &self.brand };
        let files: Vec<&KeyFile> = files.collect();
        let keys: Vec<_> = files.iter().flat_map(|file| &file.keys).chain(new.iter().copied()).collect();
        let people: Vec<_> = files.iter().flat_map(|file| &file.people).collect();
        let organizations: Vec<_> = files.iter().flat_map(|file| &file.organizations).collect();
        KeySnapshot::build(&keys, &people, &organizations, &policy).err().unwrap_or_default()
    }

    /// The closure of these scopes; names that are none count for nothing.
    pub fn closure(&self, names: &[String]) -> ScopeSet {
        names.iter().filter_map(|name| self.scopes.get(name)).fold(ScopeSet::EMPTY, ScopeSet::union)
    }

    /// The rules where no config says any: the default scopes, and those that `files` grant already, each for itself.
    fn of_files(files: &[EditableFile]) -> Self {
        let defaults = [("read", None), ("write", Some("read")), ("admin", Some("write"))];
        let define = |(name, implied): (&str, Option<&str>)| ScopeDefinition {
            name: name.to_owned(),
            implies: implied.map(str::to_owned).into_iter().collect(),
        };
        let mut definitions: Vec<_> = defaults.into_iter().map(define).collect();
        let keys = files.iter().filter_map(|file| file.records.as_ref().ok()).flat_map(|file| &file.keys);
        for name in keys.flat_map(|key| &key.scopes) {
            if !definitions.iter().any(|known| known.name == *name) {
                definitions.push(define((name, None)));
            }
        }
        let scopes = Scopes::build(&definitions).unwrap_or_default();
        let role_caps = RoleCaps::defaults(&scopes).unwrap_or(RoleCaps::new(|_| scopes.all()));
        Self { scopes, role_caps, brand: Brand::default() }
    }
}

/// Where records are kept, and who changes them by which rules.
#[derive(Debug, Clone)]
pub struct Administration {
    /// Where the key files are.
    pub location: Location,
    /// What the config says; `None`: there is none.
    pub rules: Option<Rules>,
    /// The `state:` folder; without it, what was changed is told on standard error.
    pub state: Option<PathBuf>,
    /// The file of a `directory:` that new records go to.
    pub new_records: Option<PathBuf>,
    /// Who.
    pub operator: Operator,
}

/// Why nothing was changed or found.
#[derive(Debug)]
pub enum AdminError {
    /// What was asked for is wrong, or would make a wrong file: everything that is wrong with it.
    Refused(Vec<String>),
    /// The key files are wrong as they are.
    WrongFiles(Vec<FileProblem>),
    /// The world is not as it should be.
    Failed(String),
}

impl AdminError {
    /// One reason to refuse.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(vec![reason.into()])
    }
}

impl From<FileProblem> for AdminError {
    fn from(problem: FileProblem) -> Self {
        Self::WrongFiles(vec![problem])
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = match self {
            Self::Refused(reasons) => reasons.clone(),
            Self::WrongFiles(problems) => problems.iter().map(ToString::to_string).collect(),
            Self::Failed(what) => vec![what.clone()],
        };
        formatter.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for AdminError {}

/// What became of a change.
#[derive(Debug)]
#[must_use]
pub enum Outcome {
    /// There was nothing to change.
    Unchanged,
    /// It is on disk, in this file.
    Written(Arc<Path>),
    /// It is on disk, but the audit log lacks it: why.
    Unaudited(Arc<Path>, io::Error),
    /// The file cannot be replaced where it is. Nothing was changed.
    ToCommit(Patch),
}

/// A change that somebody else has to make.
#[derive(Debug)]
pub struct Patch {
    /// The file.
    pub path: Arc<Path>,
    /// Why it cannot be replaced.
    pub why: String,
    /// The change as a unified diff.
    pub diff: String,
}

/// What the audit log is told of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What kind of record.
    pub record: &'static str,
    /// Its id.
    pub id: String,
    /// What of it.
    pub what: String,
}

impl Changed {
    /// The record `id` of this kind, of which `what` changed.
    pub fn new(record: &'static str, id: &str, what: &str) -> Self {
        Self { record, id: id.to_owned(), what: what.to_owned() }
    }
}

impl Administration {
    /// The records as they are now, to be shown.
    ///
    /// # Errors
    /// Files that cannot be read; those that are wrong are in [`Records::wrong`].
    pub fn read(&self) -> Result<Records<'_>, AdminError> {
        Ok(Records::new(self, EditableFiles::read(&self.location)?))
    }

    /// The records, which nobody else changes while they are held.
    ///
    /// # Errors
    /// As [`Administration::read`], and where the lock cannot be had.
    pub fn hold(&self) -> Result<Records<'_>, AdminError> {
        Ok(Records::new(self, EditableFiles::lock(&self.location)?))
    }

    /// The log in the `state:` folder; on standard error where there is none, as where the files of another machine's
    /// gateway are edited.
    fn audit_log(&self) -> io::Result<AuditLog> {
        let Some(state) = self.state.as_ref().filter(|state| state.is_dir()) else {
            return AuditLog::to_stderr();
        };
        let path = state.join(AUDIT_LOG);
        let is_new = !path.exists();
        let log = AuditLog::to_file(&path)?;
        if is_new {
            // What root begins here, the gateway goes on with.
            let owner = state.metadata()?;
            std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(log)
    }
}

/// The records of all key files.
#[derive(Debug)]
pub struct Records<'a> {
    administration: &'a Administration,
    files: EditableFiles,
    /// By which they are judged.
    pub rules: Rules,
    /// Where each person stands: in which file, and there in which place.
    person_at: HashMap<PersonId, (usize, usize)>,
}

impl<'a> Records<'a> {
    fn new(administration: &'a Administration, files: EditableFiles) -> Self {
        let rules = administration.rules.clone().unwrap_or_else(|| Rules::of_files(files.files()));
        let person_at = places_of_people(files.files());
        Self { administration, files, rules, person_at }
    }

    /// Who works with them.
    pub fn operator(&self) -> &'a Operator {
        &self.administration.operator
    }

    /// All that is wrong with files.
    pub fn wrong(&self) -> Vec<FileProblem> {
        let wrong = self.files.files().iter().filter_map(|file| file.records.as_ref().err());
        wrong.flat_map(|wrong| wrong.problems.iter().cloned()).collect()
    }

    /// The keys of the files that are right, in the order of the files.
    pub fn keys(&self) -> impl Iterator<Item = &KeyRecord> {
        self.right().flat_map(|file| &file.keys)
    }

    /// The people of the files that are right.
    pub fn people(&self) -> impl Iterator<Item = &Person> {
        self.right().flat_map(|file| &file.people)
    }

    /// The organizations of the files that are right.
    pub fn organizations(&self) -> impl Iterator<Item = &Organization> {
        self.right().flat_map(|file| &file.organizations)
    }

    fn right(&self) -> impl Iterator<Item = &KeyFile> {
        self.files.files().iter().filter_map(|file| file.records.as_ref().ok())
    }

    /// The owner of `key`.
    pub fn owner(&self, key: &KeyRecord) -> Option<&Person> {
        let (file, at) = self.person_at.get(key.owner.as_ref()?)?;
        self.files.files().get(*file)?.records.as_ref().ok()?.people.get(*at)
    }

    /// The organization of a record that names this one or, if it names none, the only one.
    pub fn organization(&self, named: Option<&str>) -> Option<&Organization> {
        let mut all = self.organizations();
        match named {
            Some(id) => all.find(|organization| organization.id.as_str() == id),
            None => all.next().filter(|_| all.next().is_none()),
        }
    }

    /// The positions of the files with an item of `list` whose `id` is `id`; of wrong ones, as far as they are YAML.
    pub(super) fn files_with(&self, list: &str, id: &str) -> Vec<usize> {
        let holds = |file: &&EditableFile| {
            let records = match (&file.records, list) {
                (Ok(file), "keys") => return file.keys.iter().any(|key| key.id.as_str() == id),
                (Ok(file), "people") => return file.people.iter().any(|person| person.id.as_str() == id),
                (Ok(_) | Err(_), _) => crate::yaml::parse(&file.text, &Limits::default()),
            };
            let Ok(document) = records else { return false };
            document.root().get(list).is_some_and(|list| items_called(list, id).next().is_some())
        };
        (0..).zip(self.files.files()).filter(|(_, file)| holds(file)).map(|(at, _)| at).collect()
    }

    /// The position of the file that a new record goes to.
    pub(super) fn file_for_new(&mut self) -> Result<usize, AdminError> {
        let path = match (self.files.folder(), &self.administration.new_records, self.files.files()) {
            (None, _, _) | (Some(_), None, [_]) => return Ok(0),
            (Some(folder), Some(name), _) => folder.join(name),
            (Some(folder), None, _) => folder.join(DEFAULT_FILE),
        };
        Ok(self.files.file_at(&path)?)
    }

    /// Begins to change the file at position `at`.
    ///
    /// # Errors
    /// Where any file is wrong as it is, or their records together.
    pub(super) fn edit(self, at: usize) -> Result<Edit<'a>, AdminError> {
        let wrong = self.wrong();
        if !wrong.is_empty() {
            return Err(AdminError::WrongFiles(wrong));
        }
        let mut before = self.build(None);
        if !before.is_empty() {
            before.insert(0, "the key files are wrong as they are; mend them first:".to_owned());
            return Err(AdminError::Refused(before));
        }
        self.edit_wrong(at)
    }

    /// As [`Records::edit`], also where something is wrong as it is: for what cannot wait.
    pub(super) fn edit_wrong(self, at: usize) -> Result<Edit<'a>, AdminError> {
        let Some(file) = self.files.files().get(at) else {
            return Err(AdminError::Failed("there is no such file".to_owned()));
        };
        let editor = Editor::new(&file.text, &Limits::default()).map_err(|error| not_edited(&error))?;
        let was_right = self.wrong().is_empty() && self.build(None).is_empty();
        Ok(Edit { records: self, at, editor, was_right })
    }

    /// What would be wrong with all records together, if `instead` took the place of the file at its position.
    fn build(&self, instead: Option<(usize, &KeyFile)>) -> Vec<String> {
        let files = (0..).zip(self.files.files()).filter_map(|(at, file)| match instead {
            Some((place, other)) if place == at => Some(other),
            Some(_) | None => file.records.as_ref().ok(),
        });
        self.rules.problems(files, &[]).iter().map(ToString::to_string).collect()
    }

    /// What would be wrong if `new` keys, each named by where it is listed, came after all others.
    pub(super) fn problems_with(&self, new: &[(&str, &KeyRecord)]) -> Vec<String> {
        let before = self.keys().count();
        let keys: Vec<_> = new.iter().map(|(_, key)| *key).collect();
        let listed = |at: usize| new.get(at.checked_sub(before)?).map(|(listed, _)| *listed);
        let told = |problem: BuildProblem| {
            let Subject::Key(at, _) = problem.subject else { return problem.to_string() };
            let Some(subject) = listed(at) else { return problem.to_string() };
            match &problem.fault {
                Fault::DuplicateDigest { first, .. } if listed(*first).is_some() => {
                    format!("{subject}: it has the same secret as {}", listed(*first).unwrap_or_default())
                }
                Fault::DuplicateId { first } if listed(*first).is_some() => {
                    format!("{subject}: it has the same id as {}", listed(*first).unwrap_or_default())
                }
                fault => format!("{subject}: {fault}"),
            }
        };
        self.rules.problems(self.right(), &keys).into_iter().map(told).collect()
    }
}

fn places_of_people(files: &[EditableFile]) -> HashMap<PersonId, (usize, usize)> {
    let people = |(file, editable): (usize, &EditableFile)| {
        let people = editable.records.as_ref().map_or(&[][..], |records| &records.people);
        people.iter().enumerate().map(|(at, person)| (person.id.clone(), (file, at))).collect::<Vec<_>>()
    };
    files.iter().enumerate().flat_map(people).collect()
}

/// The items of `list` whose `id` is `id`, with their positions.
pub(super) fn items_called<'d>(list: Node<'d>, id: &str) -> impl Iterator<Item = (usize, Node<'d>)> {
    let is = move |item: &Node<'d>| item.get("id").and_then(Node::text) == Some(id);
    list.items().enumerate().filter(move |(_, item)| is(item))
}

/// A change of one key file that is being made.
#[derive(Debug)]
pub(super) struct Edit<'a> {
    pub(super) records: Records<'a>,
    at: usize,
    editor: Editor,
    was_right: bool,
}

impl Edit<'_> {
    /// The root of the document as edited so far.
    pub(super) fn root(&self) -> Node<'_> {
        self.editor.document().root()
    }

    /// Whether nothing was wrong before.
    pub(super) fn was_right(&self) -> bool {
        self.was_right
    }

    /// Adds records at the end of `list`, and counts keys where the file does. The keys stay the last list: only so
    /// does their count show that a file is whole.
    pub(super) fn extend(&mut self, list: &str, records: Vec<NewValue>) -> Result<(), AdminError> {
        if list != "keys" && self.root().get(list).is_none() {
            self.set_before(&[Step::Key(list)], NewValue::List(Vec::new()), "keys")?;
        }
        self.editor.extend(&[Step::Key(list)], records).map_err(|error| not_edited(&error))?;
        let root = self.editor.document().root();
        let (Some(_), Some(keys)) = (root.get("count"), root.get("keys")) else { return Ok(()) };
        let count = i64::try_from(keys.items().count()).unwrap_or(i64::MAX);
        self.editor.set(&[Step::Key("count")], NewValue::Int(count)).map_err(|error| not_edited(&error))
    }

    /// Adds values at the end of a list inside a record.
    pub(super) fn extend_at(&mut self, path: &[Step<'_>], values: Vec<NewValue>) -> Result<(), AdminError> {
        self.editor.extend(path, values).map_err(|error| not_edited(&error))
    }

    /// Gives a field of a record a value.
    pub(super) fn set(&mut self, path: &[Step<'_>], value: NewValue) -> Result<(), AdminError> {
        self.editor.set(path, value).map_err(|error| not_edited(&error))
    }

    /// As [`Edit::set`], but a field that is absent is added before the field `next`.
    pub(super) fn set_before(
        &mut self,
        path: &[Step<'_>],
        value: NewValue,
        next: &str,
    ) -> Result<(), AdminError> {
        self.editor.set_before(path, value, Some(next)).map_err(|error| not_edited(&error))
    }

    /// Takes out a field or an item.
    pub(super) fn remove(&mut self, path: &[Step<'_>]) -> Result<(), AdminError> {
        self.editor.remove(path).map_err(|error| not_edited(&error))
    }

    /// Checks what the change makes, replaces the file, and tells the audit log.
    ///
    /// # Errors
    /// Where it would make a wrong file, or could not be written; then nothing was changed.
    pub(super) fn commit(
        mut self,
        command: &str,
        changes: &[Changed],
        now: Timestamp,
    ) -> Result<Outcome, AdminError> {
        let text = self.editor.into_text();
        let Some(file) = self.records.files.files().get(self.at) else { return Ok(Outcome::Unchanged) };
        let path = Arc::clone(&file.path);
        let is_new = !file.exists;
        let before = if is_new { Vec::new() } else { file.text.clone() };
        if before == text.as_bytes() {
            return Ok(Outcome::Unchanged);
        }
        if self.was_right {
            let after = parse_key_file(&path, text.as_bytes(), &Limits::default());
            let after = after.map_err(|wrong| AdminError::Refused(messages(&wrong.problems)))?;
            let problems = self.records.build(Some((self.at, &after)));
            if !problems.is_empty() {
                return Err(AdminError::Refused(problems));
            }
        }
        // Opened first: a log that cannot be had must not be found out after the change.
        let log = self.records.administration.audit_log();
        let log =
            log.map_err(|error| AdminError::Failed(format!("the audit log cannot be written: {error}")))?;
        match self.records.files.replace(self.at, text.as_bytes()) {
            Ok(()) => {}
            Err(ReplaceError::Unreplaceable(why)) => {
                let diff = unified_diff(&path, is_new, &before, &text);
                return Ok(Outcome::ToCommit(Patch { path, why, diff }));
            }
            Err(error @ (ReplaceError::Changed | ReplaceError::Failed(_) | ReplaceError::Unproven)) => {
                return Err(AdminError::Failed(format!("{}: {error}", path.display())));
            }
        }
        let file = path.display().to_string();
        let actor = self.records.operator().actor();
        let events: Vec<_> = changes
            .iter()
            .map(|Changed { record, id, what }| AuditEvent::Changed {
                actor,
                command,
                file: &file,
                record,
                id,
                what,
            })
            .collect();
        if let Err(error) = log.record_all(&events, now) {
            return Ok(Outcome::Unaudited(path, error));
        }
        Ok(Outcome::Written(path))
    }
}

fn not_edited(error: &EditError) -> AdminError {
    AdminError::refused(error.to_string())
}

/// What is wrong with a text that nobody has seen: without places.
fn messages(problems: &[FileProblem]) -> Vec<String> {
    problems.iter().map(|problem| problem.message.clone()).collect()
}

fn unified_diff(path: &Path, is_new: bool, before: &[u8], after: &str) -> String {
    let before = String::from_utf8_lossy(before);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let old = if is_new { "/dev/null".to_owned() } else { format!("a/{name}") };
    let new = format!("b/{name}");
    let diff = TextDiff::from_lines(&*before, after);
    diff.unified_diff().context_radius(3).header(&old, &new).to_string()
}
