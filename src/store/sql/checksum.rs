//! The sum of what is stored. PostgreSQL computes it where the keys are; SQLite, in this process, hands them over.

use std::{sync::Arc, time::Duration};

use super::{
    connection::{Connection, Driver, Row},
    head::head,
    record_row::{self, KEY_COLUMNS},
    session::{Begin, Sessions},
};
use crate::{
    keys::checksum::KeySums,
    store::contract::{Checksum, StoreError},
};

/// For all keys together: a second for every few hundred thousand.
const PATIENCE: Duration = Duration::from_mins(1);

/// What [`MarkedEntry::mark`](crate::keys::checksum::MarkedEntry::mark) says, in the words of PostgreSQL. Instants are
/// brought to milliseconds as the key table has them: `/` cuts off, hence the way round; a sum of signed marks
/// differs from one of unsigned ones by a multiple of 2⁶⁴.
const IN_POSTGRES: &str = "
    WITH secrets AS (
        SELECT id, digest, '\\x00'::bytea AS previous, revoked_at, expires_at AS ends, not_before AS starts FROM keys
        UNION ALL
        SELECT id, previous_digest, '\\x01'::bytea, revoked_at, LEAST(expires_at, previous_until), not_before
        FROM keys WHERE previous_digest IS NOT NULL
    ), entries AS (
        SELECT id, digest, previous,
            (revoked_at - ((revoked_at % 1000) + 1000) % 1000) / 1000 AS revoked_ms,
            (ends - ((ends % 1000) + 1000) % 1000) / 1000 AS ends_ms,
            -((-starts - ((-starts % 1000) + 1000) % 1000) / 1000) AS starts_ms
        FROM secrets
    ), marks AS (
        SELECT substring(sha256(digest || previous
            || int8send(coalesce(revoked_ms, '-9223372036854775808'::bigint))
            || int8send(coalesce(ends_ms, 9223372036854775807))
            || int8send(coalesce(starts_ms, '-9223372036854775808'::bigint))
            || convert_to(id, 'UTF8')) from 1 for 8) AS mark
        FROM entries
    )
    SELECT count(*), CAST(coalesce(sum(('x' || encode(mark, 'hex'))::bit(64)::bigint), 0) % 18446744073709551616 AS TEXT)
    FROM marks";

/// See [`Database::checksum`](crate::store::contract::Database::checksum).
pub(super) async fn checksum(sessions: &Arc<Sessions>) -> Result<Checksum, StoreError> {
    let mut session = sessions.begin(Begin::Read).await?;
    let connection = session.connection()?;
    let revision = head(connection).await?.revision;
    let sums = match connection.driver {
        Driver::Postgres(_) => computed_there(connection).await?,
        Driver::Sqlite(_) => computed_here(connection).await?,
    };
    Ok(Checksum { revision, entries: sums.entries, sum: sums.sum })
}

async fn computed_there(connection: &mut Connection) -> Result<KeySums, StoreError> {
    let mut sums = KeySums::default();
    let mut take = |row: Row| {
        let sum: i128 = row.get::<&str>(1)?.parse().unwrap_or_default();
        // In range: a remainder of 2⁶⁴.
        let sum = u64::try_from(sum.rem_euclid(1 << 64)).unwrap_or_default();
        sums = KeySums { entries: row.number(0)?, sum };
        Ok(())
    };
    connection.each(IN_POSTGRES, Vec::new(), PATIENCE, &mut take).await?;
    Ok(sums)
}

async fn computed_here(connection: &mut Connection) -> Result<KeySums, StoreError> {
    let mut sums = KeySums::default();
    let mut take = |row: Row| record_row::key(&row).map(|key| sums.add_record(&key));
    connection.each(format!("SELECT {KEY_COLUMNS} FROM keys"), Vec::new(), PATIENCE, &mut take).await?;
    Ok(sums)
}
