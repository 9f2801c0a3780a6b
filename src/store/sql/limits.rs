//! What replicas say of the limits of keys: each takes its turn, so that what it reads is what is so until it has written.

use std::sync::Arc;

use super::{
    connection::{Driver, PATIENCE, Row, Value, rows_of_placeholders},
    head::head,
    record_row::floor_us,
    session::{Begin, Sessions},
};
use crate::{
    keys::record::KeyId,
    limit::share::{Claim, Share},
    store::contract::{CLAIMS_READ, FleetLimits, LIVE_WITHIN, LimitClaim, StoreError},
};

const COLUMNS: &str = "replica, key, rate_demand, rate_share, concurrent_demand, concurrent_share";
const COLUMN_COUNT: usize = 6;

/// The number is that of this lock alone: the word limits in ASCII.
const TURN: &str = "SELECT pg_advisory_xact_lock(119182896196723)";

/// See [`Database::share_limits`](crate::store::contract::Database::share_limits).
pub(super) async fn share(
    sessions: &Arc<Sessions>,
    replica: &str,
    divide: &mut (dyn FnMut(&FleetLimits) -> Vec<LimitClaim> + Send),
) -> Result<(), StoreError> {
    let mut session = sessions.begin(Begin::Note).await?;
    let connection = session.connection()?;
    // SQLite has one writer at a time anyway.
    if let Driver::Postgres(_) = connection.driver {
        connection.batch(TURN, PATIENCE).await?;
    }
    let now = floor_us(head(connection).await?.now);
    let silence = i64::try_from(LIVE_WITHIN.as_micros()).unwrap_or(i64::MAX);
    let live = || vec![now.saturating_sub(silence).into()];
    let replicas = connection.rows("SELECT id FROM replicas WHERE beat_at > $1 ORDER BY id", live()).await?;
    let statement = format!(
        "SELECT {COLUMNS} FROM limit_claims WHERE replica IN (SELECT id FROM replicas WHERE beat_at > $1) \
         ORDER BY rate_demand + concurrent_demand DESC, key LIMIT {CLAIMS_READ}"
    );
    let claims = connection.rows(statement, live()).await?;
    let fleet = FleetLimits {
        replicas: replicas.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?,
        // What somebody wrote by hand counts for nothing.
        claims: claims.iter().filter_map(|row| claim(row).ok().flatten()).collect(),
    };
    let own = divide(&fleet);
    let outdated = "DELETE FROM limit_claims WHERE replica = $1 OR replica NOT IN (SELECT id FROM replicas)";
    connection.execute(outdated, vec![replica.into()]).await?;
    let at_once = connection.rows_at_once(COLUMN_COUNT);
    for claims in own.chunks(at_once) {
        let placeholders = rows_of_placeholders(claims.len(), COLUMN_COUNT);
        let statement = format!("INSERT INTO limit_claims ({COLUMNS}) VALUES {placeholders}");
        connection.execute(statement, claims.iter().flat_map(values).collect()).await?;
    }
    session.commit().await
}

fn values(claim: &LimitClaim) -> [Value<'_>; COLUMN_COUNT] {
    [
        claim.replica.as_str().into(),
        claim.key.as_str().into(),
        i64::from(claim.rate.demand).into(),
        i64::from(claim.rate.share.parts()).into(),
        i64::from(claim.concurrent.demand).into(),
        i64::from(claim.concurrent.share.parts()).into(),
    ]
}

fn claim(row: &Row) -> Result<Option<LimitClaim>, StoreError> {
    let number = |column| row.number(column).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let of = |first: usize| -> Result<Claim, StoreError> {
        Ok(Claim { demand: number(first)?, share: Share::from_parts(number(first + 1)?) })
    };
    let Ok(key) = KeyId::parse(row.get(1)?) else { return Ok(None) };
    Ok(Some(LimitClaim { replica: row.get(0)?, key, rate: of(2)?, concurrent: of(4)? }))
}
