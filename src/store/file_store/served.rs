//! The key files of a running gateway as a [`Store`]: one looks at the records in force, and a change is worked out as
//! the edit of a file that somebody else has to make.

use std::{collections::HashMap, io, path::PathBuf, sync::Arc};

use super::{FileStoreOptions, audit_log, done, transaction::FileTransaction};
use crate::{
    keys::{
        digest::KeyDigest,
        record::{KeyId, KeyRecord, Organization, OrganizationId, Person, PersonId, Revocation},
    },
    store::{
        contract::{
            Access, AuditFilter, AuditPage, AuditRecord, Committed, KeyQuery, KeyTally, OwnedKey,
            PersonQuery, Remembered, RevokedBefore, Store, StoreError, Submission, Taken, Task, Transaction,
        },
        file::FileProblem,
        key_files::Location,
        query::Membership,
        records_in_force::{Records, RecordsInForce},
    },
    telemetry::operator::Operator,
};

/// The key files that a gateway serves. Looking reads no file; a change reads them as they stand, off the runtime, and
/// its commit always answers [`Committed::ToCommit`].
#[derive(Debug)]
pub struct ServedFiles {
    name: String,
    location: Location,
    state: Option<PathBuf>,
    records: RecordsInForce,
}

impl ServedFiles {
    /// The files at `location`, of which `records` are in force; `state` is the folder with the audit log.
    pub fn new(location: Location, state: Option<PathBuf>, records: RecordsInForce) -> Self {
        Self { name: location.path().display().to_string(), location, state, records }
    }

    /// The records in force.
    pub fn records(&self) -> Arc<Records> {
        self.records.now()
    }

    async fn plan(&self) -> Result<Box<dyn Transaction>, StoreError> {
        let records = self.records.now();
        let options = FileStoreOptions {
            location: self.location.clone(),
            rules: Some(records.rules().clone()),
            state: None,
            new_records: None,
            operator: Operator::of_process(),
            replaces: false,
        };
        aside(move || {
            let mut planned = FileTransaction::begin(Arc::new(options), Access::Write)?;
            planned.refuse(records.refused());
            Ok(Box::new(planned) as Box<dyn Transaction>)
        })
        .await
    }

    async fn audit_page(&self, filter: &AuditFilter) -> Result<AuditPage, StoreError> {
        let membership = Membership::new(filter.organization.as_ref(), self.records.now().organizations());
        let (state, filter) = (self.state.clone(), filter.clone());
        aside(move || audit_log::page(state.as_deref(), &filter, &membership)).await
    }
}

impl Store for ServedFiles {
    fn name(&self) -> &str {
        &self.name
    }

    fn begin(&self, access: Access) -> Task<'_, Box<dyn Transaction>> {
        match access {
            Access::Read => done(Ok(Box::new(LookAtRecords(self.records.now())) as Box<dyn Transaction>)),
            Access::Write => Box::pin(self.plan()),
        }
    }

    fn audit<'a>(&'a self, filter: &'a AuditFilter) -> Task<'a, AuditPage> {
        Box::pin(self.audit_page(filter))
    }
}

/// Does what reads files or takes its time on a thread where nobody waits for anything else.
pub(super) async fn aside<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let failed = |error| StoreError::Failed(io::Error::other(error).to_string());
    tokio::task::spawn_blocking(act).await.map_err(failed)?
}

/// A look at the records that were in force when it began.
#[derive(Debug)]
struct LookAtRecords(Arc<Records>);

impl Transaction for LookAtRecords {
    fn wrong_files(&self) -> Vec<FileProblem> {
        self.0.wrong().to_vec()
    }

    fn organizations(&mut self) -> Task<'_, Vec<Organization>> {
        done(Ok(self.0.organizations().to_vec()))
    }

    fn person<'a>(&'a mut self, id: &'a PersonId) -> Task<'a, Option<Person>> {
        done(Ok(self.0.person(id).cloned()))
    }

    fn people<'a>(&'a mut self, after: Option<&'a PersonId>, limit: usize) -> Task<'a, Vec<Person>> {
        let people = self.0.people();
        let start = after.map_or(0, |after| people.partition_point(|person| person.id <= *after));
        done(Ok(people.iter().skip(start).take(limit).cloned().collect()))
    }

    fn key<'a>(&'a mut self, id: &'a KeyId) -> Task<'a, Option<KeyRecord>> {
        done(Ok(self.0.key(id).cloned()))
    }

    fn keys<'a>(&'a mut self, after: Option<&'a KeyId>, limit: usize) -> Task<'a, Vec<KeyRecord>> {
        done(Ok(self.0.keys_after(after, limit).cloned().collect()))
    }

    fn key_count(&mut self) -> Task<'_, u64> {
        done(Ok(self.0.key_count() as u64))
    }

    fn keys_matching<'a>(&'a mut self, query: &'a KeyQuery) -> Task<'a, Vec<OwnedKey>> {
        done(Ok(self.0.scan().keys_matching(query)))
    }

    fn count_keys_matching<'a>(&'a mut self, query: &'a KeyQuery, at_most: u64) -> Task<'a, u64> {
        done(Ok(self.0.scan().count_keys_matching(query, at_most)))
    }

    fn key_tally<'a>(&'a mut self, query: &'a KeyQuery) -> Task<'a, KeyTally> {
        done(Ok(self.0.scan().key_tally(query)))
    }

    fn people_matching<'a>(&'a mut self, query: &'a PersonQuery) -> Task<'a, Vec<Person>> {
        done(Ok(self.0.scan().people_matching(query)))
    }

    fn key_counts<'a>(&'a mut self, owners: &'a [PersonId]) -> Task<'a, HashMap<PersonId, u64>> {
        done(Ok(self.0.scan().key_counts(owners)))
    }

    fn people_with_email<'a>(&'a mut self, email: &'a str) -> Task<'a, Vec<Person>> {
        done(Ok(self.0.scan().people_with_email(email)))
    }

    fn remembered<'a>(&'a mut self, _: &'a Submission) -> Task<'a, Option<Remembered>> {
        done(Ok(None))
    }

    fn remember<'a>(&'a mut self, _: &'a Submission, _: &'a str, _: &'a str) -> Task<'a, ()> {
        done(for_looking())
    }

    fn taken<'a>(&'a mut self, ids: &'a [KeyId], digests: &'a [KeyDigest]) -> Task<'a, Taken> {
        done(Ok(self.0.taken(ids, digests)))
    }

    fn who_names<'a>(
        &'a mut self,
        organization: &'a OrganizationId,
        project: &'a str,
    ) -> Task<'a, Option<String>> {
        done(Ok(self.0.scan().who_names(organization, project)))
    }

    fn put_organization<'a>(&'a mut self, _: &'a Organization) -> Task<'a, ()> {
        done(for_looking())
    }

    fn put_person<'a>(&'a mut self, _: &'a Person) -> Task<'a, ()> {
        done(for_looking())
    }

    fn insert_keys<'a>(&'a mut self, _: &'a [KeyRecord]) -> Task<'a, ()> {
        done(for_looking())
    }

    fn update_key<'a>(&'a mut self, _: &'a KeyRecord) -> Task<'a, ()> {
        done(for_looking())
    }

    fn revoke_key<'a>(&'a mut self, _: &'a KeyId, _: &'a Revocation) -> Task<'a, Option<RevokedBefore>> {
        done(for_looking())
    }

    fn commit<'a>(self: Box<Self>, _: &'a [AuditRecord]) -> Task<'a, Committed>
    where
        Self: 'a,
    {
        done(for_looking())
    }
}

fn for_looking<T>() -> Result<T, StoreError> {
    Err(StoreError::Refused(vec!["this transaction is for looking only".to_owned()]))
}
