//! Loading everything, and following what changes. Each look is one transaction that sees one revision.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    connection::{Connection, Row},
    head::head,
    record_row::{self, KEY_COLUMNS, PERSON_COLUMNS},
    session::{Begin, Sessions},
    transaction::CHANGES_TOLD,
};
use crate::{
    keys::record::Person,
    store::contract::{Changes, Feed, Head, Intake, Since, StoreError},
};

/// How long the first key of a load may take to come, and each after it.
const LOAD_PATIENCE: Duration = Duration::from_secs(15);

/// See [`Database::load`](crate::store::contract::Database::load).
pub(super) async fn load(
    sessions: &Arc<Sessions>,
    intake: &mut (dyn Intake + Send),
) -> Result<Head, StoreError> {
    let mut session = sessions.begin(Begin::Read).await?;
    let connection = session.connection()?;
    let head = head(connection).await?;
    intake.organizations(record_row::organizations(connection).await?);
    let mut people = Vec::new();
    let mut wrong = Vec::new();
    let mut take_person = |row: Row| {
        match record_row::person(&row) {
            Ok(person) => people.push(person),
            Err(error) => wrong.push(error.to_string()),
        }
        Ok(())
    };
    let statement = format!("SELECT {PERSON_COLUMNS} FROM people ORDER BY id");
    connection.each(statement, Vec::new(), LOAD_PATIENCE, &mut take_person).await?;
    intake.people(people);
    for what in wrong {
        intake.nonsense(what);
    }
    let mut take_key = |row: Row| {
        match record_row::key(&row) {
            Ok(key) => intake.key(key),
            Err(error) => intake.nonsense(error.to_string()),
        }
        Ok(())
    };
    connection
        .each(format!("SELECT {KEY_COLUMNS} FROM keys"), Vec::new(), LOAD_PATIENCE, &mut take_key)
        .await?;
    Ok(head)
}

/// See [`Database::changes_since`](crate::store::contract::Database::changes_since).
pub(super) async fn changes_since(sessions: &Arc<Sessions>, since: Since) -> Result<Feed, StoreError> {
    let mut session = sessions.begin(Begin::Read).await?;
    let connection = session.connection()?;
    let head = head(connection).await?;
    let Since { instance, revision, .. } = since;
    if head.instance != instance || revision > head.revision || !is_of_history(connection, since).await? {
        return Ok(Feed::Gap(head));
    }
    let Some(kinds) = kinds_since(connection, revision, head.revision).await? else {
        return Ok(Feed::Gap(head));
    };
    match changes(connection, revision, head, &kinds).await {
        Ok(changes) => Ok(Feed::Changes(changes)),
        // A record that makes no sense is told by a load, which denies it and takes the others.
        Err(StoreError::Failed(_)) => Ok(Feed::Gap(head)),
        Err(error) => Err(error),
    }
}

/// Whether the revision was committed here when `since` says: after a restore there may be another of its number.
async fn is_of_history(connection: &mut Connection, since: Since) -> Result<bool, StoreError> {
    let Since { revision: 1.., committed_at: Some(committed_at), .. } = since else { return Ok(true) };
    let statement = "SELECT committed_at FROM commits WHERE revision = $1";
    let row = connection.first(statement, vec![since.revision.into()]).await?;
    row.map_or(Ok(false), |row| Ok(record_row::instant(row.get(0)?) == committed_at))
}

/// Which kinds of changes there were; `None` where not all are known, or there are too many.
async fn kinds_since(
    connection: &mut Connection,
    revision: u64,
    newest: u64,
) -> Result<Option<BTreeSet<String>>, StoreError> {
    let known = "SELECT count(*) FROM commits WHERE revision > $1";
    let known = connection.first(known, vec![revision.into()]).await?.map_or(Ok(0), |row| row.number(0))?;
    if known != newest - revision {
        return Ok(None);
    }
    let kinds = "SELECT kind, count(*) FROM changes WHERE revision > $1 GROUP BY kind";
    let rows = connection.rows(kinds, vec![revision.into()]).await?;
    let mut kinds = BTreeSet::new();
    let mut count = 0;
    for row in &rows {
        kinds.insert(row.get::<String>(0)?);
        count += row.number(1)?;
    }
    let is_told = !kinds.contains("everything") && count <= CHANGES_TOLD as u64;
    Ok(is_told.then_some(kinds))
}

async fn changes(
    connection: &mut Connection,
    revision: u64,
    head: Head,
    kinds: &BTreeSet<String>,
) -> Result<Changes, StoreError> {
    let mut changes =
        Changes { head, organizations: None, people: Vec::new(), keys: Vec::new(), dropped: Vec::new() };
    if kinds.contains("organization") {
        changes.organizations = Some(record_row::organizations(connection).await?);
    }
    if kinds.contains("person") {
        changes.people = people_since(connection, revision).await?;
    }
    if kinds.contains("key") {
        let statement = format!("SELECT {KEY_COLUMNS} FROM keys WHERE {}", is_changed("key"));
        let rows = connection.rows(statement, vec![revision.into()]).await?;
        changes.keys = rows.iter().map(record_row::key).collect::<Result<_, _>>()?;
    }
    if kinds.contains("dropped") {
        let statement = "SELECT DISTINCT digest FROM changes WHERE revision > $1 AND kind = 'dropped' \
             AND NOT EXISTS (SELECT 1 FROM keys WHERE keys.digest = changes.digest) \
             AND NOT EXISTS (SELECT 1 FROM keys WHERE keys.previous_digest = changes.digest)";
        let rows = connection.rows(statement, vec![revision.into()]).await?;
        let digest =
            |row: &Row| record_row::digest(row.get(0)?).map_err(|error| StoreError::Failed(error.to_owned()));
        changes.dropped = rows.iter().map(digest).collect::<Result<_, _>>()?;
    }
    Ok(changes)
}

async fn people_since(connection: &mut Connection, revision: u64) -> Result<Vec<Person>, StoreError> {
    let statement = format!("SELECT {PERSON_COLUMNS} FROM people WHERE {}", is_changed("person"));
    connection.rows(statement, vec![revision.into()]).await?.iter().map(record_row::person).collect()
}

fn is_changed(kind: &'static str) -> String {
    format!("id IN (SELECT id FROM changes WHERE revision > $1 AND kind = '{kind}')")
}
