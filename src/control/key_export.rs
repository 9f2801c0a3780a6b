//! Gives every organization, person and key away, page by page, so that a database of a million keys is never in memory.

use std::io;

use super::{
    actor::Acting,
    administration::{AdminError, Administration},
};
use crate::{
    keys::record::{KeyId, KeyRecord, Organization, Person, PersonId},
    store::{contract::StoreError, key_file_writer::KeyFileWriter},
};

/// How many records are read at once.
const PAGE: usize = 1000;

/// Takes records in this order: all organizations, people, keys.
pub trait ExportSink {
    /// How many keys there will be.
    ///
    /// # Errors
    /// Where they can go no further; so with the others.
    fn begin(&mut self, keys: u64) -> io::Result<()>;
    /// Some organizations.
    ///
    /// # Errors
    /// As for [`ExportSink::begin`].
    fn organizations(&mut self, organizations: &[Organization]) -> io::Result<()>;
    /// Some people.
    ///
    /// # Errors
    /// As for [`ExportSink::begin`].
    fn people(&mut self, people: &[Person]) -> io::Result<()>;
    /// Some keys.
    ///
    /// # Errors
    /// As for [`ExportSink::begin`].
    fn keys(&mut self, keys: &[KeyRecord]) -> io::Result<()>;
    /// That was all.
    ///
    /// # Errors
    /// As for [`ExportSink::begin`].
    fn end(&mut self) -> io::Result<()>;
}

impl<W: io::Write> ExportSink for KeyFileWriter<W> {
    fn begin(&mut self, keys: u64) -> io::Result<()> {
        self.begin(keys)
    }

    fn organizations(&mut self, organizations: &[Organization]) -> io::Result<()> {
        self.organizations(organizations)
    }

    fn people(&mut self, people: &[Person]) -> io::Result<()> {
        self.people(people)
    }

    fn keys(&mut self, keys: &[KeyRecord]) -> io::Result<()> {
        self.keys(keys)
    }

    fn end(&mut self) -> io::Result<()> {
        self.end()
    }
}

/// Why an export ended early.
#[derive(Debug)]
pub enum NotExported {
    /// The store could not be read, or whoever asks may not.
    Store(AdminError),
    /// The sink took no more.
    Sink(io::Error),
}

impl<E: Into<AdminError>> From<E> for NotExported {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

/// Gives `sink` every record, as of one moment, and says how many keys there were. Digests only: nobody has the secrets.
///
/// # Errors
/// Where something ended it; then `sink` has a part.
pub async fn export(
    administration: &Administration,
    sink: &mut dyn ExportSink,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<u64, NotExported> {
    let mut work = administration.look().await?;
    if let Acting::Person(person, _) = &work.acting {
        let reason = format!("{} may not export all records; operators may, without --as", person.id);
        return Err(AdminError::Forbidden(reason).into());
    }
    let wrong = work.wrong_files();
    if !wrong.is_empty() {
        return Err(StoreError::WrongFiles(wrong).into());
    }
    let count = work.transaction.key_count().await?;
    sink.begin(count).map_err(NotExported::Sink)?;
    sink.organizations(&work.organizations).map_err(NotExported::Sink)?;
    let mut after: Option<PersonId> = None;
    loop {
        let people = work.transaction.people(after.as_ref(), PAGE).await?;
        let Some(last) = people.last() else { break };
        after = Some(last.id.clone());
        sink.people(&people).map_err(NotExported::Sink)?;
    }
    let all = usize::try_from(count).unwrap_or(usize::MAX);
    let (mut after, mut given): (Option<KeyId>, usize) = (None, 0);
    loop {
        let keys = work.transaction.keys(after.as_ref(), PAGE).await?;
        let Some(last) = keys.last() else { break };
        after = Some(last.id);
        sink.keys(&keys).map_err(NotExported::Sink)?;
        given += keys.len();
        progress(given, all);
    }
    sink.end().map_err(NotExported::Sink)?;
    Ok(count)
}
