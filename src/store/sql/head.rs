//! Where a database stands.

use jiff::Timestamp;

use super::{
    connection::{Connection, Driver},
    failure,
    record_row::instant,
};
use crate::store::contract::{Head, StoreError};

/// The head, and when it was committed.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadRow {
    pub(super) head: Head,
    pub(super) committed_at: Timestamp,
}

/// Reads the head and the clock of the database.
pub(super) async fn head(connection: &mut Connection) -> Result<HeadRow, StoreError> {
    let statement = match connection.driver {
        Driver::Postgres(_) => {
            "SELECT instance, revision, committed_at, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) \
             FROM head"
        }
        Driver::Sqlite(_) => {
            "SELECT instance, revision, committed_at, CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000 FROM head"
        }
    };
    let row =
        connection.first(statement, Vec::new()).await?.ok_or_else(|| failure::no_tables(&connection.name))?;
    let instance = row.get::<&str>(0)?.parse().map_err(|error| {
        StoreError::Failed(format!("{}: its instance is no UUID: {error}", connection.name))
    })?;
    let head = Head { instance, revision: row.number(1)?, now: instant(row.get(3)?) };
    Ok(HeadRow { head, committed_at: instant(row.get(2)?) })
}
