//! A look at the records of a database, or a change of them.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{
    SqlDatabase,
    connection::{Connection, Row, Value, placeholders, rows_of_placeholders},
    head::head,
    query,
    record_row::{self, KEY_COLUMN_COUNT, KEY_COLUMNS, ORGANIZATION_COLUMNS, PERSON_COLUMNS},
    session::{Begin, Session},
    submission::{self, Made},
};
use crate::{
    keys::{
        digest::KeyDigest,
        record::{KeyId, KeyRecord, Organization, OrganizationId, Person, PersonId, Revocation},
    },
    policy::project::ProjectSet,
    store::contract::{
        Access, AuditRecord, Committed, KeyQuery, KeyTally, OwnedKey, PersonQuery, Remembered, RevokedBefore,
        StoreError, Submission, Taken, Task, Transaction,
    },
};

/// Changes that are told one by one; who missed more than these loads everything.
pub(super) const CHANGES_TOLD: usize = 50_000;
/// Revisions whose changes are kept for replicas that were away, and after how many the older ones are removed.
const REVISIONS_KEPT: u64 = 100_000;
const REVISIONS_BETWEEN_PRUNING: u64 = 100;
/// After which nobody asks for an acknowledgement any more: a day in microseconds.
const FORGOTTEN_US: i64 = 24 * 3600 * 1_000_000;

/// See the module.
#[derive(Debug)]
pub(super) struct SqlTransaction {
    database: SqlDatabase,
    session: Session,
    access: Access,
    changed: Changed,
    made: Vec<Made>,
    /// An earlier step failed, so that nothing may be committed.
    is_broken: bool,
}

/// What was changed so far.
#[derive(Debug, Default)]
struct Changed {
    records: BTreeSet<(&'static str, String)>,
    dropped: Vec<KeyDigest>,
}

impl SqlTransaction {
    pub(super) async fn begin(database: &SqlDatabase, access: Access) -> Result<Self, StoreError> {
        let begin = match access {
            Access::Read => Begin::Read,
            Access::Write => Begin::Change,
        };
        let mut session = database.sessions.begin(begin).await?;
        // What is seen is decided by the first look, which is now.
        head(session.connection()?).await?;
        let changed = Changed::default();
        Ok(Self { database: database.clone(), session, access, changed, made: Vec::new(), is_broken: false })
    }

    fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        self.session.connection()
    }

    async fn rows<T>(
        &mut self,
        statement: String,
        values: Vec<Value<'_>>,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.connection()?.rows(statement, values).await?.iter().map(read).collect()
    }

    async fn stored_key(&mut self, id: &KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let statement = format!("SELECT {KEY_COLUMNS} FROM keys WHERE id = $1");
        Ok(self.rows(statement, vec![id.as_str().into()], record_row::key).await?.pop())
    }

    async fn stored_person(&mut self, id: &PersonId) -> Result<Option<Person>, StoreError> {
        let statement = format!("SELECT {PERSON_COLUMNS} FROM people WHERE id = $1");
        Ok(self.rows(statement, vec![id.as_str().into()], record_row::person).await?.pop())
    }

    async fn stored_organizations(&mut self) -> Result<Vec<Organization>, StoreError> {
        record_row::organizations(self.connection()?).await
    }

    async fn find_taken(&mut self, ids: &[KeyId], digests: &[KeyDigest]) -> Result<Taken, StoreError> {
        let mut taken = Taken::default();
        let at_once = self.connection()?.rows_at_once(1);
        for ids in ids.chunks(at_once) {
            let statement = format!("SELECT id FROM keys WHERE id IN {}", placeholders(1, ids.len()));
            let values = ids.iter().map(|id| id.as_str().into()).collect();
            taken.ids.extend(self.rows(statement, values, |row| id(row, 0)).await?);
        }
        for digests in digests.chunks(at_once) {
            for column in ["digest", "previous_digest"] {
                let list = placeholders(1, digests.len());
                let statement = format!("SELECT id, {column} FROM keys WHERE {column} IN {list}");
                let values = digests.iter().map(|digest| digest.as_bytes().as_slice().into()).collect();
                let held = |row: &Row| Ok((digest(row, 1)?, id(row, 0)?));
                taken.digests.extend(self.rows(statement, values, held).await?);
            }
        }
        Ok(taken)
    }

    /// Puts a row in the place of the one with the same id, or adds it.
    async fn put_row(
        &mut self,
        table: &str,
        columns: &str,
        values: Vec<Value<'_>>,
    ) -> Result<(), StoreError> {
        let updates: Vec<_> =
            columns.split(", ").skip(1).map(|column| format!("{column} = excluded.{column}")).collect();
        let statement = format!(
            "INSERT INTO {table} ({columns}) VALUES {} ON CONFLICT (id) DO UPDATE SET {}",
            placeholders(1, values.len()),
            updates.join(", ")
        );
        self.connection()?.execute(statement, values).await.map(drop)
    }

    async fn put_organization_now(&mut self, organization: &Organization) -> Result<(), StoreError> {
        let stored = self.stored_organizations().await?;
        if stored.contains(organization) {
            return Ok(());
        }
        let values = record_row::organization_values(organization);
        self.put_row("organizations", ORGANIZATION_COLUMNS, values).await?;
        self.changed.record("organization", organization.id.as_str());
        Ok(())
    }

    async fn put_person_now(&mut self, person: &Person) -> Result<(), StoreError> {
        if self.stored_person(&person.id).await?.as_ref() == Some(person) {
            return Ok(());
        }
        self.put_row("people", PERSON_COLUMNS, record_row::person_values(person)).await?;
        self.changed.record("person", person.id.as_str());
        Ok(())
    }

    async fn insert_keys_now(&mut self, keys: &[KeyRecord]) -> Result<(), StoreError> {
        self.refuse_taken(keys).await?;
        let at_once = self.connection()?.rows_at_once(KEY_COLUMN_COUNT);
        for keys in keys.chunks(at_once) {
            let rows = rows_of_placeholders(keys.len(), KEY_COLUMN_COUNT);
            let statement = format!("INSERT INTO keys ({KEY_COLUMNS}) VALUES {rows}");
            let values = keys.iter().flat_map(record_row::key_values).collect();
            self.connection()?.execute(statement, values).await?;
        }
        for key in keys {
            self.changed.record("key", key.id.as_str());
        }
        Ok(())
    }

    /// Looks at all keys before the first is put: a refusal leaves nothing behind.
    async fn refuse_taken(&mut self, keys: &[KeyRecord]) -> Result<(), StoreError> {
        let (mut ids, mut holders) = (HashSet::new(), HashMap::new());
        let mut reasons = Vec::new();
        for key in keys {
            if !ids.insert(key.id) {
                reasons.push(already(key.id));
            }
            for digest in digests(key) {
                reasons.extend(holders.insert(digest, key.id).map(|other| same_secret(key.id, other)));
            }
        }
        let all: Vec<_> = keys.iter().map(|key| key.id).collect();
        let secrets: Vec<_> = holders.keys().copied().collect();
        let taken = self.find_taken(&all, &secrets).await?;
        reasons.extend(taken.ids.into_iter().map(already));
        let mine = |digest| holders.get(digest).copied();
        let same = taken.digests.iter().filter_map(|(digest, holder)| Some((mine(digest)?, *holder)));
        reasons.extend(same.map(|(id, holder)| same_secret(id, holder)));
        if reasons.is_empty() { Ok(()) } else { Err(StoreError::Refused(reasons)) }
    }

    async fn update_key_now(&mut self, key: &KeyRecord) -> Result<(), StoreError> {
        let Some(stored) = self.stored_key(&key.id).await? else {
            return Err(refused(format!("there is no key {}", key.id)));
        };
        if stored.revoked.is_some() {
            return Err(refused(format!("key {} is revoked, and stays so", key.id)));
        }
        if record_row::key_values(&stored) == record_row::key_values(key) {
            return Ok(());
        }
        let new = digests(key);
        if key.previous.as_ref().is_some_and(|previous| previous.digest == key.digest) {
            return Err(refused(same_secret(key.id, key.id)));
        }
        let taken = self.find_taken(&[], &new).await?;
        if let Some((_, holder)) = taken.digests.iter().find(|(_, holder)| *holder != key.id) {
            return Err(refused(same_secret(key.id, *holder)));
        }
        self.put_row("keys", KEY_COLUMNS, record_row::key_values(key)).await?;
        self.changed.record("key", key.id.as_str());
        let dropped = digests(&stored).into_iter().filter(|digest| !new.contains(digest));
        self.changed.dropped.extend(dropped);
        Ok(())
    }

    async fn revoke_key_now(
        &mut self,
        id: &KeyId,
        revocation: &Revocation,
    ) -> Result<Option<RevokedBefore>, StoreError> {
        let Some(stored) = self.stored_key(id).await? else { return Ok(None) };
        if let Some(before) = stored.revoked {
            return Ok(Some(RevokedBefore(Some(before.at))));
        }
        let revoked = KeyRecord { revoked: Some(revocation.clone()), ..stored };
        self.put_row("keys", KEY_COLUMNS, record_row::key_values(&revoked)).await?;
        self.changed.record("key", id.as_str());
        Ok(Some(RevokedBefore(None)))
    }

    async fn find_who_names(
        &mut self,
        organization: &OrganizationId,
        project: &str,
    ) -> Result<Option<String>, StoreError> {
        // The text is looked for as JSON has it; what is found is looked at again as a list.
        let pattern = format!("%{}%", escaped(&serde_json::to_string(project).unwrap_or_default()));
        let columns: Vec<_> = KEY_COLUMNS.split(", ").map(|column| format!("keys.{column}")).collect();
        let keys = format!(
            "SELECT {}, coalesce(keys.organization, people.organization) FROM keys LEFT JOIN people \
             ON people.id = keys.owner WHERE keys.projects LIKE $1 ESCAPE '!'",
            columns.join(", ")
        );
        let key = |row: &Row| Ok((record_row::key(row)?, row.get::<Option<String>>(KEY_COLUMN_COUNT)?));
        for (key, of) in self.rows(keys, vec![pattern.clone().into()], key).await? {
            if names(&key.projects, project) && of.is_none_or(|of| of == organization.as_str()) {
                return Ok(Some(format!("key {}", key.id)));
            }
        }
        let people = format!("SELECT {PERSON_COLUMNS} FROM people WHERE projects LIKE $1 ESCAPE '!'");
        let people = self.rows(people, vec![pattern.into()], record_row::person).await?;
        let is_it = |person: &&Person| {
            names(&person.projects, project)
                && person.organization.as_ref().is_none_or(|of| of == organization)
        };
        Ok(people.iter().find(is_it).map(|person| format!("person {}", person.id)))
    }

    async fn commit_now(mut self, audit: &[AuditRecord]) -> Result<Committed, StoreError> {
        self.writable()?;
        if self.changed.records.is_empty() {
            return Ok(Committed::Unchanged);
        }
        let connection = self.session.connection()?;
        let before = head(connection).await?;
        let revision = before.revision + 1;
        // A clock that was set back does not make a later commit the earlier one.
        let at = record_row::floor_us(before.now.max(before.committed_at));
        connection
            .execute("UPDATE head SET revision = $1, committed_at = $2", vec![revision.into(), at.into()])
            .await?;
        connection
            .execute(
                "INSERT INTO commits (revision, committed_at) VALUES ($1, $2)",
                vec![revision.into(), at.into()],
            )
            .await?;
        self.changed.insert(connection, revision).await?;
        insert_audit(connection, revision, at, audit).await?;
        submission::insert(connection, revision, at, &self.made).await?;
        prune(connection, revision, at).await?;
        if !self.database.sessions.is_sqlite() {
            connection.execute("SELECT pg_notify('keygate', $1)", vec![revision.to_string().into()]).await?;
        }
        self.session.commit().await.map_err(unknown_outcome)?;
        self.database.committed.send_replace(revision);
        Ok(Committed::Revision(revision))
    }

    fn writable(&self) -> Result<(), StoreError> {
        match self.access {
            Access::Read => Err(refused("this transaction is for looking only".to_owned())),
            Access::Write if self.is_broken => {
                Err(StoreError::Failed("an earlier step failed, so that nothing was changed".to_owned()))
            }
            Access::Write => Ok(()),
        }
    }

    /// What a step gave; one that failed and was not merely refused breaks the transaction.
    fn noted<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        self.is_broken |= !matches!(done, Ok(_) | Err(StoreError::Refused(_)));
        done
    }
}

impl Changed {
    fn record(&mut self, kind: &'static str, id: &str) {
        // Beyond the limit it is told as "everything", whatever else there is.
        if self.records.len() <= CHANGES_TOLD {
            self.records.insert((kind, id.to_owned()));
        }
    }

    async fn insert(&self, connection: &mut Connection, revision: u64) -> Result<(), StoreError> {
        let mut rows: Vec<[Value<'_>; 4]> = Vec::new();
        if self.records.len() > CHANGES_TOLD {
            rows.push([revision.into(), "everything".into(), Value::Text(None), Value::Bytes(None)]);
        } else {
            let record = |(kind, id): &(&'static str, String)| {
                [revision.into(), (*kind).into(), id.clone().into(), Value::Bytes(None)]
            };
            rows.extend(self.records.iter().map(record));
        }
        rows.extend(self.dropped.iter().map(|digest| {
            [revision.into(), "dropped".into(), Value::Text(None), digest.as_bytes().as_slice().into()]
        }));
        insert_rows(connection, "changes (revision, kind, id, digest)", rows).await
    }
}

async fn insert_audit(
    connection: &mut Connection,
    revision: u64,
    at: i64,
    audit: &[AuditRecord],
) -> Result<(), StoreError> {
    let row = |(position, record): (u64, &AuditRecord)| {
        [
            revision.into(),
            position.into(),
            at.into(),
            record.actor.clone().into(),
            record.address.map(|address| address.to_string()).into(),
            record.command.clone().into(),
            record.record.clone().into(),
            record.id.clone().into(),
            record.what.clone().into(),
            record.organization.as_ref().map(|id| id.as_str().to_owned()).into(),
        ]
    };
    let rows = (1..).zip(audit).map(row).collect();
    let into =
        "audit (revision, position, committed_at, actor, address, command, record, id, what, organization)";
    insert_rows(connection, into, rows).await
}

async fn insert_rows<const COLUMNS: usize>(
    connection: &mut Connection,
    into: &str,
    rows: Vec<[Value<'_>; COLUMNS]>,
) -> Result<(), StoreError> {
    let mut rows = rows.into_iter();
    loop {
        let chunk: Vec<_> = rows.by_ref().take(connection.rows_at_once(COLUMNS)).collect();
        if chunk.is_empty() {
            return Ok(());
        }
        let statement = format!("INSERT INTO {into} VALUES {}", rows_of_placeholders(chunk.len(), COLUMNS));
        connection.execute(statement, chunk.into_iter().flatten().collect()).await?;
    }
}

/// Now and then removes what nobody needs any more. The row of a replica stays until it stops or somebody says that it is
/// gone: a receipt must name one that is only cut off.
async fn prune(connection: &mut Connection, revision: u64, now_us: i64) -> Result<(), StoreError> {
    if !revision.is_multiple_of(REVISIONS_BETWEEN_PRUNING) {
        return Ok(());
    }
    let gone = now_us.saturating_sub(FORGOTTEN_US);
    connection.execute("DELETE FROM acknowledgements WHERE acknowledged_at < $1", vec![gone.into()]).await?;
    let oldest = revision.saturating_sub(REVISIONS_KEPT);
    connection.execute("DELETE FROM changes WHERE revision <= $1", vec![oldest.into()]).await?;
    connection.execute("DELETE FROM commits WHERE revision <= $1", vec![oldest.into()]).await?;
    Ok(())
}

fn unknown_outcome(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(what) => StoreError::Unavailable(format!(
            "{what}; the change may be in force or not: look before you repeat it"
        )),
        error @ (StoreError::WrongSchema(_)
        | StoreError::NotPermitted(_)
        | StoreError::Refused(_)
        | StoreError::WrongFiles(_)
        | StoreError::Failed(_)) => error,
    }
}

fn id(row: &Row, column: usize) -> Result<KeyId, StoreError> {
    KeyId::parse(row.get(column)?).map_err(|error| {
        StoreError::Failed(format!("the database holds a key whose id makes no sense: {error}"))
    })
}

fn digest(row: &Row, column: usize) -> Result<KeyDigest, StoreError> {
    record_row::digest(row.get(column)?).map_err(|error| StoreError::Failed(error.to_owned()))
}

fn digests(key: &KeyRecord) -> Vec<KeyDigest> {
    [Some(key.digest), key.previous.as_ref().map(|previous| previous.digest)].into_iter().flatten().collect()
}

fn names(projects: &ProjectSet, project: &str) -> bool {
    !projects.is_all() && projects.contains(project)
}

/// Text that `LIKE … ESCAPE '!'` takes as it stands.
pub(super) fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| matches!(c, '!' | '%' | '_').then_some('!').into_iter().chain([c])).collect()
}

fn refused(reason: String) -> StoreError {
    StoreError::Refused(vec![reason])
}

fn already(id: KeyId) -> String {
    format!("there is a key {id} already")
}

fn same_secret(id: KeyId, holder: KeyId) -> String {
    format!("the secret of {id} is that of {holder} too")
}

impl Transaction for SqlTransaction {
    fn organizations(&mut self) -> Task<'_, Vec<Organization>> {
        Box::pin(self.stored_organizations())
    }

    fn person<'a>(&'a mut self, id: &'a PersonId) -> Task<'a, Option<Person>> {
        Box::pin(self.stored_person(id))
    }

    fn people<'a>(&'a mut self, after: Option<&'a PersonId>, limit: usize) -> Task<'a, Vec<Person>> {
        let statement = format!("SELECT {PERSON_COLUMNS} FROM people WHERE id > $1 ORDER BY id LIMIT $2");
        let values = vec![after.map_or("", PersonId::as_str).into(), (limit as u64).into()];
        Box::pin(self.rows(statement, values, record_row::person))
    }

    fn key<'a>(&'a mut self, id: &'a KeyId) -> Task<'a, Option<KeyRecord>> {
        Box::pin(self.stored_key(id))
    }

    fn keys<'a>(&'a mut self, after: Option<&'a KeyId>, limit: usize) -> Task<'a, Vec<KeyRecord>> {
        let statement = format!("SELECT {KEY_COLUMNS} FROM keys WHERE id > $1 ORDER BY id LIMIT $2");
        let values = vec![after.map_or("", KeyId::as_str).into(), (limit as u64).into()];
        Box::pin(self.rows(statement, values, record_row::key))
    }

    fn key_count(&mut self) -> Task<'_, u64> {
        Box::pin(async {
            let counts =
                self.rows("SELECT count(*) FROM keys".to_owned(), Vec::new(), |row| row.number(0)).await?;
            Ok(counts.into_iter().sum())
        })
    }

    fn keys_matching<'a>(&'a mut self, query: &'a KeyQuery) -> Task<'a, Vec<OwnedKey>> {
        Box::pin(async move {
            let organizations = self.stored_organizations().await?;
            query::keys_matching(self.connection()?, query, &organizations).await
        })
    }

    fn count_keys_matching<'a>(&'a mut self, query: &'a KeyQuery, at_most: u64) -> Task<'a, u64> {
        Box::pin(async move {
            let organizations = self.stored_organizations().await?;
            query::count_keys_matching(self.connection()?, query, at_most, &organizations).await
        })
    }

    fn key_tally<'a>(&'a mut self, query: &'a KeyQuery) -> Task<'a, KeyTally> {
        Box::pin(async move {
            let organizations = self.stored_organizations().await?;
            query::key_tally(self.connection()?, query, &organizations).await
        })
    }

    fn people_matching<'a>(&'a mut self, query: &'a PersonQuery) -> Task<'a, Vec<Person>> {
        Box::pin(async move {
            let organizations = self.stored_organizations().await?;
            query::people_matching(self.connection()?, query, &organizations).await
        })
    }

    fn key_counts<'a>(&'a mut self, owners: &'a [PersonId]) -> Task<'a, HashMap<PersonId, u64>> {
        Box::pin(async move { query::key_counts(self.connection()?, owners).await })
    }

    fn people_with_email<'a>(&'a mut self, email: &'a str) -> Task<'a, Vec<Person>> {
        Box::pin(async move { query::people_with_email(self.connection()?, email).await })
    }

    fn remembered<'a>(&'a mut self, submission: &'a Submission) -> Task<'a, Option<Remembered>> {
        Box::pin(async move { submission::remembered(self.connection()?, submission).await })
    }

    fn remember<'a>(&'a mut self, submission: &'a Submission, record: &'a str, id: &'a str) -> Task<'a, ()> {
        Box::pin(async move {
            self.writable()?;
            let submission = submission.clone();
            self.made.push(Made { submission, record: record.to_owned(), id: id.to_owned() });
            Ok(())
        })
    }

    fn taken<'a>(&'a mut self, ids: &'a [KeyId], digests: &'a [KeyDigest]) -> Task<'a, Taken> {
        Box::pin(self.find_taken(ids, digests))
    }

    fn who_names<'a>(
        &'a mut self,
        organization: &'a OrganizationId,
        project: &'a str,
    ) -> Task<'a, Option<String>> {
        Box::pin(self.find_who_names(organization, project))
    }

    fn put_organization<'a>(&'a mut self, organization: &'a Organization) -> Task<'a, ()> {
        Box::pin(async move {
            self.writable()?;
            let done = self.put_organization_now(organization).await;
            self.noted(done)
        })
    }

    fn put_person<'a>(&'a mut self, person: &'a Person) -> Task<'a, ()> {
        Box::pin(async move {
            self.writable()?;
            let done = self.put_person_now(person).await;
            self.noted(done)
        })
    }

    fn insert_keys<'a>(&'a mut self, keys: &'a [KeyRecord]) -> Task<'a, ()> {
        Box::pin(async move {
            self.writable()?;
            let done = self.insert_keys_now(keys).await;
            self.noted(done)
        })
    }

    fn update_key<'a>(&'a mut self, key: &'a KeyRecord) -> Task<'a, ()> {
        Box::pin(async move {
            self.writable()?;
            let done = self.update_key_now(key).await;
            self.noted(done)
        })
    }

    fn revoke_key<'a>(
        &'a mut self,
        id: &'a KeyId,
        revocation: &'a Revocation,
    ) -> Task<'a, Option<RevokedBefore>> {
        Box::pin(async move {
            self.writable()?;
            let done = self.revoke_key_now(id, revocation).await;
            self.noted(done)
        })
    }

    fn commit<'a>(self: Box<Self>, audit: &'a [AuditRecord]) -> Task<'a, Committed>
    where
        Self: 'a,
    {
        Box::pin(self.commit_now(audit))
    }
}
