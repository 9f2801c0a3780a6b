//! One look at key files, or one change of one of them: lock, read, edit, check what it makes, replace, audit.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use super::{
    FileStoreOptions, audit_log,
    difference::{self, FieldChange, ProjectsChange, patch},
    done,
    list_edit::{extend, items_called},
    records::{digests, find_person, recall, right, sorted, told, wrong_files},
    rules_of,
    served::aside,
};
use crate::{
    clock::{Clock as _, SystemClock},
    keys::{
        digest::KeyDigest,
        record::{KeyId, KeyRecord, Organization, OrganizationId, Person, PersonId, Revocation},
        rules::KeyRules,
        snapshot::KeySnapshot,
    },
    store::{
        contract::{
            Access, AuditRecord, Committed, KeyQuery, KeyTally, OwnedKey, PersonQuery, Remembered,
            RevokedBefore, StoreError, Submission, Taken, Task, Transaction,
        },
        editable::{EditableFile, EditableFiles},
        file::{FileProblem, KeyFile, parse_key_file},
        raw::instant,
        record_yaml,
        replace::ReplaceError,
        scan::Scan,
        state::StateFolder,
    },
    yaml::{
        Limits, Node,
        edit::{EditError, Editor, NewValue, Step},
    },
};

/// The file of a `directory:` that new records go to, where it has not just one file.
const DEFAULT_FILE: &str = "keys.yaml";

/// The field that ends a key. It must be there, so that a file with `count:` shows where it was cut: what a key may
/// have as well stands before it.
const LAST_FIELD: &str = "expires_at";

/// See the module.
#[derive(Debug)]
pub(super) struct FileTransaction {
    options: Arc<FileStoreOptions>,
    access: Access,
    files: EditableFiles,
    rules: KeyRules,
    /// What was wrong with the files as they were found; of a look, only with each of them for itself.
    wrong: Vec<FileProblem>,
    /// The records of the files that are right, as changed so far, each list sorted by id.
    organizations: Vec<Organization>,
    people: Vec<Person>,
    keys: Vec<KeyRecord>,
    /// Those that no file holds yet.
    new: NewRecords,
    /// Keys that only the `state:` folder says are revoked.
    recalled: HashSet<KeyId>,
    edit: Option<FileEdit>,
}

/// Records that are added at the end of their lists, all at once.
#[derive(Debug, Default)]
struct NewRecords {
    organizations: Vec<OrganizationId>,
    people: Vec<PersonId>,
    keys: Vec<KeyId>,
}

/// One file under edit.
#[derive(Debug)]
struct FileEdit {
    at: usize,
    editor: Editor,
}

impl FileTransaction {
    /// Reads the files; to change them, once nobody else does.
    pub(super) fn begin(options: Arc<FileStoreOptions>, access: Access) -> Result<Self, StoreError> {
        let files = match access {
            Access::Write if options.replaces => EditableFiles::lock(&options.location)?,
            Access::Read | Access::Write => EditableFiles::read(&options.location)?,
        };
        let rules = options.rules.clone().unwrap_or_else(|| rules_of(&files));
        let mut transaction = Self {
            access,
            wrong: wrong_files(&files),
            organizations: sorted(right(&files).flat_map(|file| &file.organizations), |one| &one.id),
            people: sorted(right(&files).flat_map(|file| &file.people), |one| &one.id),
            keys: sorted(right(&files).flat_map(|file| &file.keys), |one| &one.id),
            new: NewRecords::default(),
            recalled: HashSet::new(),
            edit: None,
            options,
            files,
            rules,
        };
        if access == Access::Write && transaction.wrong.is_empty() {
            let path = Arc::from(transaction.options.location.path());
            let together = transaction.build(None);
            transaction.wrong =
                together.into_iter().map(|problem| FileProblem::of_file(&path, problem, "")).collect();
        }
        let Self { options, keys, wrong, .. } = &mut transaction;
        transaction.recalled = recall(options.state.as_deref(), keys, wrong);
        Ok(transaction)
    }

    /// From now on these keys are as they are in force: revoked, whatever their files say.
    pub(super) fn refuse<'r>(&mut self, revoked: impl IntoIterator<Item = &'r KeyRecord>) {
        for refused in revoked {
            if let Ok(at) = self.keys.binary_search_by_key(&refused.id, |key| key.id) {
                self.keys[at].revoked.clone_from(&refused.revoked);
            }
        }
    }

    /// What would be wrong with all records together, if `instead` took the place of the file at its position.
    fn build(&self, instead: Option<(usize, &KeyFile)>) -> Vec<String> {
        let files = (0..).zip(self.files.files()).filter_map(|(at, file)| match instead {
            Some((place, other)) if place == at => Some(other),
            Some(_) | None => file.records.as_ref().ok(),
        });
        let files: Vec<&KeyFile> = files.collect();
        let keys: Vec<_> = files.iter().flat_map(|file| &file.keys).collect();
        let people: Vec<_> = files.iter().flat_map(|file| &file.people).collect();
        let organizations: Vec<_> = files.iter().flat_map(|file| &file.organizations).collect();
        let built = KeySnapshot::build(&keys, &people, &organizations, &self.rules.policy());
        built.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    /// Where nothing has this id: it may stand in a file that is wrong.
    fn none<T>(&self) -> Result<Option<T>, StoreError> {
        if self.wrong.is_empty() { Ok(None) } else { Err(StoreError::WrongFiles(self.wrong.clone())) }
    }

    /// That records may be put: nothing was wrong before.
    fn may_put(&self) -> Result<(), StoreError> {
        self.may_change()?;
        self.none::<()>().map(|_| ())
    }

    fn may_change(&self) -> Result<(), StoreError> {
        match self.access {
            Access::Read => refused("this transaction is for looking only".to_owned()),
            Access::Write => Ok(()),
        }
    }

    /// The edit of the file at `at`. A change is of one file: two cannot be replaced at once.
    fn edit(&mut self, at: usize) -> Result<&mut Editor, StoreError> {
        if self.edit.is_none() {
            let file = self.files.files().get(at);
            let file = file.ok_or_else(|| StoreError::Failed("there is no such file".to_owned()))?;
            let editor = Editor::new(&file.text, &Limits::default()).map_err(not_edited)?;
            self.edit = Some(FileEdit { at, editor });
        }
        match &mut self.edit {
            Some(edit) if edit.at == at => Ok(&mut edit.editor),
            Some(_) | None => Err(StoreError::Refused(vec![
                "this changes more than one key file, which cannot be done at once; change one after the other"
                    .to_owned(),
            ])),
        }
    }

    /// The position of the first file with an item of `list` whose `id` is `id`; of wrong ones, as far as they are
    /// YAML.
    fn file_with(&self, list: &str, id: &str) -> Option<usize> {
        let holds = |file: &EditableFile| match (&file.records, list) {
            (Ok(file), "keys") => file.keys.iter().any(|key| key.id.as_str() == id),
            (Ok(file), "people") => file.people.iter().any(|person| person.id.as_str() == id),
            (Ok(_) | Err(_), _) => {
                let document = crate::yaml::parse(&file.text, &Limits::default());
                let holds = |list: Node<'_>| items_called(list, id).next().is_some();
                document.is_ok_and(|document| document.root().get(list).is_some_and(holds))
            }
        };
        self.files.files().iter().position(holds)
    }

    /// The position of the file that a new record goes to.
    fn file_for_new(&mut self) -> Result<usize, StoreError> {
        let path = match (self.files.folder(), &self.options.new_records, self.files.files()) {
            (None, _, _) | (Some(_), None, [_]) => return Ok(0),
            (Some(folder), Some(name), _) => folder.join(name),
            (Some(folder), None, _) => folder.join(DEFAULT_FILE),
        };
        Ok(self.files.file_at(&path)?)
    }

    /// Writes the fields that differ of the one item of `list` that is called `id`.
    fn write(&mut self, list: &'static str, id: &str, changes: Vec<FieldChange>) -> Result<(), StoreError> {
        let at = self.file_with(list, id).unwrap_or(0);
        let next = (list == "keys").then_some(LAST_FIELD);
        let editor = self.edit(at)?;
        for (name, value) in changes {
            let path = [Step::Key(list), Step::Where { key: "id", is: id }, Step::Key(name)];
            match value {
                Some(value) => editor.set_before(&path, value, next),
                None => editor.remove(&path),
            }
            .map_err(not_edited)?;
        }
        Ok(())
    }

    fn set_organization(&mut self, organization: &Organization) -> Result<(), StoreError> {
        self.may_put()?;
        let id = &organization.id;
        match self.organizations.binary_search_by(|known| known.id.cmp(id)) {
            Err(at) => {
                self.organizations.insert(at, organization.clone());
                self.new.organizations.push(id.clone());
            }
            Ok(at) => {
                let before = std::mem::replace(&mut self.organizations[at], organization.clone());
                if !self.new.organizations.contains(id) {
                    self.write_organization(&before, organization)?;
                }
            }
        }
        Ok(())
    }

    fn write_organization(&mut self, before: &Organization, after: &Organization) -> Result<(), StoreError> {
        let id = after.id.as_str();
        if before.name != after.name {
            let name = after.name.as_ref().map(|name| name.as_str().into());
            self.write("organizations", id, vec![("name", name)])?;
        }
        let path = [Step::Key("organizations"), Step::Where { key: "id", is: id }, Step::Key("projects")];
        match difference::of_projects(before, after) {
            ProjectsChange::None => Ok(()),
            ProjectsChange::Set(projects) => {
                self.write("organizations", id, vec![("projects", projects.map(NewValue::strings))])
            }
            ProjectsChange::Edit { removed, added } => {
                let at = self.file_with("organizations", id).unwrap_or(0);
                let editor = self.edit(at)?;
                let [list, item, projects] = path;
                for at in removed.into_iter().rev() {
                    editor.remove(&[list, item, projects, Step::Index(at)]).map_err(not_edited)?;
                }
                let added = added.iter().map(|id| id.as_str().into()).collect();
                editor.extend(&path, added).map_err(not_edited)
            }
        }
    }

    fn set_person(&mut self, person: &Person) -> Result<(), StoreError> {
        self.may_put()?;
        match self.people.binary_search_by(|known| known.id.cmp(&person.id)) {
            Err(at) => {
                self.people.insert(at, person.clone());
                self.new.people.push(person.id.clone());
            }
            Ok(at) => {
                let before = std::mem::replace(&mut self.people[at], person.clone());
                let changes = difference::of_people(&before, person);
                if !changes.is_empty() && !self.new.people.contains(&person.id) {
                    self.write("people", person.id.as_str(), changes)?;
                }
            }
        }
        Ok(())
    }

    fn add_keys(&mut self, keys: &[KeyRecord]) -> Result<(), StoreError> {
        self.may_put()?;
        let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
        let mut taken = self.find_taken(&ids, &keys.iter().flat_map(digests).collect::<Vec<_>>());
        let (mut seen, mut holders) = (HashSet::new(), HashMap::new());
        for key in keys {
            taken.ids.extend(Some(key.id).filter(|id| !seen.insert(*id)));
            for digest in digests(key) {
                taken.digests.extend(holders.insert(digest, key.id).map(|holder| (digest, holder)));
            }
        }
        if taken != Taken::default() {
            return Err(StoreError::Refused(told(&taken)));
        }
        self.new.keys.extend(ids);
        self.keys.extend_from_slice(keys);
        self.keys.sort_by_key(|key| key.id);
        Ok(())
    }

    fn set_key(&mut self, key: &KeyRecord) -> Result<(), StoreError> {
        self.may_put()?;
        let Ok(at) = self.keys.binary_search_by_key(&key.id, |known| known.id) else {
            return refused(format!("no key has the id {}", key.id));
        };
        if self.keys[at].revoked.is_some() {
            return refused(format!("the key {} is revoked, which is for good", key.id));
        }
        let mut taken = self.find_taken(&[], &digests(key).collect::<Vec<_>>());
        taken.digests.retain(|(_, owner)| *owner != key.id);
        let is_twice = key.previous.as_ref().is_some_and(|previous| previous.digest == key.digest);
        taken.digests.extend(is_twice.then_some((key.digest, key.id)));
        if taken != Taken::default() {
            return Err(StoreError::Refused(told(&taken)));
        }
        let before = std::mem::replace(&mut self.keys[at], key.clone());
        let changes = difference::of_keys(&before, key);
        if !changes.is_empty() && !self.new.keys.contains(&key.id) {
            self.write("keys", key.id.as_str(), changes)?;
        }
        Ok(())
    }

    /// Marks the key `id` revoked, also in a file that is wrong: a gateway takes revocations of wrong files too.
    fn set_revoked(
        &mut self,
        id: &KeyId,
        revocation: &Revocation,
    ) -> Result<Option<RevokedBefore>, StoreError> {
        self.may_change()?;
        let known = self.keys.binary_search_by_key(id, |key| key.id).ok();
        if !self.new.keys.contains(id) {
            let Some(file) = self.file_with("keys", id.as_str()) else { return self.none() };
            let since = known.and_then(|at| self.keys[at].revoked.as_ref()).map(|known| known.at);
            let revocation = Revocation { at: since.unwrap_or(revocation.at), ..revocation.clone() };
            let before = self.write_revocation(file, id, &revocation)?;
            if before.is_some() || self.recalled.remove(id) {
                return Ok(Some(RevokedBefore(before)));
            }
        }
        let Some(key) = known.and_then(|at| self.keys.get_mut(at)) else {
            return Ok(Some(RevokedBefore(None)));
        };
        let before = key.revoked.as_ref().map(|revoked| revoked.at);
        key.revoked.get_or_insert_with(|| revocation.clone());
        Ok(Some(RevokedBefore(before)))
    }

    /// Since when it was revoked already; then nothing is written.
    fn write_revocation(
        &mut self,
        file: usize,
        id: &KeyId,
        revocation: &Revocation,
    ) -> Result<Option<jiff::Timestamp>, StoreError> {
        let editor = self.edit(file)?;
        let keys = editor.document().root().get("keys");
        // A wrong file may hold the id twice: then both.
        let revoked_at = |key: Node<'_>| key.get("revoked_at").and_then(Node::text).and_then(instant);
        let entries: Vec<_> = keys
            .iter()
            .flat_map(|keys| items_called(*keys, id.as_str()))
            .map(|(at, key)| (at, revoked_at(key)))
            .collect();
        for (index, _) in entries.iter().filter(|(_, revoked)| revoked.is_none()) {
            for (name, value) in difference::revoked(revocation) {
                let Some(value) = value else { continue };
                let path = [Step::Key("keys"), Step::Index(*index), Step::Key(name)];
                editor.set_before(&path, value, Some(LAST_FIELD)).map_err(not_edited)?;
            }
        }
        let before = entries.iter().map(|(_, revoked)| *revoked).collect::<Option<Vec<_>>>();
        Ok(before.and_then(|before| before.first().copied()))
    }

    fn scan(&self) -> Scan<'_> {
        Scan::new(&self.organizations, &self.people, &self.keys)
    }

    fn find_taken(&self, ids: &[KeyId], wanted: &[KeyDigest]) -> Taken {
        let mut owners: HashMap<KeyDigest, KeyId> = HashMap::new();
        if !wanted.is_empty() {
            let all = self.keys.iter().flat_map(|key| digests(key).map(|digest| (digest, key.id)));
            owners.extend(all);
        }
        let is_known = |id: &&KeyId| self.keys.binary_search_by_key(id, |key| &key.id).is_ok();
        let owned = |digest: &KeyDigest| owners.get(digest).map(|owner| (*digest, *owner));
        Taken {
            ids: ids.iter().filter(is_known).copied().collect(),
            digests: wanted.iter().filter_map(owned).collect(),
        }
    }

    /// Adds what is new, and counts keys where the file does.
    fn add_new(&mut self) -> Result<(), StoreError> {
        let new = std::mem::take(&mut self.new);
        let mut lists = [("organizations", Vec::new()), ("people", Vec::new()), ("keys", Vec::new())];
        let organizations = self.organizations.iter().filter(|one| new.organizations.contains(&one.id));
        lists[0].1.extend(organizations.map(record_yaml::organization));
        let people = new.people.iter().filter_map(|id| find_person(&self.people, id));
        lists[1].1.extend(people.map(record_yaml::person));
        let at = |id: &KeyId| self.keys.binary_search_by_key(id, |key| key.id).ok();
        let keys = new.keys.iter().filter_map(at).filter_map(|at| self.keys.get(at));
        lists[2].1.extend(keys.map(record_yaml::key));
        if lists.iter().all(|(_, records)| records.is_empty()) {
            return Ok(());
        }
        let file = self.file_for_new()?;
        let editor = self.edit(file)?;
        for (list, records) in lists {
            extend(editor, list, records).map_err(not_edited)?;
        }
        Ok(())
    }

    /// Checks what the change makes, replaces the file, and tells the audit log.
    fn put_in_force(mut self, audit: &[AuditRecord]) -> Result<Committed, StoreError> {
        self.may_change()?;
        self.add_new()?;
        let Some(FileEdit { at, editor }) = self.edit.take() else { return Ok(Committed::Unchanged) };
        let text = editor.into_text();
        let Some(file) = self.files.files().get(at) else { return Ok(Committed::Unchanged) };
        let path = Arc::clone(&file.path);
        let is_new = !file.exists;
        let before = if is_new { Vec::new() } else { file.text.clone() };
        if before == text.as_bytes() {
            return Ok(Committed::Unchanged);
        }
        if self.wrong.is_empty() {
            let after = parse_key_file(&path, text.as_bytes(), &Limits::default());
            let after = after.map_err(|wrong| StoreError::Refused(messages(&wrong.problems)))?;
            let problems = self.build(Some((at, &after)));
            if !problems.is_empty() {
                return Err(StoreError::Refused(problems));
            }
        }
        if !self.options.replaces {
            let why = "this gateway serves its key files and does not change them".to_owned();
            return Ok(Committed::ToCommit(patch(&path, why, is_new, &before, &text)));
        }
        // Opened first: a log that cannot be had must not be found out after the change.
        let log = audit_log::open(self.options.state.as_deref());
        let log =
            log.map_err(|error| StoreError::Failed(format!("the audit log cannot be written: {error}")))?;
        match self.files.replace(at, text.as_bytes()) {
            Ok(()) => {}
            Err(ReplaceError::Unreplaceable(why)) => {
                return Ok(Committed::ToCommit(patch(&path, why, is_new, &before, &text)));
            }
            Err(error @ (ReplaceError::Changed | ReplaceError::Failed(_) | ReplaceError::Unproven)) => {
                return Err(StoreError::Failed(format!("{}: {error}", path.display())));
            }
        }
        let name = path.display().to_string();
        match audit_log::append(&log, &self.options.operator, &name, audit, SystemClock.now()) {
            Ok(()) => Ok(Committed::Written(path)),
            Err(error) => Ok(Committed::Unaudited(path, error)),
        }
    }
}

impl Transaction for FileTransaction {
    fn wrong_files(&self) -> Vec<FileProblem> {
        self.wrong.clone()
    }

    fn revocation_kept_in(&self, id: &KeyId) -> Option<Arc<Path>> {
        let folder = self.options.state.as_deref().filter(|_| self.recalled.contains(id))?;
        Some(StateFolder::to_read(folder).revocations_path().into())
    }

    fn organizations(&mut self) -> Task<'_, Vec<Organization>> {
        done(Ok(self.organizations.clone()))
    }

    fn person<'a>(&'a mut self, id: &'a PersonId) -> Task<'a, Option<Person>> {
        done(match find_person(&self.people, id) {
            Some(person) => Ok(Some(person.clone())),
            None => self.none(),
        })
    }

    fn people<'a>(&'a mut self, after: Option<&'a PersonId>, limit: usize) -> Task<'a, Vec<Person>> {
        let start = after.map_or(0, |after| self.people.partition_point(|person| person.id <= *after));
        done(Ok(self.people.iter().skip(start).take(limit).cloned().collect()))
    }

    fn key<'a>(&'a mut self, id: &'a KeyId) -> Task<'a, Option<KeyRecord>> {
        done(match self.keys.binary_search_by_key(id, |key| key.id) {
            Ok(at) => Ok(self.keys.get(at).cloned()),
            Err(_) => self.none(),
        })
    }

    fn keys<'a>(&'a mut self, after: Option<&'a KeyId>, limit: usize) -> Task<'a, Vec<KeyRecord>> {
        let start = after.map_or(0, |after| self.keys.partition_point(|key| key.id <= *after));
        done(Ok(self.keys.iter().skip(start).take(limit).cloned().collect()))
    }

    fn key_count(&mut self) -> Task<'_, u64> {
        done(Ok(self.keys.len() as u64))
    }

    fn keys_matching<'a>(&'a mut self, query: &'a KeyQuery) -> Task<'a, Vec<OwnedKey>> {
        done(Ok(self.scan().keys_matching(query)))
    }

    fn count_keys_matching<'a>(&'a mut self, query: &'a KeyQuery, at_most: u64) -> Task<'a, u64> {
        done(Ok(self.scan().count_keys_matching(query, at_most)))
    }

    fn key_tally<'a>(&'a mut self, query: &'a KeyQuery) -> Task<'a, KeyTally> {
        done(Ok(self.scan().key_tally(query)))
    }

    fn people_matching<'a>(&'a mut self, query: &'a PersonQuery) -> Task<'a, Vec<Person>> {
        done(Ok(self.scan().people_matching(query)))
    }

    fn key_counts<'a>(&'a mut self, owners: &'a [PersonId]) -> Task<'a, HashMap<PersonId, u64>> {
        done(Ok(self.scan().key_counts(owners)))
    }

    fn people_with_email<'a>(&'a mut self, email: &'a str) -> Task<'a, Vec<Person>> {
        done(Ok(self.scan().people_with_email(email)))
    }

    fn remembered<'a>(&'a mut self, _: &'a Submission) -> Task<'a, Option<Remembered>> {
        done(Ok(None))
    }

    fn remember<'a>(&'a mut self, _: &'a Submission, _: &'a str, _: &'a str) -> Task<'a, ()> {
        // What is only worked out is not made: there is nothing to find again.
        let is_worked_out = !self.options.replaces;
        done(if is_worked_out {
            Ok(())
        } else {
            refused("key files do not remember what was submitted".to_owned())
        })
    }

    fn taken<'a>(&'a mut self, ids: &'a [KeyId], digests: &'a [KeyDigest]) -> Task<'a, Taken> {
        done(Ok(self.find_taken(ids, digests)))
    }

    fn who_names<'a>(
        &'a mut self,
        organization: &'a OrganizationId,
        project: &'a str,
    ) -> Task<'a, Option<String>> {
        done(Ok(self.scan().who_names(organization, project)))
    }

    fn put_organization<'a>(&'a mut self, organization: &'a Organization) -> Task<'a, ()> {
        done(self.set_organization(organization))
    }

    fn put_person<'a>(&'a mut self, person: &'a Person) -> Task<'a, ()> {
        done(self.set_person(person))
    }

    fn insert_keys<'a>(&'a mut self, keys: &'a [KeyRecord]) -> Task<'a, ()> {
        done(self.add_keys(keys))
    }

    fn update_key<'a>(&'a mut self, key: &'a KeyRecord) -> Task<'a, ()> {
        done(self.set_key(key))
    }

    fn revoke_key<'a>(
        &'a mut self,
        id: &'a KeyId,
        revocation: &'a Revocation,
    ) -> Task<'a, Option<RevokedBefore>> {
        done(self.set_revoked(id, revocation))
    }

    fn commit<'a>(self: Box<Self>, audit: &'a [AuditRecord]) -> Task<'a, Committed>
    where
        Self: 'a,
    {
        if self.options.replaces {
            return done(self.put_in_force(audit));
        }
        Box::pin(aside(move || self.put_in_force(&[])))
    }
}

fn refused<T>(reason: String) -> Result<T, StoreError> {
    Err(StoreError::Refused(vec![reason]))
}

#[expect(clippy::needless_pass_by_value, reason = "it ends an error")]
fn not_edited(error: EditError) -> StoreError {
    StoreError::Refused(vec![error.to_string()])
}

/// What is wrong with a text that nobody has seen: without places.
fn messages(problems: &[FileProblem]) -> Vec<String> {
    problems.iter().map(|problem| problem.message.clone()).collect()
}
