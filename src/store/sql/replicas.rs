//! What replicas tell of themselves. Each writes its own rows, and none waits for a commit.

use std::{sync::Arc, time::Duration};

use super::{
    connection::{Row, Value},
    head::head,
    record_row::{floor_us, instant},
    session::{Begin, Sessions},
};
use crate::store::contract::{Acknowledgement, Head, Heartbeat, Replica, StoreError, WhenStale};

/// See [`Database::heartbeat`](crate::store::contract::Database::heartbeat).
pub(super) async fn heartbeat(sessions: &Arc<Sessions>, beat: &Heartbeat) -> Result<Head, StoreError> {
    let mut session = sessions.begin(Begin::Note).await?;
    let connection = session.connection()?;
    let head = head(connection).await?;
    let values = vec![
        beat.replica.as_str().into(),
        beat.address.as_str().into(),
        beat.version.as_str().into(),
        beat.revision.into(),
        milliseconds(beat.lease),
        beat.when_stale.as_str().into(),
        floor_us(head.now).into(),
    ];
    connection
        .execute(
            "INSERT INTO replicas (id, address, version, revision, lease_ms, when_stale, started_at, beat_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (id) DO UPDATE SET address = excluded.address, \
             version = excluded.version, revision = excluded.revision, lease_ms = excluded.lease_ms, \
             when_stale = excluded.when_stale, beat_at = excluded.beat_at",
            values,
        )
        .await?;
    session.commit().await?;
    Ok(head)
}

/// See [`Database::acknowledge`](crate::store::contract::Database::acknowledge).
pub(super) async fn acknowledge(
    sessions: &Arc<Sessions>,
    acknowledgement: &Acknowledgement,
) -> Result<(), StoreError> {
    let mut session = sessions.begin(Begin::Note).await?;
    let connection = session.connection()?;
    let now = floor_us(head(connection).await?.now);
    let committed = "SELECT committed_at FROM commits WHERE revision = $1";
    let committed = connection.first(committed, vec![acknowledgement.revision.into()]).await?;
    let after = committed.map_or(Ok(0), |row| row.get::<i64>(0).map(|at| now.saturating_sub(at).max(0)))?;
    let values = vec![
        acknowledgement.replica.as_str().into(),
        acknowledgement.revision.into(),
        now.into(),
        after.into(),
        acknowledgement.streams_closed.into(),
    ];
    connection
        .execute(
            "INSERT INTO acknowledgements (replica, revision, acknowledged_at, after_us, streams_closed) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            values,
        )
        .await?;
    let values = vec![acknowledgement.replica.as_str().into(), acknowledgement.revision.into()];
    connection.execute("UPDATE replicas SET revision = $2 WHERE id = $1 AND revision < $2", values).await?;
    session.commit().await
}

/// See [`Database::forget`](crate::store::contract::Database::forget).
pub(super) async fn forget(sessions: &Arc<Sessions>, replica: &str) -> Result<bool, StoreError> {
    let mut session = sessions.begin(Begin::Note).await?;
    let removed =
        session.connection()?.execute("DELETE FROM replicas WHERE id = $1", vec![replica.into()]).await?;
    let claims = "DELETE FROM limit_claims WHERE replica = $1";
    session.connection()?.execute(claims, vec![replica.into()]).await?;
    session.commit().await?;
    Ok(removed > 0)
}

/// See [`Database::replicas`](crate::store::contract::Database::replicas).
pub(super) async fn replicas(sessions: &Arc<Sessions>) -> Result<Vec<Replica>, StoreError> {
    let mut session = sessions.begin(Begin::Read).await?;
    let connection = session.connection()?;
    let now = floor_us(head(connection).await?.now);
    let statement = "SELECT id, address, version, revision, lease_ms, when_stale, started_at, beat_at \
         FROM replicas ORDER BY id";
    connection.rows(statement, Vec::new()).await?.iter().map(|row| replica(row, now)).collect()
}

fn replica(row: &Row, now: i64) -> Result<Replica, StoreError> {
    let beat_at: i64 = row.get(7)?;
    let when_stale = match row.get(5)? {
        // A word of a later version: what rejects is what a receipt may count on, so the other is assumed.
        "reject" => WhenStale::Reject,
        _ => WhenStale::Serve,
    };
    let beat = Heartbeat {
        replica: row.get(0)?,
        address: row.get(1)?,
        version: row.get(2)?,
        revision: row.number(3)?,
        lease: Duration::from_millis(row.number(4)?),
        when_stale,
    };
    let silent = Duration::from_micros(u64::try_from(now.saturating_sub(beat_at)).unwrap_or(0));
    Ok(Replica { beat, started_at: instant(row.get(6)?), beat_at: instant(beat_at), silent })
}

/// See [`Database::acknowledgements`](crate::store::contract::Database::acknowledgements).
pub(super) async fn acknowledgements(
    sessions: &Arc<Sessions>,
    revision: u64,
) -> Result<Vec<Acknowledgement>, StoreError> {
    let mut session = sessions.begin(Begin::Read).await?;
    let statement = "SELECT replica, revision, after_us, streams_closed FROM acknowledgements AS given \
         WHERE revision = (SELECT min(revision) FROM acknowledgements \
         WHERE replica = given.replica AND revision >= $1) ORDER BY replica";
    session.connection()?.rows(statement, vec![revision.into()]).await?.iter().map(acknowledgement).collect()
}

fn acknowledgement(row: &Row) -> Result<Acknowledgement, StoreError> {
    Ok(Acknowledgement {
        replica: row.get(0)?,
        revision: row.number(1)?,
        after: Duration::from_micros(row.number(2)?),
        streams_closed: row.number(3)?,
    })
}

fn milliseconds(duration: Duration) -> Value<'static> {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into()
}
