//! What was made under which name, so that it is made once.

use super::{
    connection::{Connection, Row},
    head::head,
    record_row::floor_us,
};
use crate::store::contract::{Remembered, StoreError, Submission};

/// How long it is remembered: a day in microseconds.
const REMEMBERED_US: i64 = 24 * 3600 * 1_000_000;

/// What a transaction made that is not committed yet.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) submission: Submission,
    pub(super) record: String,
    pub(super) id: String,
}

/// See [`Transaction::remembered`](crate::store::contract::Transaction::remembered).
pub(super) async fn remembered(
    connection: &mut Connection,
    submission: &Submission,
) -> Result<Option<Remembered>, StoreError> {
    let now = floor_us(head(connection).await?.now);
    let statement = "SELECT request, record, id, revision FROM submissions \
         WHERE actor = $1 AND key = $2 AND committed_at > $3";
    let values =
        vec![submission.actor.as_str().into(), submission.key.as_str().into(), (now - REMEMBERED_US).into()];
    connection.first(statement, values).await?.as_ref().map(made).transpose()
}

fn made(row: &Row) -> Result<Remembered, StoreError> {
    let request = row.get::<&[u8]>(0)?.try_into().map_err(|_| {
        StoreError::Failed("the database holds a submission whose digest has not 32 bytes".to_owned())
    })?;
    Ok(Remembered { request, record: row.get(1)?, id: row.get(2)?, revision: row.number(3)? })
}

/// Writes down what was made with `revision`, and forgets what is older than a day.
pub(super) async fn insert(
    connection: &mut Connection,
    revision: u64,
    at_us: i64,
    made: &[Made],
) -> Result<(), StoreError> {
    if made.is_empty() {
        return Ok(());
    }
    let gone = at_us.saturating_sub(REMEMBERED_US);
    connection.execute("DELETE FROM submissions WHERE committed_at <= $1", vec![gone.into()]).await?;
    for Made { submission, record, id } in made {
        let statement = "INSERT INTO submissions (actor, key, request, record, id, revision, committed_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let values = vec![
            submission.actor.as_str().into(),
            submission.key.as_str().into(),
            submission.request.as_slice().into(),
            record.as_str().into(),
            id.as_str().into(),
            revision.into(),
            at_us.into(),
        ];
        connection.execute(statement, values).await?;
    }
    Ok(())
}
