//! What all use cases share: which store, by which rules, and who asks. The use cases themselves are in `key_admin`,
//! `people_admin`, `project_admin` and `organization_admin`, written once for every store.

use std::{fmt, net::IpAddr, path::PathBuf, sync::Arc};

use super::{
    actor::{Acting, Action, Actor, may},
    local_revocation::ServedKeys,
    paste::Paste,
    record_tag::RecordTag,
};
use crate::{
    config::model::KeyCreation,
    keys::{
        record::{KeyId, KeyRecord, Organization, OrganizationId, Person, PersonId},
        rules::KeyRules,
        secret::KeySecret,
    },
    store::{
        contract::{
            Access, AuditRecord, Committed, Database, Remembered, Store, StoreError, Submission, Transaction,
        },
        file::FileProblem,
    },
};

/// Where records are kept.
#[derive(Debug, Clone)]
pub enum Kept {
    /// In key files: the commits of others come by other ways, and nobody confirms anything.
    Files {
        /// The files.
        store: Arc<dyn Store>,
        /// The `state:` folder, where the gateway keeps what it knows of keys in files.
        state: Option<PathBuf>,
    },
    /// In key files that this process serves: it shows what is in force of them, and changes nothing but by revoking
    /// keys.
    Served(Arc<ServedKeys>),
    /// In a database.
    Database(Arc<dyn Database>),
}

impl Kept {
    /// The store.
    pub fn store(&self) -> &dyn Store {
        match self {
            Self::Files { store, .. } => &**store,
            Self::Served(served) => &served.files,
            Self::Database(database) => &**database,
        }
    }
}

/// Where records are kept, and who changes them by which rules.
#[derive(Debug)]
pub struct Administration {
    /// Where.
    pub kept: Kept,
    /// What the config says; `None`: there is none.
    pub rules: Option<KeyRules>,
    /// Who may create keys.
    pub key_creation: KeyCreation,
    /// Who.
    pub actor: Actor,
    /// From where, if not at this machine.
    pub address: Option<IpAddr>,
    /// What whoever asks calls this change, so that it is done once.
    pub submission: Option<Submission>,
}

/// Why nothing was changed or found.
#[derive(Debug)]
pub enum AdminError {
    /// What was asked for is wrong: everything that is wrong with it.
    Refused(Vec<Refusal>),
    /// There is none.
    NotFound(String),
    /// Whoever asks may not.
    Forbidden(String),
    /// The record is another than the one that whoever asks has seen.
    Stale(String),
    /// It was done before, when it was asked for under the same name; nothing was done now.
    Done(Remembered),
    /// It was worked out, and nothing was changed: somebody has to paste it into a key file.
    ReadOnly(Box<Paste>),
    /// The store says no; nothing was changed.
    Store(StoreError),
    /// The store could not put the change in force; what it says tells whether that is certain.
    Commit(StoreError),
}

impl AdminError {
    /// One reason to refuse.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(vec![Refusal::from(reason.into())])
    }

    /// Of a change that has to be pasted: that it makes the key `id`, or gives it a secret.
    pub(super) fn issuing(mut self, id: KeyId, secret: KeySecret) -> Self {
        if let Self::ReadOnly(paste) = &mut self {
            paste.issued = Some(Arc::new((id, secret)));
        }
        self
    }
}

/// Why something is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The field of what was asked for, if it is one: `scopes`, `projects`, `owner`.
    pub field: Option<&'static str>,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl Refusal {
    /// Something is wrong with `field`.
    pub fn of(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field: Some(field), reason: reason.into() }
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self { field: None, reason }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusals) => {
                let reasons: Vec<_> = refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
                formatter.write_str(&reasons.join("\n"))
            }
            Self::NotFound(what) | Self::Forbidden(what) | Self::Stale(what) => formatter.write_str(what),
            Self::Done(done) => {
                write!(formatter, "{} {} was made by this request before", done.record, done.id)
            }
            Self::ReadOnly(paste) => paste.fmt(formatter),
            Self::Store(error) | Self::Commit(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for AdminError {}

/// What the audit log is told of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What kind of record.
    pub record: &'static str,
    /// Its id.
    pub id: String,
    /// What of it.
    pub what: String,
    /// Whose it is, where that is known.
    pub organization: Option<OrganizationId>,
}

impl Changed {
    /// The record `id` of this kind, of which `what` changed.
    pub fn new(record: &'static str, id: impl fmt::Display, what: impl Into<String>) -> Self {
        Self { record, id: id.to_string(), what: what.into(), organization: None }
    }

    /// It belongs to this organization.
    pub fn within(self, organization: &OrganizationId) -> Self {
        Self { organization: Some(organization.clone()), ..self }
    }
}

impl Administration {
    /// The store.
    pub fn store(&self) -> &dyn Store {
        self.kept.store()
    }

    /// The database, if it is one.
    pub fn database(&self) -> Option<&dyn Database> {
        match &self.kept {
            Kept::Files { .. } | Kept::Served(_) => None,
            Kept::Database(database) => Some(&**database),
        }
    }

    /// By which rules `keys` are judged. Without config, what they grant already counts as a scope of its own.
    pub fn rules_for<'k>(&self, keys: impl IntoIterator<Item = &'k KeyRecord>) -> KeyRules {
        self.rules.clone().unwrap_or_else(|| KeyRules::without_config(keys))
    }

    /// Begins to look.
    ///
    /// # Errors
    /// Where the store cannot be read, or whoever asks may do nothing.
    pub async fn look(&self) -> Result<Work<'_>, AdminError> {
        Work::begin(self, Access::Read).await
    }

    /// That whoever asks may see how the gateway runs: an operator, or an owner or admin.
    ///
    /// # Errors
    /// [`AdminError::Forbidden`], and where the store cannot be read.
    pub async fn demand_watcher(&self) -> Result<(), AdminError> {
        let work = self.look().await?;
        match &work.acting {
            Acting::Operator => Ok(()),
            Acting::Person(_, own) => work.demand(Action::WatchGateway, own),
        }
    }

    /// Begins to change, once nobody else does.
    ///
    /// # Errors
    /// As [`Administration::look`], and where key files are wrong as they are.
    pub async fn change(&self) -> Result<Work<'_>, AdminError> {
        let work = self.change_wrong().await?;
        let wrong = work.transaction.wrong_files();
        if wrong.is_empty() { Ok(work) } else { Err(StoreError::WrongFiles(wrong).into()) }
    }

    /// As [`Administration::change`], also where something is wrong as it is: for what cannot wait.
    ///
    /// # Errors
    /// As [`Administration::look`].
    pub async fn change_wrong(&self) -> Result<Work<'_>, AdminError> {
        let mut work = Work::begin(self, Access::Write).await?;
        if let Some(submission) = &self.submission {
            work.demand_new(submission).await?;
        }
        Ok(work)
    }
}

/// A transaction, and who is at work in it.
#[derive(Debug)]
pub struct Work<'a> {
    /// For whom and by which rules.
    pub administration: &'a Administration,
    /// The records.
    pub transaction: Box<dyn Transaction>,
    /// Every organization; none where records name none.
    pub organizations: Vec<Organization>,
    /// Who is at work.
    pub acting: Acting,
}

impl<'a> Work<'a> {
    async fn begin(administration: &'a Administration, access: Access) -> Result<Self, AdminError> {
        let mut transaction = administration.store().begin(access).await?;
        let organizations = transaction.organizations().await?;
        let acting = match &administration.actor {
            Actor::Operator(_) | Actor::FirstOwnerLink | Actor::Possessor => Acting::Operator,
            Actor::Person(id) => acting_person(&mut *transaction, &organizations, id).await?,
            Actor::Key(id, key) => {
                let acting = acting_person(&mut *transaction, &organizations, id).await?;
                let key = transaction.key(key).await?.ok_or_else(|| no_such_person(id))?;
                acting.within(&key.projects)
            }
        };
        Ok(Self { administration, transaction, organizations, acting })
    }

    /// That `submission` was not made before. Writers come one after the other, so that of two at once one is first.
    async fn demand_new(&mut self, submission: &Submission) -> Result<(), AdminError> {
        match self.transaction.remembered(submission).await? {
            None => Ok(()),
            Some(before) if before.request == submission.request => Err(AdminError::Done(before)),
            Some(_) => Err(AdminError::refused(
                "this Idempotency-Key was used for another request; choose a new one for each change",
            )),
        }
    }

    /// That `found` is what whoever asks has seen; `None`: they do not say.
    ///
    /// # Errors
    /// [`AdminError::Stale`].
    pub fn demand_seen(&self, seen: Option<&RecordTag>, found: &RecordTag) -> Result<(), AdminError> {
        match seen {
            Some(seen) if seen != found => Err(AdminError::Stale(
                "it was changed meanwhile; look at it again, then change it".to_owned(),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// What is wrong with key files, so that records may be missing.
    pub fn wrong_files(&self) -> Vec<FileProblem> {
        self.transaction.wrong_files()
    }

    /// That whoever is at work may do this with what belongs to `organization`.
    ///
    /// # Errors
    /// [`AdminError::Forbidden`].
    pub fn demand(&self, action: Action<'_>, organization: &OrganizationId) -> Result<(), AdminError> {
        may(&self.acting, action, organization, self.administration.key_creation)
            .map_err(AdminError::Forbidden)
    }

    /// Whether they may.
    pub fn permits(&self, action: Action<'_>, organization: &OrganizationId) -> bool {
        self.demand(action, organization).is_ok()
    }

    /// The organization of whoever is at work; `None`: of an operator.
    pub(super) fn own(&self) -> Option<&OrganizationId> {
        match &self.acting {
            Acting::Operator => None,
            Acting::Person(_, own) => Some(own),
        }
    }

    /// The organization that a record belongs to that names this one or none.
    ///
    /// # Errors
    /// Where there is none, or none is named and there are several.
    pub fn organization(&self, named: Option<&OrganizationId>) -> Result<Organization, AdminError> {
        organization_of(&self.organizations, named)
    }

    /// As [`Work::organization`], of a key.
    ///
    /// # Errors
    /// As there.
    pub fn organization_of_key(
        &self,
        key: &KeyRecord,
        owner: Option<&Person>,
    ) -> Result<Organization, AdminError> {
        self.organization(key.organization.as_ref().or(owner.and_then(|owner| owner.organization.as_ref())))
    }

    /// The organization of a new record. A database has its people and keys in an organization that is there: the
    /// first one is `default`, made on the way.
    pub(super) async fn organization_for_new(
        &mut self,
        named: Option<&OrganizationId>,
    ) -> Result<Organization, AdminError> {
        let organization = self.organization(named.or(self.own()).cloned().as_ref())?;
        if self.administration.database().is_some() && self.organizations.is_empty() {
            self.transaction.put_organization(&organization).await?;
            self.organizations.push(organization.clone());
        }
        Ok(organization)
    }

    /// The organization as a record of this store names it: files may leave it out.
    pub(super) fn named(
        &self,
        named: Option<OrganizationId>,
        organization: &Organization,
    ) -> Option<OrganizationId> {
        if self.administration.database().is_some() { Some(organization.id.clone()) } else { named }
    }

    /// The owner of `key`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn owner(&mut self, key: &KeyRecord) -> Result<Option<Person>, AdminError> {
        match &key.owner {
            Some(owner) => Ok(self.transaction.person(owner).await?),
            None => Ok(None),
        }
    }

    /// Puts everything in force, told as `command`.
    pub(super) async fn commit(
        mut self,
        command: &str,
        changes: &[Changed],
    ) -> Result<Committed, AdminError> {
        // Key files remember nothing, and nothing is changed in them here.
        let submission =
            self.administration.submission.as_ref().filter(|_| self.administration.database().is_some());
        if let (Some(submission), Some(first)) = (submission, changes.first()) {
            self.transaction.remember(submission, first.record, &first.id).await?;
        }
        let actor = self.administration.actor.in_full();
        let own = match (&self.acting, &self.organizations[..]) {
            (Acting::Person(_, own), _) => Some(own),
            (Acting::Operator, [only]) => Some(&only.id),
            (Acting::Operator, _) => None,
        };
        let record = |changed: &Changed| AuditRecord {
            at: jiff::Timestamp::UNIX_EPOCH,
            revision: None,
            actor: actor.clone(),
            address: self.administration.address,
            organization: changed.organization.as_ref().or(own).cloned(),
            command: command.to_owned(),
            record: changed.record.to_owned(),
            id: changed.id.clone(),
            what: changed.what.clone(),
        };
        let audit: Vec<_> = changes.iter().map(record).collect();
        match (self.transaction.commit(&audit).await, &self.administration.kept) {
            (Ok(Committed::ToCommit(patch)), Kept::Served(_)) => {
                Err(AdminError::ReadOnly(Box::new(Paste::new(patch))))
            }
            (Ok(committed), _) => Ok(committed),
            (Err(error), Kept::Served(_)) => Err(AdminError::Store(error)),
            (Err(error), _) => Err(AdminError::Commit(error)),
        }
    }
}

fn no_such_person(id: &PersonId) -> AdminError {
    AdminError::Forbidden(format!("no person has the id {id}, so nobody acts as them"))
}

async fn acting_person(
    transaction: &mut dyn Transaction,
    organizations: &[Organization],
    id: &PersonId,
) -> Result<Acting, AdminError> {
    let person = transaction.person(id).await?.ok_or_else(|| no_such_person(id))?;
    if person.disabled {
        return Err(AdminError::Forbidden(format!("{id} is disabled and may do nothing")));
    }
    let organization = organization_of(organizations, person.organization.as_ref())?.id;
    Ok(Acting::Person(Box::new(person), organization))
}

/// The organization called `named`, or the only one; `default` where there is none.
fn organization_of(
    organizations: &[Organization],
    named: Option<&OrganizationId>,
) -> Result<Organization, AdminError> {
    let unnamed = Organization::default();
    match (named, organizations) {
        (None, []) => Ok(unnamed),
        (Some(id), []) if *id == unnamed.id => Ok(unnamed),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(AdminError::refused(
            "there are several organizations; name the one that is meant by --organization",
        )),
        (Some(id), _) => {
            let found = organizations.iter().find(|organization| organization.id == *id);
            found.cloned().ok_or_else(|| AdminError::refused(format!("no organization has the id {id}")))
        }
    }
}
