//! A key file: from its bytes to records that know their places, or to everything that is wrong with it. Pure.

use std::{fmt, path::Path, sync::Arc};

use jiff::Timestamp;

use super::raw::{RawKey, RawKeyFile, RawOrganization, RawPerson, RawProjects, Version, instant};
use crate::{
    keys::{
        digest::KeyDigest,
        problem::{BuildProblem, RecordField, Subject},
        record::{KeyId, KeyRecord, Organization, Person, PreviousSecret, Revocation},
    },
    policy::project::ProjectSet,
    yaml::{Document, Field, Limits, Node, Place, Problem, Shape, decode, parse},
};

/// One thing wrong with a file, or worth a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// The file.
    pub path: Arc<Path>,
    /// Where in it; `None`: the file as a whole.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What would be right; empty where the message says it.
    pub remedy: String,
}

impl FileProblem {
    pub(super) fn of_file(path: &Arc<Path>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: Arc::clone(path), place: None, message: message.into(), remedy: remedy.into() }
    }

    fn at(path: &Arc<Path>, problem: Problem) -> Self {
        let Problem { place, message, remedy } = problem;
        Self { path: Arc::clone(path), place: Some(place), message, remedy }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(place) = self.place {
            write!(f, "{place}:")?;
        }
        write!(f, " {}", self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

impl std::error::Error for FileProblem {}

/// A key file that is right in itself; what its records say about those of other files is checked with them.
#[derive(Debug)]
pub struct KeyFile {
    /// Where it was read.
    pub path: Arc<Path>,
    /// Its organizations.
    pub organizations: Vec<Organization>,
    /// Its people.
    pub people: Vec<Person>,
    /// Its keys.
    pub keys: Vec<KeyRecord>,
    pub(super) places: Places,
}

/// Where the records stand, each vector parallel to that of the records.
#[derive(Debug, Default)]
pub(super) struct Places {
    organizations: Vec<RecordPlaces>,
    people: Vec<RecordPlaces>,
    keys: Vec<RecordPlaces>,
}

/// Where the fields of one record stand that other records may contradict.
#[derive(Debug, Default)]
struct RecordPlaces {
    record: Place,
    id: Place,
    digest: Place,
    previous_digest: Place,
    owner: Place,
    organization: Place,
    not_before: Place,
    addresses: Place,
    plan: Place,
    scopes: ListPlaces,
    projects: ListPlaces,
}

/// A list and its elements.
#[derive(Debug, Default)]
struct ListPlaces {
    list: Place,
    elements: Box<[Place]>,
}

impl KeyFile {
    /// The file without its keys: what is left of one that was removed while keys of others still need its people.
    pub(super) fn without_keys(&self) -> Option<Self> {
        if self.people.is_empty() && self.organizations.is_empty() {
            return None;
        }
        Some(Self {
            path: Arc::clone(&self.path),
            organizations: self.organizations.clone(),
            people: self.people.clone(),
            keys: Vec::new(),
            places: Places::default(),
        })
    }

    /// Where the key at `at` stands.
    pub fn key_place(&self, at: usize) -> Option<Place> {
        Some(self.places.keys.get(at)?.record)
    }

    /// Where `problem` is, whose subject is counted within this file.
    pub(super) fn place_of(&self, problem: &BuildProblem) -> Option<Place> {
        let (records, at) = match problem.subject {
            Subject::Key(at, _) => (&self.places.keys, at),
            Subject::Person(at, _) => (&self.places.people, at),
            Subject::Organization(at, _) => (&self.places.organizations, at),
            Subject::AllKeys => return None,
        };
        Some(records.get(at)?.of(problem.field, problem.element))
    }

    /// Where the id of the record at `at` stands, of the kind of `subject`.
    pub(super) fn id_place(&self, subject: &Subject, at: usize) -> Option<Place> {
        let records = match subject {
            Subject::Key(..) => &self.places.keys,
            Subject::Person(..) => &self.places.people,
            Subject::Organization(..) => &self.places.organizations,
            Subject::AllKeys => return None,
        };
        Some(records.get(at)?.id)
    }

    /// The digest in `field` of the key at `at`.
    pub(super) fn digest_of(&self, at: usize, field: RecordField) -> Option<&KeyDigest> {
        let key = self.keys.get(at)?;
        match field {
            RecordField::PreviousDigest => key.previous.as_ref().map(|previous| &previous.digest),
            _ => Some(&key.digest),
        }
    }

    /// Where the digest `digest` of the key at `at` stands.
    pub(super) fn digest_place(&self, at: usize, digest: &KeyDigest) -> Option<Place> {
        let is_current = self.keys.get(at)?.digest == *digest;
        let field = if is_current { RecordField::Digest } else { RecordField::PreviousDigest };
        Some(self.places.keys.get(at)?.of(field, None))
    }
}

impl RecordPlaces {
    /// The place of a field; where it is absent, of the record.
    fn of(&self, field: RecordField, element: Option<usize>) -> Place {
        let place = match field {
            RecordField::Id => self.id,
            RecordField::Digest => self.digest,
            RecordField::PreviousDigest => self.previous_digest,
            RecordField::Owner => self.owner,
            RecordField::Organization => self.organization,
            RecordField::NotBefore => self.not_before,
            RecordField::Addresses => self.addresses,
            RecordField::Plan => self.plan,
            RecordField::Scopes => self.scopes.of(element),
            RecordField::Projects => self.projects.of(element),
        };
        if place == Place::default() { self.record } else { place }
    }
}

impl ListPlaces {
    fn of(&self, element: Option<usize>) -> Place {
        element.and_then(|at| self.elements.get(at).copied()).unwrap_or(self.list)
    }
}

/// A revocation that a file marks, whatever else is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedRevocation {
    /// The digest that may authenticate no more.
    pub digest: KeyDigest,
    /// Since when.
    pub at: Timestamp,
    /// The key, if its id can be read.
    pub key_id: Option<KeyId>,
}

/// A file that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongFile {
    /// Everything that is wrong, in the order of places; at least one.
    pub problems: Vec<FileProblem>,
    /// The entries that it marks revoked nonetheless.
    pub revocations: Vec<MarkedRevocation>,
}

impl WrongFile {
    pub(super) fn of(problem: FileProblem) -> Self {
        Self { problems: vec![problem], revocations: Vec::new() }
    }
}

/// A file that is right in itself, and whether a cut anywhere in it would show.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) file: KeyFile,
    pub(super) is_cut_proof: bool,
}

/// The key file that `text` holds. Cost: about 5 µs a key.
///
/// # Errors
/// [`WrongFile`] with all that is wrong with the file itself.
pub fn parse_key_file(path: &Path, text: &[u8], limits: &Limits) -> Result<KeyFile, WrongFile> {
    parse_counted(&path.into(), text, limits).map(|parsed| parsed.file)
}

pub(super) fn parse_counted(path: &Arc<Path>, text: &[u8], limits: &Limits) -> Result<Parsed, WrongFile> {
    let wrong = |problems: Vec<Problem>, revocations| WrongFile {
        problems: problems.into_iter().map(|problem| FileProblem::at(path, problem)).collect(),
        revocations,
    };
    let document = parse(text, limits).map_err(|problems| wrong(problems, Vec::new()))?;
    let read = decode::<RawKeyFile>(&document).and_then(|raw| {
        let is_cut_proof = raw.count.field().is_some() && ends_whole(&document, text);
        let file = Resolver::new(path, text).resolve(raw)?;
        Ok(Parsed { file, is_cut_proof })
    });
    read.map_err(|problems| wrong(problems, marked_revocations(&document)))
}

/// Whether the last thing in the file is the last field of the last key and one that every key must have, so that a
/// file with `count:` above which is cut short anywhere lacks a key, a field, or the end of its last line.
fn ends_whole(document: &Document<'_>, text: &[u8]) -> bool {
    let entries: Vec<_> = document.root().entries().collect();
    let count_at = entries.iter().position(|(key, _)| key.text() == Some("count"));
    let Some((last, keys)) = entries.last().filter(|(key, _)| key.text() == Some("keys")) else {
        return false;
    };
    if count_at.is_none_or(|at| at + 1 >= entries.len()) || !text.ends_with(b"\n") || last.span().is_empty() {
        return false;
    }
    match (keys.shape(), keys.items().last()) {
        (Shape::Sequence { flow: true }, _) => true,
        (_, Some(key)) => match (key.shape(), key.entries().last()) {
            (Shape::Mapping { flow: true }, _) => true,
            (_, Some((field, _))) => matches!(field.text(), Some("expires_at" | "hash")),
            (_, None) => false,
        },
        (_, None) => false,
    }
}

/// The entries of a wrong file that are marked revoked: `revoked_at` with a date, beside a digest.
fn marked_revocations(document: &Document<'_>) -> Vec<MarkedRevocation> {
    let Some(keys) = document.root().get("keys") else { return Vec::new() };
    keys.items().flat_map(revocations_of).collect()
}

fn revocations_of(key: Node<'_>) -> Vec<MarkedRevocation> {
    let text = |field| key.get(field).and_then(Node::text);
    let Some(at) = text("revoked_at").and_then(instant) else { return Vec::new() };
    let key_id = text("id").and_then(|id| KeyId::parse(id).ok());
    ["hash", "previous_hash"]
        .into_iter()
        .filter_map(|field| KeyDigest::parse(text(field)?).ok())
        .map(|digest| MarkedRevocation { digest, at, key_id })
        .collect()
}

/// From the raw types to records: what serde cannot say of one field alone.
struct Resolver<'f> {
    path: &'f Arc<Path>,
    text: &'f [u8],
    problems: Vec<Problem>,
    places: Places,
}

impl<'f> Resolver<'f> {
    fn new(path: &'f Arc<Path>, text: &'f [u8]) -> Self {
        Self { path, text, problems: Vec::new(), places: Places::default() }
    }

    fn resolve(mut self, raw: RawKeyFile) -> Result<KeyFile, Vec<Problem>> {
        let RawKeyFile { version, count, organizations, people, keys } = raw;
        let Version = version.into_value();
        if let Some(count) = count.field() {
            self.check_count(count, &keys);
        }
        let organizations = organizations.into_value().unwrap_or_default();
        let organizations = organizations.into_iter().map(|raw| self.organization(raw)).collect();
        let people = people.into_value().unwrap_or_default();
        let people = people.into_iter().map(|raw| self.person(raw)).collect();
        let keys = keys.into_value().into_iter().map(|raw| self.key(raw)).collect();
        if !self.problems.is_empty() {
            self.problems.sort_by_key(|problem| problem.place);
            return Err(self.problems);
        }
        Ok(KeyFile { path: Arc::clone(self.path), organizations, people, keys, places: self.places })
    }

    fn check_count(&mut self, count: &Field<usize>, keys: &Field<Vec<Field<RawKey>>>) {
        let (expected, found) = (*count.value(), keys.len());
        if expected != found {
            let remedy = format!("if the file was not cut short, write `count: {found}`, or remove the line");
            self.problem(count.place(), format!("count is {expected}, but there are {found} keys"), remedy);
        } else if count.place() > keys.place() {
            let remedy = "move it up, so that a file that is cut short always shows it";
            self.problem(count.place(), "`count` stands below `keys`", remedy);
        } else if !self.text.ends_with(b"\n") {
            let remedy = "if it was not cut short, end it with a line break";
            self.problem(count.place(), "a file with `count` ends within a line", remedy);
        }
    }

    fn organization(&mut self, raw: Field<RawOrganization>) -> Organization {
        let record = raw.place();
        let RawOrganization { id, name, projects } = raw.into_value();
        self.places.organizations.push(RecordPlaces {
            record,
            id: id.place(),
            projects: projects.field().map(list_places).unwrap_or_default(),
            ..RecordPlaces::default()
        });
        Organization {
            id: id.into_value().0,
            name: name.into_value().map(|name| name.0),
            projects: projects.into_value().map(|ids| ids.into_iter().map(Field::into_value).collect()),
        }
    }

    fn person(&mut self, raw: Field<RawPerson>) -> Person {
        let record = raw.place();
        let RawPerson { id, email, name, organization, role, projects, disabled } = raw.into_value();
        self.places.people.push(RecordPlaces {
            record,
            id: id.place(),
            organization: organization.place().unwrap_or_default(),
            projects: projects.field().map(project_places).unwrap_or_default(),
            ..RecordPlaces::default()
        });
        Person {
            id: id.into_value().0,
            email: email.into_value().0,
            name: name.into_value().map(|name| name.0),
            organization: organization.into_value().map(|id| id.0),
            role: role.into_value().into(),
            projects: projects.into_value().map_or(ProjectSet::All, project_set),
            disabled: disabled.into_value().unwrap_or(false),
        }
    }

    fn key(&mut self, raw: Field<RawKey>) -> KeyRecord {
        self.places.keys.push(RecordPlaces {
            record: raw.place(),
            id: raw.id.place(),
            digest: raw.hash.place(),
            previous_digest: raw.previous_hash.place().unwrap_or_default(),
            owner: raw.owner.place().unwrap_or_default(),
            organization: raw.organization.place().unwrap_or_default(),
            not_before: raw.not_before.place().unwrap_or_default(),
            addresses: raw.addresses.place().unwrap_or_default(),
            plan: raw.plan.place().unwrap_or_default(),
            scopes: list_places(&raw.scopes),
            projects: project_places(&raw.projects),
        });
        let raw = raw.into_value();
        self.check_pairs(&raw);
        let previous = raw.previous_hash.into_value().zip(raw.previous_until.into_value());
        let (by, reason) = (raw.revoked_by.into_value(), raw.revoked_reason.into_value());
        KeyRecord {
            id: raw.id.into_value().0,
            name: raw.name.into_value().map(|name| name.0),
            labels: raw.labels.into_value().map(|labels| labels.0.into_iter().collect()).unwrap_or_default(),
            organization: raw.organization.into_value().map(|id| id.0),
            owner: raw.owner.into_value().map(|id| id.0),
            digest: raw.hash.into_value().0,
            previous: previous.map(|(digest, until)| PreviousSecret { digest: digest.0, until: until.0 }),
            prefix: raw.prefix.into_value().map(|prefix| prefix.0),
            scopes: raw.scopes.into_value().into_iter().map(Field::into_value).collect(),
            projects: project_set(raw.projects.into_value()),
            created_at: raw.created_at.into_value().map(|at| at.0),
            not_before: raw.not_before.into_value().map(|at| at.0),
            expires_at: raw.expires_at.into_value().0.0,
            addresses: raw
                .addresses
                .into_value()
                .map(|networks| networks.into_iter().map(|network| network.into_value().0).collect())
                .unwrap_or_default(),
            plan: raw.plan.into_value().map(|plan| plan.0),
            revoked: raw.revoked_at.into_value().map(|at| Revocation {
                at: at.0,
                by: by.map(|by| by.0),
                reason: reason.map(|reason| reason.0),
            }),
        }
    }

    /// Fields that mean nothing without another.
    fn check_pairs(&mut self, raw: &RawKey) {
        let revoked = raw.revoked_at.field().is_some();
        for (name, place) in
            [("revoked_by", raw.revoked_by.place()), ("revoked_reason", raw.revoked_reason.place())]
        {
            if let Some(place) = place.filter(|_| !revoked) {
                let message = format!("`{name}` without `revoked_at`: the key is not revoked");
                self.problem(place, message, "add `revoked_at: …`, or remove the line");
            }
        }
        match (raw.previous_hash.place(), raw.previous_until.place()) {
            (Some(place), None) => {
                let remedy = "add `previous_until: …`, or remove the line";
                self.problem(place, "`previous_hash` without `previous_until`", remedy);
            }
            (None, Some(place)) => {
                let remedy = "add `previous_hash: …`, or remove the line";
                self.problem(place, "`previous_until` without `previous_hash`", remedy);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn problem(&mut self, place: Place, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::new(place, message, remedy));
    }
}

fn list_places(list: &Field<Vec<Field<String>>>) -> ListPlaces {
    ListPlaces { list: list.place(), elements: list.iter().map(Field::place).collect() }
}

/// The places of the ids in the order of the set, which sorts them.
fn project_places(projects: &Field<RawProjects>) -> ListPlaces {
    let elements = match projects.value() {
        RawProjects::All => Box::default(),
        RawProjects::Only(ids) => {
            let mut sorted: Vec<_> = ids.iter().collect();
            sorted.sort_by(|a, b| a.value().cmp(b.value()));
            sorted.dedup_by(|later, earlier| later.value() == earlier.value());
            sorted.into_iter().map(Field::place).collect()
        }
    };
    ListPlaces { list: projects.place(), elements }
}

fn project_set(projects: RawProjects) -> ProjectSet {
    match projects {
        RawProjects::All => ProjectSet::All,
        RawProjects::Only(ids) => ProjectSet::only(ids.into_iter().map(Field::into_value)),
    }
}
