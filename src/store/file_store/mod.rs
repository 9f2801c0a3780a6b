//! Key files as a [`Store`]: what is put becomes the least edit of YAML that says it, so that comments, order and
//! everything else stay. Blocks while it reads, writes and waits for the lock: made for command lines.

mod audit_log;
mod difference;
mod list_edit;
mod records;
mod served;
mod transaction;

use std::{future::ready, path::PathBuf, sync::Arc};

use self::transaction::FileTransaction;
pub use self::{audit_log::AUDIT_LOG, served::ServedFiles};
use super::{
    contract::{Access, AuditFilter, AuditPage, Store, StoreError, Task, Transaction},
    editable::EditableFiles,
    file::{FileProblem, KeyFile},
    key_files::Location,
    query::Membership,
};
use crate::{keys::rules::KeyRules, telemetry::operator::Operator};

/// Where key files are, and by which rules they are changed.
#[derive(Debug, Clone)]
pub struct FileStoreOptions {
    /// Where the key files are.
    pub location: Location,
    /// What the config says; `None`: there is none, and what the files grant already may be granted.
    pub rules: Option<KeyRules>,
    /// The `state:` folder; without it, what was changed is told on standard error.
    pub state: Option<PathBuf>,
    /// The file of a `directory:` that new records go to.
    pub new_records: Option<PathBuf>,
    /// Who changes them.
    pub operator: Operator,
    /// Whether a change replaces its file; if not, it is worked out, and [`Committed::ToCommit`] tells it.
    ///
    /// [`Committed::ToCommit`]: super::contract::Committed::ToCommit
    pub replaces: bool,
}

/// Key files.
#[derive(Debug)]
pub struct FileStore {
    name: String,
    options: Arc<FileStoreOptions>,
}

impl FileStore {
    /// The key files that `options` name. Nothing is read yet.
    pub fn new(options: FileStoreOptions) -> Self {
        Self { name: options.location.path().display().to_string(), options: Arc::new(options) }
    }

    fn audit_page(&self, filter: &AuditFilter) -> Result<AuditPage, StoreError> {
        let membership = match &filter.organization {
            None => Membership::Any,
            Some(wanted) => {
                let files = EditableFiles::read(&self.options.location)?;
                let right: Result<Vec<_>, _> =
                    files.files().iter().map(|file| file.records.as_ref()).collect();
                let of_all = |right: Vec<&KeyFile>| -> Vec<_> {
                    right.into_iter().flat_map(|file| file.organizations.clone()).collect()
                };
                // A wrong file may hold another organization, so that none is known to be the only one.
                right.map_or(Membership::Named(wanted.clone()), |right| {
                    Membership::new(Some(wanted), &of_all(right))
                })
            }
        };
        audit_log::page(self.options.state.as_deref(), filter, &membership)
    }

    /// By which rules records are made here: those of the config or, without one, those that the files show.
    /// Cost: without config, that of reading every file.
    ///
    /// # Errors
    /// [`StoreError::WrongFiles`] where they cannot be read.
    pub fn rules(&self) -> Result<KeyRules, StoreError> {
        match &self.options.rules {
            Some(rules) => Ok(rules.clone()),
            None => Ok(rules_of(&EditableFiles::read(&self.options.location)?)),
        }
    }
}

/// The rules where no config says any.
fn rules_of(files: &EditableFiles) -> KeyRules {
    let right = files.files().iter().filter_map(|file| file.records.as_ref().ok());
    KeyRules::without_config(right.flat_map(|file| &file.keys))
}

impl From<FileProblem> for StoreError {
    fn from(problem: FileProblem) -> Self {
        Self::WrongFiles(vec![problem])
    }
}

impl Store for FileStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn begin(&self, access: Access) -> Task<'_, Box<dyn Transaction>> {
        let begun = FileTransaction::begin(Arc::clone(&self.options), access);
        done(begun.map(|transaction| Box::new(transaction) as Box<dyn Transaction>))
    }

    fn audit<'a>(&'a self, filter: &'a AuditFilter) -> Task<'a, AuditPage> {
        done(self.audit_page(filter))
    }
}

/// A task that was done at once.
fn done<'a, T: Send + 'a>(result: Result<T, StoreError>) -> Task<'a, T> {
    Box::pin(ready(result))
}
