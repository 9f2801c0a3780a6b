//! The changes that were made.

use std::sync::Arc;

use super::{
    connection::{Row, Value},
    record_row::{floor_us, instant},
    session::{Begin, Sessions},
};
use crate::store::contract::{AuditCursor, AuditFilter, AuditFrom, AuditPage, AuditRecord, StoreError};

/// See [`Store::audit`](crate::store::contract::Store::audit). Commits come one after the other, so that no record
/// appears before a cursor that was given out.
pub(super) async fn page(sessions: &Arc<Sessions>, filter: &AuditFilter) -> Result<AuditPage, StoreError> {
    let (comparison, order) = match filter.from {
        AuditFrom::Before(_) => ("<", "DESC"),
        AuditFrom::After(_) => (">", "ASC"),
    };
    let mut conditions = vec!["revision > 0".to_owned()];
    let mut values: Vec<Value<'_>> = vec![filter.limit.into()];
    if let Some(AuditCursor { revision, position }) = filter.from.cursor() {
        values.extend([revision.into(), position.into()]);
        conditions.push(format!("(revision, position) {comparison} ($2, $3)"));
    }
    let given = [
        ("record =", filter.record.as_deref().map(Into::into)),
        ("id =", filter.id.as_deref().map(Into::into)),
        ("actor =", filter.actor.as_deref().map(Into::into)),
        ("committed_at >=", filter.since.map(|since| floor_us(since).into())),
        ("committed_at <", filter.until.map(|until| floor_us(until).into())),
    ];
    for (condition, value) in given {
        if let Some(value) = value {
            values.push(value);
            conditions.push(format!("{condition} ${}", values.len()));
        }
    }
    let statement = format!(
        "SELECT revision, committed_at, actor, address, command, record, id, what, position FROM audit WHERE {} \
         ORDER BY revision {order}, position {order} LIMIT $1",
        conditions.join(" AND ")
    );
    let mut session = sessions.begin(Begin::Read).await?;
    let rows = session.connection()?.rows(statement, values).await?;
    let first = rows.first().map(cursor).transpose()?;
    let end = rows.last().map(cursor).transpose()?.or(filter.from.cursor());
    Ok(AuditPage { records: rows.iter().map(record).collect::<Result<_, _>>()?, first, end })
}

fn cursor(row: &Row) -> Result<AuditCursor, StoreError> {
    Ok(AuditCursor { revision: row.number(0)?, position: row.number(8)? })
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
