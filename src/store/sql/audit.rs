//! The changes that were made.

use std::sync::Arc;

use super::{
    connection::{Row, Value},
    record_row::{floor_us, instant},
    session::{Begin, Sessions},
};
use crate::store::contract::{AuditFilter, AuditRecord, StoreError};

/// See [`Store::audit`](crate::store::contract::Store::audit).
pub(super) async fn records(
    sessions: &Arc<Sessions>,
    filter: &AuditFilter,
) -> Result<Vec<AuditRecord>, StoreError> {
    let mut conditions = vec!["revision > 0".to_owned()];
    let mut values: Vec<Value<'_>> = vec![filter.limit.into(), filter.skip.into()];
    let given = [
        ("id =", filter.id.as_deref().map(Into::into)),
        ("actor =", filter.actor.as_deref().map(Into::into)),
        ("committed_at >=", filter.since.map(|since| floor_us(since).into())),
    ];
    for (condition, value) in given {
        if let Some(value) = value {
            values.push(value);
            conditions.push(format!("{condition} ${}", values.len()));
        }
    }
    let statement = format!(
        "SELECT revision, committed_at, actor, address, command, record, id, what FROM audit WHERE {} \
         ORDER BY revision DESC, position DESC LIMIT $1 OFFSET $2",
        conditions.join(" AND ")
    );
    let mut session = sessions.begin(Begin::Read).await?;
    session.connection()?.rows(statement, values).await?.iter().map(record).collect()
}

fn record(row: &Row) -> Result<AuditRecord, StoreError> {
    Ok(AuditRecord {
        revision: Some(row.number(0)?),
        at: instant(row.get(1)?),
        actor: row.get(2)?,
        // An address of another form than ours was put there by another hand: it is no address to us.
        address: row.get::<Option<&str>>(3)?.and_then(|address| address.parse().ok()),
        command: row.get(4)?,
        record: row.get(5)?,
        id: row.get(6)?,
        what: row.get(7)?,
    })
}
