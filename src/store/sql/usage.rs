//! Uses of keys, added up by key, secret and hour.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    connection::{Row, Value, placeholders, rows_of_placeholders},
    record_row::{floor_us, instant},
    session::{Begin, Sessions},
};
use crate::{
    keys::record::KeyId,
    store::{
        contract::{ScopeUse, StoreError, UsageRow},
        usage_rows,
    },
    telemetry::usage::{LastUse, UseCounts},
};

const COLUMNS: &str = "key, secret, hour, ok, client_error, server_error, refused, aborted, last_used, last_client, \
     last_refused";
const COLUMN_COUNT: usize = 11;

/// What becomes of a row that is there already. What is later wins; NULL is earlier than everything.
const ADD: &str = "ON CONFLICT (key, secret, hour) DO UPDATE SET \
     ok = usage.ok + excluded.ok, \
     client_error = usage.client_error + excluded.client_error, \
     server_error = usage.server_error + excluded.server_error, \
     refused = usage.refused + excluded.refused, \
     aborted = usage.aborted + excluded.aborted, \
     last_client = CASE WHEN usage.last_used IS NULL OR excluded.last_used >= usage.last_used \
         THEN excluded.last_client ELSE usage.last_client END, \
     last_used = CASE WHEN usage.last_used IS NULL OR excluded.last_used >= usage.last_used \
         THEN excluded.last_used ELSE usage.last_used END, \
     last_refused = CASE WHEN usage.last_refused IS NULL OR excluded.last_refused >= usage.last_refused \
         THEN excluded.last_refused ELSE usage.last_refused END";

/// See [`Database::add_usage`](crate::store::contract::Database::add_usage).
pub(super) async fn add(sessions: &Arc<Sessions>, rows: &[UsageRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut session = sessions.begin(Begin::Note).await?;
    let at_once = session.connection()?.rows_at_once(COLUMN_COUNT);
    for rows in usage_rows::merged(rows).chunks(at_once) {
        let placeholders = rows_of_placeholders(rows.len(), COLUMN_COUNT);
        let statement = format!("INSERT INTO usage ({COLUMNS}) VALUES {placeholders} {ADD}");
        session.connection()?.execute(statement, rows.iter().flat_map(values).collect()).await?;
    }
    session.commit().await
}

fn values(row: &UsageRow) -> [Value<'_>; COLUMN_COUNT] {
    [
        row.key.as_str().into(),
        row.secret.as_str().into(),
        floor_us(row.hour).into(),
        row.counts.ok.into(),
        row.counts.client_error.into(),
        row.counts.server_error.into(),
        row.counts.refused.into(),
        row.counts.aborted.into(),
        row.last_used.map(|used| floor_us(used.at)).into(),
        row.last_used.map(|used| used.client.to_string()).into(),
        row.last_refused.map(floor_us).into(),
    ]
}

/// See [`Database::usage`](crate::store::contract::Database::usage).
pub(super) async fn rows(sessions: &Arc<Sessions>, keys: &[KeyId]) -> Result<Vec<UsageRow>, StoreError> {
    let mut session = sessions.begin(Begin::Read).await?;
    let connection = session.connection()?;
    let mut found = Vec::new();
    let mut take = |row: Row| usage_row(&row).map(|row| found.push(row));
    if keys.is_empty() {
        let statement = format!("SELECT {COLUMNS} FROM usage");
        connection.each(statement, Vec::new(), super::connection::PATIENCE, &mut take).await?;
    }
    let at_once = connection.rows_at_once(1);
    for keys in keys.chunks(at_once) {
        let list = placeholders(1, keys.len());
        let statement = format!("SELECT {COLUMNS} FROM usage WHERE key IN {list}");
        let values = keys.iter().map(|key| key.as_str().into()).collect();
        connection.each(statement, values, super::connection::PATIENCE, &mut take).await?;
    }
    found.sort_by(|a, b| b.hour.cmp(&a.hour).then_with(|| (a.key, &a.secret).cmp(&(b.key, &b.secret))));
    Ok(found)
}

/// Sums of what [`COLUMNS`] are, of each secret one row.
const TOTALS: &str = "key, secret, min(hour), CAST(sum(ok) AS BIGINT), CAST(sum(client_error) AS BIGINT), \
     CAST(sum(server_error) AS BIGINT), CAST(sum(refused) AS BIGINT), CAST(sum(aborted) AS BIGINT), max(last_used), \
     (SELECT newest.last_client FROM usage AS newest \
         WHERE newest.key = usage.key AND newest.secret = usage.secret AND newest.last_used IS NOT NULL \
         ORDER BY newest.last_used DESC LIMIT 1), \
     max(last_refused)";

/// See [`Database::usage_totals`](crate::store::contract::Database::usage_totals).
pub(super) async fn totals(sessions: &Arc<Sessions>, keys: &[KeyId]) -> Result<Vec<UsageRow>, StoreError> {
    let statement =
        |list: &str| format!("SELECT {TOTALS} FROM usage WHERE key IN {list} GROUP BY key, secret");
    let mut found = of_keys(sessions, keys, statement, usage_row).await?;
    found.sort_by(|a, b| (a.key, &a.secret).cmp(&(b.key, &b.secret)));
    Ok(found)
}

/// See [`Database::usage_since`](crate::store::contract::Database::usage_since).
pub(super) async fn since(
    sessions: &Arc<Sessions>,
    key: &KeyId,
    since: Timestamp,
) -> Result<Vec<UsageRow>, StoreError> {
    let mut session = sessions.begin(Begin::Read).await?;
    let statement =
        format!("SELECT {COLUMNS} FROM usage WHERE key = $1 AND hour >= $2 ORDER BY hour DESC, secret");
    let values = vec![key.as_str().into(), floor_us(since).into()];
    session.connection()?.rows(statement, values).await?.iter().map(usage_row).collect()
}

/// See [`Database::add_scope_uses`](crate::store::contract::Database::add_scope_uses).
pub(super) async fn add_scopes(sessions: &Arc<Sessions>, uses: &[ScopeUse]) -> Result<(), StoreError> {
    if uses.is_empty() {
        return Ok(());
    }
    let mut session = sessions.begin(Begin::Note).await?;
    let at_once = session.connection()?.rows_at_once(3);
    for uses in usage_rows::latest(uses).chunks(at_once) {
        let placeholders = rows_of_placeholders(uses.len(), 3);
        let statement = format!(
            "INSERT INTO usage_scopes (key, scope, last_used) VALUES {placeholders} \
             ON CONFLICT (key, scope) DO UPDATE SET last_used = excluded.last_used \
             WHERE excluded.last_used > usage_scopes.last_used"
        );
        session.connection()?.execute(statement, uses.iter().flat_map(scope_values).collect()).await?;
    }
    session.commit().await
}

fn scope_values(one: &ScopeUse) -> [Value<'_>; 3] {
    [one.key.as_str().into(), one.scope.as_str().into(), floor_us(one.last_used).into()]
}

/// See [`Database::scopes_used`](crate::store::contract::Database::scopes_used).
pub(super) async fn scopes(sessions: &Arc<Sessions>, keys: &[KeyId]) -> Result<Vec<ScopeUse>, StoreError> {
    let statement =
        |list: &str| format!("SELECT key, scope, last_used FROM usage_scopes WHERE key IN {list}");
    let mut found = of_keys(sessions, keys, statement, scope_use).await?;
    found.sort_by(|a, b| (a.key, &a.scope).cmp(&(b.key, &b.scope)));
    Ok(found)
}

/// What `read` makes of the rows that `statement` selects for a list of keys, as many keys at once as the database takes.
async fn of_keys<T>(
    sessions: &Arc<Sessions>,
    keys: &[KeyId],
    statement: impl Fn(&str) -> String,
    read: fn(&Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut session = sessions.begin(Begin::Read).await?;
    let connection = session.connection()?;
    let mut found = Vec::new();
    for keys in keys.chunks(connection.rows_at_once(1)) {
        let values = keys.iter().map(|key| key.as_str().into()).collect();
        for row in connection.rows(statement(&placeholders(1, keys.len())), values).await? {
            found.push(read(&row)?);
        }
    }
    Ok(found)
}

fn scope_use(row: &Row) -> Result<ScopeUse, StoreError> {
    Ok(ScopeUse { key: key_of(row)?, scope: row.get(1)?, last_used: instant(row.get(2)?) })
}

fn key_of(row: &Row) -> Result<KeyId, StoreError> {
    KeyId::parse(row.get(0)?)
        .map_err(|error| StoreError::Failed(format!("usage is of a key whose id makes no sense: {error}")))
}

fn usage_row(row: &Row) -> Result<UsageRow, StoreError> {
    let key = key_of(row)?;
    let counts = UseCounts {
        ok: row.number(3)?,
        client_error: row.number(4)?,
        server_error: row.number(5)?,
        refused: row.number(6)?,
        aborted: row.number(7)?,
    };
    let used_at: Option<i64> = row.get(8)?;
    let client = row.get::<Option<&str>>(9)?.and_then(|client| client.parse().ok());
    let last_used = used_at.zip(client).map(|(at, client)| LastUse { at: instant(at), client });
    Ok(UsageRow {
        key,
        secret: row.get(1)?,
        hour: instant(row.get(2)?),
        counts,
        last_used,
        last_refused: row.get::<Option<i64>>(10)?.map(instant),
    })
}
