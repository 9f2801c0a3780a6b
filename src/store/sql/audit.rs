//! The changes that were made.

use std::sync::Arc;

use super::{
    connection::{Row, Value},
    query::Conditions,
    record_row::{self, floor_us, instant},
    session::{Begin, Sessions},
};
use crate::{
    keys::record::OrganizationId,
    store::contract::{AuditCursor, AuditFilter, AuditFrom, AuditPage, AuditRecord, StoreError},
};

/// See [`Store::audit`](crate::store::contract::Store::audit). Commits come one after the other, so that no record
/// appears before a cursor that was given out.
pub(super) async fn page(sessions: &Arc<Sessions>, filter: &AuditFilter) -> Result<AuditPage, StoreError> {
    let asked_for = [&filter.record, &filter.id, &filter.actor];
    if asked_for.into_iter().flatten().any(|text| text.contains('\0')) {
        return Ok(AuditPage { end: filter.from.cursor(), ..AuditPage::default() });
    }
    let (comparison, order) = match filter.from {
        AuditFrom::Before(_) => ("<", "DESC"),
        AuditFrom::After(_) => (">", "ASC"),
    };
    let mut session = sessions.begin(Begin::Read).await?;
    let connection = session.connection()?;
    let mut conditions = Conditions::new(&connection.driver);
    if filter.organization.is_some() {
        let organizations = record_row::organizations(connection).await?;
        conditions.member("organization", filter.organization.as_ref(), &organizations);
    }
    if let Some(AuditCursor { revision, position }) = filter.from.cursor() {
        let (revision, position) = (conditions.value(revision), conditions.value(position));
        conditions.clauses.push(format!("(revision, position) {comparison} ({revision}, {position})"));
    }
    let given = [
        ("record =", filter.record.as_deref().map(Into::into)),
        ("id =", filter.id.as_deref().map(Into::into)),
        ("actor =", filter.actor.as_deref().map(Into::into)),
        ("committed_at >=", filter.since.map(|since| floor_us(since).into())),
        ("committed_at <", filter.until.map(|until| floor_us(until).into())),
    ];
    for (comparison, value) in given {
        if let Some(value) = value {
            conditions.compare::<Value<'_>>(comparison, value);
        }
    }
    let limit = conditions.value(filter.limit);
    let statement = format!(
        "SELECT revision, committed_at, actor, address, command, record, id, what, position, organization FROM audit WHERE {} \
         ORDER BY revision {order}, position {order} LIMIT {limit}",
        conditions.all()
    );
    let rows = connection.rows(statement, conditions.values).await?;
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
        // Without one that makes sense it is shown to nobody but those who may see all.
        organization: row.get::<Option<&str>>(9)?.and_then(|id| OrganizationId::parse(id).ok()),
        command: row.get(4)?,
        record: row.get(5)?,
        id: row.get(6)?,
        what: row.get(7)?,
    })
}
